"""Runs of sequential and fused training: what they log, when they are the same, and what a potential says of them."""

from __future__ import annotations

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import experiments
from experiments import MODES, config, experiment, same
from fusepot.observables import find_observable, observe
from fusepot.sampling import Nvt, simulate
from fusepot.training.config import parse_config
from fusepot.training.run import CHECKPOINT
from fusepot.validation.analysis.parity import evaluate

pytestmark = pytest.mark.usefixtures("compiled_once")


def test_epoch_0_is_the_potential_to_start_from(trained):
    """Its observables are those of independent simulations with the documented seeds, its errors those on the data."""
    result, out = trained("epoch", experiment={"variance_corrected": False, "epochs": 1})
    first, start = experiments.epochs(out)[0], experiments.initial()
    assert (first["epoch"], first["best_epoch"], first["learning_rate_scale"]) == (0, 0, 1.0)
    assert first["score"] == pytest.approx(1.1)  # in units of the losses at the start: 1 + choice_weight
    assert not [key for key in first if key.startswith("train_") or key.endswith("learning_rate")]
    losses = []
    for k, (point, condition) in enumerate(zip(first["points"], experiment().conditions, strict=True)):
        seed = int(np.random.SeedSequence([0, k]).generate_state(1)[0] >> 1)
        trajectory = simulate(
            start,
            condition.structure,
            ensemble=Nvt(condition.temperature_K, friction_per_ps=40.0),
            steps=200,
            timestep_fs=4.0,
            sample_every=5,
            equilibration_steps=100,
            seed=seed,
        )
        found = observe(start, trajectory, [find_observable("pressure")], blocks=4).estimates["pressure"]
        value, error, goal = point["observables"]["pressure"]
        np.testing.assert_allclose([value, error, goal], [found.value, found.error, experiments.PRESSURE], rtol=1e-9)
        losses.append((value - goal) ** 2)
        assert point["loss"] == pytest.approx(losses[-1], rel=1e-9)
        assert (point["temperature_K"], point["simulated"], point["effective_frames"], point["frames"]) == (
            condition.temperature_K,
            1,
            40.0,
            40,
        )
        assert not {"gradient_norm", "signal_to_noise"} & set(point)
    assert first["experiment_loss"] == pytest.approx(np.mean(losses), rel=1e-9)
    errors = evaluate(start, experiments.dataset().select(result.split.validation))
    assert first["validation_energy_rmse_meV_per_atom"] == pytest.approx(errors.energy.rmse, rel=1e-9)
    assert first["validation_forces_rmse_meV_per_A"] == pytest.approx(errors.forces.rmse, rel=1e-9)
    assert first["validation_virial_rmse_meV_per_atom"] == pytest.approx(errors.virial.rmse, rel=1e-9)


def test_the_variance_is_taken_out_of_the_loss_and_the_bias_out_of_the_observables(trained):
    plain, corrected = (
        experiments.epochs(trained("epoch", experiment={"variance_corrected": flag, "epochs": 1})[1])[0]
        for flag in (False, True)
    )
    for a, b in zip(plain["points"], corrected["points"], strict=True):
        value, error, goal = b["observables"]["pressure"]
        assert error == a["observables"]["pressure"][1]
        assert b["loss"] == pytest.approx((value - goal) ** 2 - error**2, rel=1e-9)
        # The pressure is linear in averages: a jackknife finds no bias.
        assert value == pytest.approx(a["observables"]["pressure"][0], rel=1e-9)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [None, 2])
def test_every_line_of_the_log_is_complete(trained, mode, size):
    result, out = trained(mode, experiment={"batch_size": size})
    lines = experiments.epochs(out)
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert experiments.events(out) == []
    for line in lines:
        json.dumps(line, allow_nan=False)
        assert [point["temperature_K"] for point in line["points"]] == list(experiments.TEMPERATURES)
        mean = np.mean([point["loss"] for point in line["points"]])
        assert line["experiment_loss"] == pytest.approx(mean, rel=1e-12)
        units = lines[0]["experiment_loss"], lines[0]["validation_loss"]
        score = line["experiment_loss"] / units[0]
        score += 0 if mode == "sequential" else 0.1 * line["validation_loss"] / units[1]
        assert line["score"] == pytest.approx(score, rel=1e-12)
        assert line["learning_rate_scale"] == 1.0
        for point in line["points"]:
            (value, error, goal) = point["observables"]["pressure"]
            assert (goal, point["frames"]) == (experiments.PRESSURE, 40)
            assert abs(value) < 30
            assert 0 < error < 2
            assert 0 < point["effective_frames"] <= 40
            assert point["simulated"] in (0, 1, 2)
    scores = [line["score"] for line in lines]
    for k, line in enumerate(lines[1:], start=1):
        assert line["best_epoch"] == int(np.argmin(scores[: k + 1]))
        assert all(point["gradient_norm"] > 0 and point["signal_to_noise"] > 0 for point in line["points"])
        assert ("train_loss" in line) == (mode != "sequential")
        assert 0 < line["dft_learning_rate"] <= 1e-3
        assert 0 < line["experiment_learning_rate"] <= 2e-3
    assert lines[-1]["experiment_loss"] < 0.7 * lines[0]["experiment_loss"]
    assert result.epochs == 3
    if mode != "sequential":
        assert lines[-1]["train_loss"] < lines[1]["train_loss"]


def test_modes_differ_and_each_of_them_is_the_same_every_time(trained, tmp_path):
    found = {mode: trained(mode, experiment={"batch_size": 2})[0].potential.params for mode in MODES}
    for a in MODES:
        for b in MODES:
            assert same(found[a], found[b]) == (a == b), (a, b)
    again = experiments.run(config("joint", experiment={"batch_size": 2}), tmp_path)
    assert same(again.potential.params, found["joint"])
    assert (tmp_path / CHECKPOINT).read_bytes() == (
        trained("joint", experiment={"batch_size": 2})[1] / CHECKPOINT
    ).read_bytes()


def test_taking_turns_may_have_a_loss_of_its_own(trained):
    weights = {"energy": 3.0, "forces": 0.5, "virial": 0.2, "config_types": {"ti": 0.3}}
    plain, other = (trained("epoch", experiment={"epochs": 1}, **changes)[0] for changes in ({}, {"loss": weights}))
    own = trained("epoch", experiment={"epochs": 1}, fused={"loss": weights})[0]
    assert same(own.potential.params, other.potential.params)
    assert not same(own.potential.params, plain.potential.params)


@pytest.mark.parametrize("mode", MODES)
def test_provenance_is_json_and_complete(trained, mode):
    result, out = trained(mode, experiment={"batch_size": 2})
    provenance = json.loads(json.dumps(dict(result.potential.provenance), allow_nan=False))
    settings = config(mode, experiment={"batch_size": 2})
    assert provenance["trainer"] == settings.strategy == ("sequential" if mode == "sequential" else "fused")
    recorded = parse_config(provenance["config"])
    model = {"architecture": "lennard-jones", "elements": ["Ti", "Al"], "dtype": "float64"}
    assert recorded == parse_config({**settings.as_json(), "model": {**model, "settings": {"cutoff": 4.5}}})
    assert recorded.model.settings == experiments.initial().config
    line = next(line for line in experiments.epochs(out) if line["epoch"] == provenance["best_epoch"])
    assert provenance["experiment"]["points"] == line["points"]
    assert provenance["experiment"]["sha256"] == experiment().sha256
    assert provenance["experiment_loss"] == line["experiment_loss"]
    assert provenance["epochs"] == 3
    assert provenance["start"] == {}
    assert provenance["data"]["sha256"] == experiments.dataset().sha256
    assert provenance["data"]["structures"] == {name: len(part) for name, part in result.split._asdict().items()}
    assert provenance["versions"]["jax"] == jax.__version__
    assert ("energy_shift_eV_per_atom" in provenance) == (mode == "sequential")


def test_where_it_started_is_on_record(tmp_path):
    start = replace(experiments.initial(), provenance={"trainer": "dft", "epochs": 3})
    result = experiments.run(config(experiment={"epochs": 1}), tmp_path, start=start)
    assert result.potential.provenance["start"] == {"trainer": "dft", "epochs": 3}


@pytest.mark.parametrize("elements", [[], ["Ti", "Al"]])
def test_the_same_model_is_accepted(tmp_path, elements, trained):
    own = {"architecture": "lennard-jones", "settings": {"cutoff": 4.5}, "dtype": "float64", "elements": elements}
    result = experiments.run(config(model=own, experiment={"batch_size": 2}), tmp_path)
    assert same(result.potential.params, trained("epoch", experiment={"batch_size": 2})[0].potential.params)
