"""Observables of one trajectory with error bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np

from fusepot.errors import InputError, NonFiniteEnergy
from fusepot.gradient import Engine, precision
from fusepot.model import Model
from fusepot.models.interface import Params
from fusepot.observables.elastic import StatePoint
from fusepot.observables.frames import Frames, make_frames
from fusepot.observables.interface import Averages, Observable, terms_of
from fusepot.observables.reweighting import Weights, average, equal_weights, reweight
from fusepot.observables.statistics import BLOCKS, correlated_errors, jackknife, linearised
from fusepot.observables.terms import ENERGY, Series, Term, evaluate
from fusepot.potential import Potential, cast_params
from fusepot.sampling.trajectory import Trajectory
from fusepot.structure import FloatArray


@dataclass(frozen=True)
class Estimate:
    """A value with error bars; arrays where the observable is one.

    Attributes:
        value: in ``unit``.
        unit: of all the numbers.
        error: standard error from blocks.
        correlated_error: standard error from the autocorrelation. Much larger than ``error``: the blocks are shorter
            than the correlation time.
        bias: how far ``value`` is expected off because the trajectory is finite (jackknife); already within ``error``
            unless the trajectory is very short. It is not subtracted.
    """

    value: FloatArray
    unit: str
    error: FloatArray
    correlated_error: FloatArray
    bias: FloatArray


class Observations(NamedTuple):
    """Attributes: ``estimates`` by name; ``effective_frames``, the effective number of frames after reweighting."""

    estimates: Mapping[str, Estimate]
    effective_frames: float


def state_point(trajectory: Trajectory) -> StatePoint:
    """Temperature, mean volume and number of atoms of a trajectory."""
    return StatePoint(trajectory.temperature_K, float(trajectory.volumes.mean()), len(trajectory.structure))


def evaluate_frames(
    potential: Potential,
    frames: Frames,
    terms: Iterable[Term],
    *,
    sparse_every: int = 1,
    batch: int = 1,
    engine: Engine = "auto",
) -> dict[str, Series]:
    """``terms.evaluate``, compiled, for a potential: series of numpy arrays by the terms' names.

    Args:
        potential: what to evaluate.
        frames: see ``make_frames``.
        terms: what to evaluate.
        sparse_every: as in ``terms.evaluate``.
        batch: as in ``terms.evaluate``.
        engine: as in ``terms.evaluate``.

    Raises:
        NonFiniteEnergy: a term is NaN or infinite; names the frame.
        InputError: see ``terms.evaluate``.
    """
    with precision("float64"):
        run = _compiled(potential.model, frozenset(terms), sparse_every, batch, engine)
        found = run(cast_params(potential.params, potential.dtype), frames)
    series = {name: Series(np.asarray(values), np.asarray(index)) for name, (values, index) in found.items()}
    for name, (values, index) in series.items():
        wrong = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if wrong.any():
            raise NonFiniteEnergy(
                f"{name} of frame {index[wrong.argmax()]} is not finite ({wrong.sum()} of {len(wrong)} frames). "
                "Look for overlapping atoms, or for a potential far from its training data."
            )
    return series


def observe(
    potential: Potential,
    trajectory: Trajectory,
    observables: Sequence[Observable],
    *,
    sampled_by: Potential | None = None,
    blocks: int = BLOCKS,
    sparse_every: int = 1,
    batch: int = 1,
    engine: Engine = "auto",
) -> Observations:
    """Observables of a potential from a trajectory, with error bars.

    Args:
        potential: whose averages.
        trajectory: equilibrated frames at one temperature.
        observables: see ``registry.find_observable``.
        sampled_by: the potential that made the trajectory, if it is another one: frames are reweighted.
        blocks: for the errors; the paper takes ten.
        sparse_every: evaluate the Born term on every k-th frame only: it is expensive and fluctuates little.
        batch: as in ``terms.evaluate``.
        engine: as in ``terms.evaluate``.

    Raises:
        InputError: a changing cell where an observable needs a fixed one, or too few frames for the blocks.
        NonFiniteEnergy: a term is NaN or infinite.
    """
    needs = [o.name for o in observables if o.fixed_cell]
    if needs and np.ptp(trajectory.cells, axis=0).max(initial=0) > 1e-9:
        raise InputError(
            "trajectory",
            got="cells that change",
            expected=f"one cell for {needs[0]}",
            remedy="Simulate at constant volume.",
        )
    wanted = terms_of(observables) | ({ENERGY} if sampled_by else set())
    frames = make_frames(trajectory, cutoff=potential.cutoff, elements=potential.elements)
    series = evaluate_frames(potential, frames, wanted, sparse_every=sparse_every, batch=batch, engine=engine)
    with precision("float64"):
        weights = Weights(equal_weights(len(trajectory)), len(trajectory), len(trajectory))
        if sampled_by is not None:
            if (sampled_by.cutoff, sampled_by.elements) != (potential.cutoff, potential.elements):
                frames = make_frames(trajectory, cutoff=sampled_by.cutoff, elements=sampled_by.elements)
            other = evaluate_frames(sampled_by, frames, {ENERGY}, batch=batch, engine=engine)
            weights = reweight(other["energy"].values, series["energy"].values, trajectory.temperature_K)
        state = state_point(trajectory)
        estimates = {o.name: estimate(o, series, weights.values, state, blocks=blocks) for o in observables}
    return Observations(estimates, float(weights.entropic))


def estimate(
    observable: Observable,
    series: Mapping[str, Series],
    weights: FloatArray,
    state: StatePoint,
    *,
    blocks: int = BLOCKS,
) -> Estimate:
    """One observable with error bars from the series of its terms; weights (frames,) sum to one.

    Raises:
        InputError: too few frames for the blocks.
    """

    def value(averages: Averages) -> jax.Array:
        return observable.value(averages, state)

    needed = {term.name: series[term.name] for term in observable.terms}
    with precision("float64"):
        blocked = jackknife(needed, weights, value, blocks=blocks)
        contributions = linearised(needed, weights, value)
        numbers = (value(average(needed, weights)), blocked.error, correlated_errors(contributions), blocked.bias)
    middle, error, correlated, bias = (np.asarray(number, np.float64) for number in numbers)
    return Estimate(middle, observable.unit, error, correlated, bias)


@lru_cache(maxsize=32)
def _compiled(
    model: Model, terms: frozenset[Term], sparse_every: int, batch: int, engine: Engine
) -> Callable[[Params, Frames], dict[str, Series]]:
    def run(params: Params, frames: Frames) -> dict[str, Series]:
        return dict(evaluate(model, params, frames, terms=terms, sparse_every=sparse_every, batch=batch, engine=engine))

    return jax.jit(run)
