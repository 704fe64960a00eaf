"""Simulations of a fused training: when they are done again, by which seeds and programs, of how many replicas."""

from __future__ import annotations

import numpy as np
import pytest

import experiments
from experiments import config, experiment, target
from fusepot.sampling import SimulationDiverged
from fusepot.training import walks

pytestmark = pytest.mark.usefixtures("compiled_once")


def test_the_seed_of_the_experiment_is_that_of_the_simulations(trained):
    plain, reseeded = (
        experiments.epochs(trained("epoch", experiment={"seed": seed, "variance_corrected": False, "epochs": 1})[1])[0]
        for seed in (0, 1)
    )
    for a, b in zip(plain["points"], reseeded["points"], strict=True):
        assert a["observables"]["pressure"][0] != b["observables"]["pressure"][0]


@pytest.mark.parametrize(
    ("reuse", "frames"),
    [
        ({"method": "never"}, [40, 40, 40, 40]),
        ({"method": "reweight", "effective_fraction": 0.05}, [40, 40, 40, 40]),
        ({"method": "mbar", "memory": 2, "effective_fraction": 0.999}, None),
    ],
    ids=lambda value: value["method"] if isinstance(value, dict) else "",
)
def test_trajectories_are_used_again_as_configured(trained, reuse, frames):
    _, out = trained("sequential", of=experiment((200.0,)), experiment={"reuse": reuse})
    points = [line["points"][0] for line in experiments.epochs(out)]
    simulated = [point["simulated"] for point in points]
    if reuse["method"] == "never":
        assert simulated == [1, 1, 1, 1]
        assert all(point["effective_frames"] == 40 for point in points)
    elif reuse["method"] == "reweight":
        assert simulated == [1, 0, 0, 0]
        effective = [point["effective_frames"] for point in points]
        assert effective == sorted(effective, reverse=True)
        assert effective[-1] < 40
    else:
        count = np.minimum(2, np.cumsum(simulated))
        frames = (40 * count).tolist()
        assert 2 in count, "both trajectories were never in use: nothing was tested"
    assert [point["frames"] for point in points] == frames


def test_trajectories_may_follow_each_other_without_relaxation(trained):
    sampling = {"equilibration": 0, "relaxation": 0}
    _, out = trained("sequential", experiment={"sampling": sampling, "reuse": {"method": "never"}, "epochs": 1})
    assert [point["simulated"] for line in experiments.epochs(out) for point in line["points"]] == [1] * 6


def test_an_accelerator_moves_all_state_points_in_one_program(tmp_path, monkeypatch, trained):
    """The other way to simulate, on a CPU here: the same trajectories, and failures name the right temperature."""
    calls = []
    original = walks.advance_many

    def advance(potential, walkers, baths, **options):
        calls.append([bath.temperature_K for bath in baths])
        if len(calls) == 24:
            raise SimulationDiverged("two atoms overlap", system=1, step=7, temperature_K=9.0)
        return original(potential, walkers, baths, **options)

    monkeypatch.setattr(walks, "accelerated", lambda: True)
    monkeypatch.setattr(walks, "advance_many", advance)
    settings = {"reuse": {"method": "never"}, "epochs": 2}
    experiments.run(config(experiment=settings), tmp_path)
    assert calls == [list(experiments.TEMPERATURES)] * len(calls)
    assert len(calls) == 11 + 11 + 2 + 11, "the first look, an epoch, a failure in the second, and the second again"
    (event,) = experiments.events(tmp_path)
    assert event["reason"].startswith("state point of 250 K: system 1 diverged after step 7")
    _, out = trained("epoch", experiment=settings)
    for a, b in zip(experiments.epochs(tmp_path)[:2], experiments.epochs(out)[:2], strict=True):
        for one, other in zip(a["points"], b["points"], strict=True):
            np.testing.assert_allclose(one["observables"]["pressure"], other["observables"]["pressure"], rtol=1e-6)


def test_elastic_constants_and_pressure_from_two_replicas(trained):
    """Sparse Born terms, several targets with weights, a symmetry; a trajectory is that of all replicas."""
    targets = (target("C11", 250.0, weight=0.01), target("pressure", 12.0, weight=2.0))
    settings = {"epochs": 2, "sampling": {"replicas": 2, "steps": 100}}
    _, out = trained("epoch", of=experiment((200.0,), targets, symmetry="cubic"), experiment=settings)
    for line in experiments.epochs(out):
        (point,) = line["points"]
        assert point["frames"] == 40
        assert list(point["observables"]) == ["C11", "pressure"]
        (c11, c11_error, goal), (pressure, pressure_error, _) = point["observables"].values()
        assert goal == 250.0
        loss = 0.01 * ((c11 - 250) ** 2 - c11_error**2) + 2.0 * ((pressure - 12) ** 2 - pressure_error**2)
        assert point["loss"] == pytest.approx(loss, rel=1e-9)
    assert experiments.epochs(out)[-1]["experiment_loss"] < experiments.epochs(out)[0]["experiment_loss"]
