"""Losses, gradients and their noise on the harmonic crystal, whose observables are known exactly."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from fusepot.structure import FloatArray
from fusepot.training import exp
from trainers import (
    SEED,
    SPRINGS,
    STIFF,
    Drawn,
    Params,
    flat,
    from_distribution,
    harmonic_experiment,
    harmonic_trainer,
    scaled,
)

pytestmark = pytest.mark.usefixtures("compiled_once", "float64", "harmonic_crystal")


def exact_losses(params: Params) -> FloatArray:
    """(points,)."""
    found = []
    for where in harmonic_experiment().conditions:
        exact = SPRINGS.exact(params, where.temperature_K)
        found.append(sum(t.weight * (exact[t.observable] - t.value) ** 2 for t in where.targets))
    return np.array(found)


def exact_slopes(params: Params) -> FloatArray:
    """(points, parameters) in the order of ``flat``; losses are smooth, so differences are exact enough."""
    columns = []
    for k in range(3):
        ends = []
        for sign in (1, -1):
            vector = flat(params) + sign * 1e-4 * (np.arange(3) == k)
            ends.append(exact_losses({"push": vector[0], "stiffness": vector[1:]}))
        columns.append((ends[0] - ends[1]) / 2e-4)
    return np.array(columns).T


class Samples(NamedTuple):
    """Of independent trajectories: losses and gradients' noise (copies, points), gradients (copies, points, 3)."""

    losses: FloatArray
    slopes: FloatArray
    noises: FloatArray


@cache
def harmonic_samples(stiffer: float, *, off: float = 1.0, copies: int = 10) -> Samples:
    """Seen with stiffer springs than those of the simulations."""
    trainer = harmonic_trainer(off=off)
    params = scaled(STIFF, 1.0, stiffer)
    losses, slopes, noises = [], [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exp, "walked", Drawn(from_distribution))
        for _ in range(copies):
            state, views, _ = trainer.ensured(trainer.begin(STIFF), STIFF, [], which=(0, 1))
            _, views = trainer.look(state, params, views)
            views, outcomes = trainer.outcomes(views)
            losses.append([outcome.loss for outcome in outcomes])
            gradients = [trainer.gradient(views, which=(k,)) for k in (0, 1)]
            slopes.append([flat(gradient) for gradient, _ in gradients])
            noises.append([signal.norm / signal.to_noise for _, (signal,) in gradients])
            for k, view in enumerate(views):
                kish = trainer.effective(view, index=k)
                assert kish == pytest.approx(200, rel=1e-9) if stiffer == 1.0 else 100 < kish < 195, (k, kish)
    return Samples(np.array(losses), np.array(slopes), np.array(noises))


@pytest.mark.parametrize("stiffer", [1.0, 1.05], ids=["fresh", "reweighted"])
def test_gradient_on_the_harmonic_crystal(stiffer: float) -> None:
    """Loss and gradient are those of the exact observables, on average over independent trajectories."""
    samples, params = harmonic_samples(stiffer), scaled(STIFF, 1.0, stiffer)
    for name, found, expected in (
        ("loss", samples.losses, exact_losses(params)),
        ("gradient", samples.slopes, exact_slopes(params)),
    ):
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        where = f"{name}, seed {SEED}: {found.mean(axis=0)} +- {error}, {expected}"
        # Student's t with nine degrees of freedom: once in 5000
        assert np.all(np.abs(found.mean(axis=0) - expected) < 6 * error + 1e-6 * np.abs(expected)), where
        if name == "gradient":
            assert np.all(np.abs(expected / error).max(axis=1) > 10), ("the test is blunt", where)


# Reweighted blocks differ by their shares of the Born term besides, which the estimate does not know: it is too large.
@pytest.mark.parametrize(("stiffer", "most"), [(1.0, 1.6), (1.05, 3.5)], ids=["fresh", "reweighted"])
def test_noise_of_gradients_of_elastic_constants(stiffer: float, most: float) -> None:
    """What the trainer says of a single trajectory is the scatter between independent ones.

    Targets are far away, so that the deviations from them hardly scatter, which it does not see.
    """
    samples = harmonic_samples(stiffer, off=100.0, copies=15)
    scatter = np.sqrt(np.var(samples.slopes, axis=0, ddof=1).sum(axis=1))
    ratios = np.sqrt(np.mean(np.square(samples.noises), axis=0)) / scatter
    assert np.all((ratios > 0.5) & (ratios < most)), (ratios, SEED)


def test_derivatives_by_a_constant_stress_are_exact(drawn: Drawn) -> None:
    """What pushes changes pressure and constants by known amounts in every frame, with no noise at all."""
    trainer = harmonic_trainer(variance_corrected=False)
    _, views, _ = trainer.ensured(trainer.begin(STIFF), STIFF, [], which=(0, 1))
    views, outcomes = trainer.outcomes(views)
    gradient, _ = trainer.gradient(views, which=(0, 1))
    expected = 0.0
    for where, outcome in zip(trainer.experiment.conditions, outcomes, strict=True):
        ends = [SPRINGS.exact(STIFF | {"push": np.array(push)}, where.temperature_K) for push in (0.0, 1.0)]
        for target, value in zip(where.targets, outcome.values, strict=True):
            slope = ends[1][target.observable] - ends[0][target.observable]
            expected += 2 * target.weight * (float(value) - target.value) * slope / 2
    assert float(gradient["push"]) == pytest.approx(expected, rel=1e-8)
    assert abs(expected) > 1
