"""When the EXP trainer simulates again, and what it makes of frames that it keeps, on the harmonic crystal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusepot.potential import predict_many
from fusepot.structure import FloatArray
from fusepot.training.views import View
from fusepot.units import BOLTZMANN_EV_PER_K
from trainers import (
    HARMONIC_FRAMES,
    SEED,
    SPRINGS,
    STIFF,
    TEMPERATURES,
    Drawn,
    Params,
    harmonic_trainer,
    scaled,
)

pytestmark = pytest.mark.usefixtures("compiled_once", "float64", "harmonic_crystal")


def energies_of(params: Params, positions: FloatArray) -> FloatArray:
    """(frames,) by way of ``predict``."""
    potential = SPRINGS.potential(params)
    frames = [replace(SPRINGS.structure, positions=each) for each in positions]
    return np.array([prediction.energy for prediction in predict_many(potential, frames)[0]])


def kish(reference: FloatArray, energies: FloatArray, temperature: float) -> float:
    exponents = (energies - reference) / (BOLTZMANN_EV_PER_K * temperature)
    weights = np.exp(exponents.min() - exponents)
    return float(weights.sum() ** 2 / (weights**2).sum())


def test_never_simulates_after_every_change(drawn: Drawn) -> None:
    trainer = harmonic_trainer(reuse={"method": "never"})
    state, views, stale = trainer.ensured(trainer.begin(STIFF), STIFF, [], which=(0, 1))
    assert (stale, drawn.calls) == ([0, 1], [*TEMPERATURES])
    # The same parameters, with and without what is known already.
    for params, seen in ((STIFF, views), (scaled(STIFF, 1.0, 1.0), views), (STIFF, [])):
        state, views, stale = trainer.ensured(state, params, seen, which=(0, 1))
        assert stale == []
    moved = scaled(STIFF, 1.0, 1.001)
    before = state
    state, views, stale = trainer.ensured(state, moved, views, which=(1,))
    assert (stale, drawn.calls) == ([1], [*TEMPERATURES, TEMPERATURES[1]])
    assert state.points[0] is before.points[0]
    assert [int(point.count) for point in state.points] == [1, 1]
    assert all(view.params is moved for view in views)
    # The other one follows when its turn comes.
    _, _, stale = trainer.ensured(state, moved, views, which=(0, 1))
    assert stale == [0]


def test_reweighting_keeps_a_trajectory_while_enough_frames_count(drawn: Drawn) -> None:
    """The effective number is Kish's; ``predict`` and numpy say what it should be at every step."""
    frames, limit = HARMONIC_FRAMES, 0.8
    trainer = harmonic_trainer(reuse={"method": "reweight", "effective_fraction": limit})
    state, views, _ = trainer.ensured(trainer.begin(STIFF), STIFF, [], which=(0,))
    assert not views[1].terms
    sampled_with, positions, decisions = STIFF, state.points[0].positions[0], []
    for step in range(1, 9):
        params = scaled(STIFF, 1.0, 1 + 0.05 * step)
        expected = kish(energies_of(sampled_with, positions), energies_of(params, positions), TEMPERATURES[0])
        after, views, stale = trainer.ensured(state, params, views, which=(0,))
        assert stale == ([0] if expected < limit * frames else []), (step, expected)
        if stale:
            sampled_with, positions = params, after.points[0].positions[0]
            assert trainer.effective(views[0], index=0) == pytest.approx(frames, rel=1e-9)
        else:
            assert after.points[0] is state.points[0]
            assert trainer.effective(views[0], index=0) == pytest.approx(expected, rel=1e-6)
        decisions.append(bool(stale))
        state = after
    assert 2 <= sum(decisions) <= 5, decisions
    assert drawn.calls == [TEMPERATURES[0]] * (1 + sum(decisions))


def test_mixtures_of_the_last_trajectories(drawn: Drawn) -> None:
    """Table of energies, order, and averages of moved parameters: exact ones, and those of a fresh trajectory."""
    frames = HARMONIC_FRAMES
    trainer = harmonic_trainer(reuse={"method": "mbar", "memory": 3, "effective_fraction": 0.99})
    made: list[tuple[Params, FloatArray]] = []
    state, views = trainer.begin(STIFF), list[View]()
    for step in range(4):
        params = scaled(STIFF, 1.0, (1.0, 1.14, 0.9, 1.05)[step])
        state, views, stale = trainer.ensured(state, params, views, which=(0, 1))
        if not stale:
            continue
        made.insert(0, (params, state.points[0].positions[0].copy()))
        if 0 not in stale:
            continue
        point = state.points[0]
        count = min(3, len(made))
        assert int(point.count) == count, step
        for j, (own, positions) in enumerate(made[:count]):
            np.testing.assert_array_equal(point.positions[j], positions, err_msg=f"step {step}, {j}")
            np.testing.assert_array_equal(point.params["stiffness"][j], own["stiffness"])
            for k in range(count):
                expected = energies_of(made[k][0], positions)
                np.testing.assert_allclose(
                    point.energies[k, j], expected, rtol=0, atol=1e-9, err_msg=f"step {step}, {k}, {j}"
                )
    assert int(state.points[0].count) == 3
    moved = scaled(STIFF, 1.0, 1.02)
    _, views = trainer.look(state, moved, views)
    views, outcomes = trainer.outcomes(views)
    fresh = harmonic_trainer()
    _, seen, _ = fresh.ensured(fresh.begin(moved), moved, [], which=(0, 1))
    _, again = fresh.outcomes(seen)
    for k, (mixed, one) in enumerate(zip(outcomes, again, strict=True)):
        where = trainer.experiment.conditions[k]
        exact = SPRINGS.exact(moved, where.temperature_K)
        expected = np.array([exact[target.observable] for target in where.targets])
        label = f"{where.temperature_K} K, seed {SEED}: {mixed}, {one}, {expected}"
        # Jackknife errors with ten blocks: Student's t with nine degrees of freedom
        assert np.all(np.abs(mixed.values - expected) < 6 * mixed.errors), label
        assert np.all(np.abs(mixed.values - one.values) < 6 * np.hypot(mixed.errors, one.errors)), label
        assert 1.3 * frames < float(mixed.effective) < 3 * frames, label
