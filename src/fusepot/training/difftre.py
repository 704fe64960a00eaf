"""The loss of the EXP trainer at one state point: equation 2 of Röcken & Zavadlav, npj Comput. Mater. 10, 69 (2024).

    L = sum_m w_m (O_m - target_m)^2

with O_m a function of averages over frames that are reweighted to the parameters in question (DiffTRe; Thaler &
Zavadlav, Nat. Commun. 12, 6884 (2021)). The squared deviation of an estimate is too large by its variance, and the
gradient of that excess drives the training toward quiet observables instead of right ones. ``corrected`` subtracts the
variance, and the bias of the estimate besides, both by jackknife over blocks of frames: to first order in the inverse
length of the trajectory loss and gradient are then right on average, whatever that length.

The loss is a function of the frames' terms; what a model's parameters do to these is for ``exp.py``. Pure, traceable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.data.targets import Condition
from fusepot.errors import InputError
from fusepot.observables import (
    ENERGY,
    Observable,
    Series,
    StatePoint,
    Term,
    average,
    find_observable,
    jackknife,
    reweight,
    terms_of,
)

Array = Any
ROUNDING = 1e-9  # of shares


@dataclass(frozen=True)
class Goals:
    """What a state point shall reproduce.

    Attributes:
        names: as the experiment file calls the observables.
        observables: the observables.
        values: the experimental values, each in its observable's unit.
        weights: of the squared deviations, in one over that unit squared.
    """

    names: tuple[str, ...]
    observables: tuple[Observable, ...]
    values: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def terms(self) -> frozenset[Term]:
        """What has to be known of every frame."""
        return terms_of(self.observables) | {ENERGY}


def goals_of(condition: Condition, symmetry: str | None) -> Goals:
    """The observables that a condition's targets name.

    Raises:
        InputError: no such observable, one that is not a single number, or another unit than the observable's.
    """
    observables = tuple(find_observable(target.observable, symmetry=symmetry) for target in condition.targets)
    for target, observable in zip(condition.targets, observables, strict=True):
        if observable.shape:
            raise InputError(
                "observable", got=f"{target.observable}, of shape {observable.shape}", expected="a single number"
            )
        if target.unit != observable.unit:
            raise InputError(
                f"unit of {target.observable}", got=target.unit, expected=f"{observable.unit}, as fusepot computes it"
            )
    return Goals(
        tuple(target.observable for target in condition.targets),
        observables,
        tuple(target.value for target in condition.targets),
        tuple(target.weight for target in condition.targets),
    )


class Outcome(NamedTuple):
    """What frames say about the goals; (goals,) arrays in the observables' units.

    Attributes:
        loss: (), as trained on.
        values: the observables.
        errors: their standard errors.
        effective: () Kish's effective number of frames.
    """

    loss: Array
    values: Array
    errors: Array
    effective: Array


def loss_of(
    values: Mapping[str, Array],
    reference: Array,
    targets: Array,
    weights: Array,
    state: StatePoint,
    *,
    observables: tuple[Observable, ...],
    frames: Mapping[str, Array],
    blocks: int,
    corrected: bool,
    trajectories: int = 1,
) -> tuple[Array, Outcome]:
    """The loss at one state point, and what it is made of; differentiable in ``values``.

    Args:
        values: terms of the frames, by name; "energy" among them.
        reference: (frames,) energies in eV of the potential, or mixture, that the frames are a sample of.
        targets: (goals,) experimental values.
        weights: (goals,) of the squared deviations.
        state: where the frames were taken.
        observables: of the goals.
        frames: of each term which frames it is known of.
        blocks: for variances.
        corrected: see the head of this module.
        trajectories: how many of equal length the frames are, one after the other.
    """
    order = _blocks_first(len(reference), blocks, trajectories)
    place = np.argsort(order)
    series = {name: Series(value, place[frames[name]]) for name, value in values.items()}
    chances = reweight(reference, values["energy"], state.temperature_K)
    shares = chances.values[order]

    def observe(averages: Mapping[str, Array]) -> jax.Array:
        return jnp.stack([jnp.reshape(o.value(averages, state), ()) for o in observables])

    found = observe(average(series, shares))
    spread = jackknife(series, shares, observe, blocks=blocks)
    if corrected:
        found = found - spread.bias
    squares = (found - targets) ** 2
    if corrected:
        squares = squares - spread.error**2
    loss = jnp.dot(weights, squares)
    return loss, Outcome(loss, found, spread.error, chances.kish)


def _blocks_first(frames: int, blocks: int, trajectories: int) -> Array:
    """(frames,) an order in which every block of consecutive frames has its part of every trajectory.

    A trajectory of another potential is part of a mixture and has averages of its own: blocks of one trajectory each
    would differ by more than noise.
    """
    each = frames // trajectories
    return np.argsort(np.tile(np.arange(each) * blocks // each, trajectories), kind="stable")


class Signal(NamedTuple):
    """How certain a gradient is.

    Attributes:
        norm: Euclidean norm of the gradient.
        to_noise: norm over the standard error of the gradient, from the scatter of its blocks. Too large once
            deviations from the targets are no larger than their own errors, see ``signal_of``.
    """

    norm: float
    to_noise: float


def signal_of(parts: Sequence[Array], shares: Sequence[Array]) -> Signal:
    """How certain a gradient is that is the sum of contributions of B blocks of frames.

    The gradient of a fluctuation is a covariance, say with dU/d(parameters) or ds/d(parameters). What blocks have of it
    is dominated by the mean of these times the blocks' shares of a weight whose sum is fixed: that goes, by regression
    of the contributions on the shares. The standard error is that of a sum of independent parts. It sees the scatter of
    the frames, not that of the factor (O - target), which all blocks have in common.

    Args:
        parts: (B, parameters) contributions.
        shares: (B, n) derivatives of the loss by constants added to the energies, stresses, ... of a block; the first
            are the most important ones: no more than half of the B - 1 degrees of freedom are spent on them.
    """
    blocks, weights = np.asarray(parts, np.float64), np.asarray(shares, np.float64)
    count, total = len(blocks), blocks.sum(axis=0)
    centered = weights - weights.mean(axis=0)
    sizes = np.linalg.norm(centered, axis=0)
    used = np.flatnonzero(sizes > ROUNDING * np.linalg.norm(weights, axis=0))[: (count - 1) // 2]
    modes, _ = np.linalg.qr(centered[:, used] / sizes[used])
    blocks = blocks - modes @ (modes.T @ blocks)
    noise = np.sqrt(count / (count - 1 - len(used)) * ((blocks - total / count) ** 2).sum())
    norm = float(np.linalg.norm(total))
    return Signal(norm, norm / float(noise) if noise > 0 else float("inf"))
