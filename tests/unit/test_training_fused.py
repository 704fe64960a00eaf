"""Sequential and fused training: who moves what and when, what is logged, what comes out, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import experiments
import labelled
import potentials
import structures
from experiments import MODES, config, experiment, same, target
from fusepot.data import Dataset, label
from fusepot.errors import ConfigError, InputError, TrainingError
from fusepot.gradient import precision
from fusepot.observables import find_observable, observe
from fusepot.potential import predict, predict_many
from fusepot.sampling import Nvt, SimulationDiverged, simulate
from fusepot.training import walks
from fusepot.training.config import TrainConfig, parse_config
from fusepot.training.dft import TrainingResult
from fusepot.training.fused import energy_shift
from fusepot.training.loss import no_sums
from fusepot.training.optimizer import learning_rate
from fusepot.training.run import CHECKPOINT, METRICS
from fusepot.training.turns import Epoch, Step, Turns
from fusepot.validation.analysis.parity import evaluate


@pytest.fixture(scope="module", autouse=True)
def _compiled_once():
    with experiments.shared_compilation():
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trainings by what they differ in, each done once: result and folder."""
    made: dict[str, tuple[TrainingResult, Path]] = {}

    def train(mode: str = "epoch", *, of: Any = None, **changes: Any) -> tuple[TrainingResult, Path]:
        key = repr((mode, of, changes))
        if key not in made:
            out = tmp_path_factory.mktemp(mode)
            made[key] = experiments.run(config(mode, **changes), out, experiment=of or experiment()), out
        return made[key]

    return train


# ---------------------------------------------------------------------------------------------------- what is done when


@pytest.mark.parametrize("size", [None, 1, 2, 7])
@pytest.mark.parametrize("mode", MODES)
def test_every_epoch_uses_every_batch_and_every_state_point_once(tmp_path, mode, size):
    of = experiment((100.0, 150.0, 200.0, 250.0, 300.0))
    one, other = (experiments.turns(config(mode, experiment={"batch_size": size}), tmp_path, of=of) for _ in range(2))
    with precision("float64"):
        state = one.begin(experiments.initial_params())
    for epoch in range(4):
        state = state._replace(dft=state.dft._replace(epoch=np.int32(epoch)))
        steps = one.steps(state)
        assert steps == one.steps(state) == other.steps(state)
        assert sorted(k for step in steps for k in step.points) == [0, 1, 2, 3, 4]
        assert {len(step.points) for step in steps} <= {0, size or 5, 5 % (size or 5) or 5}
        batches = one.run.batches(state.dft)
        done = [k for step in steps for k in step.batches]
        assert done == ([] if mode == "sequential" else list(range(len(batches))))
        members = sorted(i for k in done for group in batches[k] for i in group)
        assert members == ([] if mode == "sequential" else one.run.split.train.tolist())
        assert steps[0].points, "an epoch begins with state points"
        assert all(step.joint == (mode == "joint") for step in steps)
        # How many DFT batches come with, or after, each batch of state points.
        starts = [k for k, step in enumerate(steps) if step.points]
        shares = [sum(len(s.batches) for s in steps[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)]
        if mode == "epoch":
            assert shares == [0] * (len(starts) - 1) + [len(batches)]
            assert all(len(step.batches) == 1 for step in steps[len(starts) :])
        elif mode != "sequential":
            assert sum(shares) == len(batches)
            assert max(shares) - min(shares) <= 1
            assert all(len(step.batches) <= 1 for step in steps) or mode == "joint"


def test_the_order_follows_seeds_and_epoch(tmp_path):
    of = experiment(tuple(float(t) for t in range(100, 700, 50)))

    def orders(**changes: Any) -> list[tuple[list[Step], list[Any]]]:
        turns = experiments.turns(config("batch", **changes), tmp_path, of=of)
        with precision("float64"):
            state = turns.begin(experiments.initial_params())
        states = [state._replace(dft=state.dft._replace(epoch=np.int32(k))) for k in range(3)]
        return [([s for s in turns.steps(state) if s.points], turns.run.batches(state.dft)) for state in states]

    plain = orders(experiment={"batch_size": 2})
    assert len({repr(points) for points, _ in plain}) == len({repr(batches) for _, batches in plain}) == 3
    reseeded = orders(experiment={"batch_size": 2, "seed": 1})
    assert [points for points, _ in reseeded] != [points for points, _ in plain]
    assert [batches for _, batches in reseeded] == [batches for _, batches in plain]
    reseeded = orders(experiment={"batch_size": 2}, training={"seed": 1})
    assert [points for points, _ in reseeded] == [points for points, _ in plain]
    assert [batches for _, batches in reseeded] != [batches for _, batches in plain]


def test_each_trainer_has_its_own_learning_rate(tmp_path):
    settings = config(
        training={"epochs": 77},
        optimizer={"learning_rate": 55.0},
        experiment={"epochs": 10, "optimizer": {"learning_rate": 8e-3, "schedule": "exponential"}},
        fused={"optimizer": {"learning_rate": 1e-3, "schedule": "cosine", "final_fraction": 0.2}},
    )
    turns = experiments.turns(settings, tmp_path)
    with precision("float64"):
        state = turns.begin(experiments.initial_params())
        assert turns.rates(state, 0.0) == pytest.approx((1e-3, 8e-3), rel=1e-6)
        later = state._replace(dft=state.dft._replace(epoch=np.int32(4)))
        middle = turns.rates(later, 0.5)
        assert settings.experiment is not None
        for rate, section in zip(middle, (settings.turns().optimizer, settings.experiment.optimizer), strict=True):
            # Epochs are those of [experiment]: [training] is about the pre-training.
            assert rate == pytest.approx(learning_rate(section, epochs=10, progress=4.5), rel=1e-12)
        lowered = turns.after_failure(turns.after_failure(later))
        assert turns.rates(lowered, 0.5) == pytest.approx(tuple(rate / 4 for rate in middle), rel=1e-12)


def begun(settings: TrainConfig, out: Path) -> tuple[Turns, Epoch]:
    """A training after its first look at the state points."""
    turns = experiments.turns(settings, out)
    return turns, turns.first_look(turns.begin(experiments.initial_params()))


def test_the_optimisers_are_kept_apart(tmp_path, monkeypatch):
    with precision("float64"):
        turns, first = begun(config("epoch"), tmp_path)
        count = len(turns.run.batches(first.state.dft))
        for steps in (
            [Step(points=(0, 1, 2))],
            [Step(batches=(k,)) for k in range(count)],
            [Step((0, 1), (0, 2), True)],
        ):
            monkeypatch.setattr(Turns, "steps", lambda self, state, steps=steps: list(steps))
            after = turns.epoch(first.state, first.views).state
            assert not same(after.dft.params, first.state.dft.params)
            by_experiment = bool(steps[0].points)
            assert same(after.dft.opt_state, first.state.dft.opt_state) == by_experiment
            assert same(after.opt_state, first.state.opt_state) != by_experiment
        # Updates by DFT batches are those of the DFT trainer alone, bit by bit.
        monkeypatch.setattr(Turns, "steps", lambda self, state: [Step(batches=(k,)) for k in range(count)])
        after = turns.epoch(first.state, first.views).state
        alone = first.state.dft
        for k, batch in enumerate(turns.run.batches(alone)):
            rate = turns.rates(first.state, k / count)[0]
            alone = turns.run.trainer.step(alone, turns.run.build(batch), rate)
        assert same((after.dft.params, after.dft.opt_state), (alone.params, alone.opt_state))
        assert same(after.dft.sums, no_sums("float64"))
        assert (int(after.dft.epoch), int(after.dft.batch)) == (1, 0)


@pytest.mark.parametrize(("mode", "weight"), [("epoch", None), ("joint", None), ("joint", 3.0)])
def test_the_gradient_of_an_update_is_that_of_the_documented_loss(tmp_path, monkeypatch, mode, weight):
    """By finite differences of reweighted losses at all state points and of the mean loss on DFT data."""
    fused = {} if weight is None else {"fused": {"weight": weight}}
    with precision("float64"):
        turns, first = begun(config(mode, **fused, experiment={"batch_size": 2}), tmp_path)
        batches = turns.run.batches(first.state.dft)
        bins = turns.run.build([group for batch in batches for group in batch])
        step = Step(tuple(range(len(batches))) if mode == "joint" else (), (0, 2), joint=mode == "joint")
        monkeypatch.setattr(Turns, "steps", lambda self, state: [step])
        after = turns.epoch(first.state, first.views).state
        adam = after.opt_state[0]
        beta = 0.9
        found = adam.mu["sigma"][0, 0] / (1 - beta), adam.mu["epsilon"][0, 1] / (1 - beta)

        def losses(name: str, where: tuple[int, int], change: float) -> tuple[float, float]:
            params = jax.tree.map(np.array, first.state.dft.params)
            params[name][where] += change
            _, views = turns.exp.look(first.state.exp, params, [])
            outcomes = turns.exp.outcomes(views)[1]
            sums = turns.run.trainer.measure(params, bins)
            return float(np.mean([outcomes[k].loss for k in (0, 2)])), float(sums.loss / sums.structures)

        expected = []
        for name, where in (("sigma", (0, 0)), ("epsilon", (0, 1))):
            h = 1e-5
            up, down = losses(name, where, h), losses(name, where, -h)
            by_experiment, by_labels = ((a - b) / (2 * h) for a, b in zip(up, down, strict=True))
            if mode == "joint":
                # If not given, both losses weigh the same at the start.
                factor = weight or first.record["validation_loss"] / first.record["experiment_loss"]
                expected.append(factor * by_experiment + by_labels)
            else:
                expected.append(by_experiment)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


# ------------------------------------------------------------------------------------------------------ what is logged


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


# ----------------------------------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("mode", ["sequential", "joint"])
def test_a_pressure_is_reached_and_an_independent_simulation_agrees(trained, mode):
    """Ablation: a single temperature. The joint one gives the labels little weight: they want another one."""
    goal = 10.0
    fused = {"fused": {"weight": 100.0}} if mode == "joint" else {}
    result, out = trained(
        mode,
        of=experiment((250.0,), (target("pressure", goal),)),
        experiment={
            "epochs": 12,
            "optimizer": {"learning_rate": 8e-3},
            "choice_weight": 0.0,
        },
        **fused,
    )
    lines = experiments.epochs(out)
    first, best = lines[0], lines[result.potential.provenance["best_epoch"]]
    assert abs(first["points"][0]["observables"]["pressure"][0] - goal) > 5
    assert best["experiment_loss"] < 0.02 * first["experiment_loss"]
    seed = 77
    trajectory = simulate(
        result.potential,
        experiments.crystal(),
        ensemble=Nvt(250.0, friction_per_ps=4.0),
        steps=4000,
        timestep_fs=2.0,
        sample_every=5,
        equilibration_steps=500,
        seed=seed,
    )
    found = observe(result.potential, trajectory, [find_observable("pressure")]).estimates["pressure"]
    bar = np.hypot(found.error, best["points"][0]["observables"]["pressure"][1])
    assert abs(found.value - goal) < 4 * bar + 0.02, f"seed {seed}: {found.value} ± {bar}, wanted {goal}"


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


# A learning rate that jumps around: some epochs are worse than the ones before.
JUMPY = {"optimizer": {"learning_rate": 0.01, "schedule": "constant"}, "reuse": {"method": "never"}}


def test_the_best_or_the_last_parameters_are_the_result(trained):
    of = experiment((200.0,))
    best, out = trained("sequential", of=of, experiment={**JUMPY, "epochs": 5})
    last, other = trained("sequential", of=of, experiment={**JUMPY, "epochs": 5, "choice": "last"})
    lines = experiments.epochs(out)
    assert lines == experiments.epochs(other)
    epoch = int(np.argmin([line["score"] for line in lines]))
    assert 0 < epoch < 5, "the last epoch is the best one: nothing was tested"
    assert best.potential.provenance["best_epoch"] == epoch
    assert last.potential.provenance["best_epoch"] == 5
    # Both are what a training of that many epochs ends with, since its learning rate is constant.
    for count, found in ((epoch, best), (5, last)):
        plain = trained("sequential", of=of, experiment={**JUMPY, "epochs": count, "choice": "last"})[0]
        assert same(found.potential.params, plain.potential.params)
        assert found.potential.reference_energies == plain.potential.reference_energies


def test_it_may_be_that_nothing_was_better_than_the_start(trained):
    result, out = trained("sequential", of=experiment((200.0,)), experiment={**JUMPY, "epochs": 1})
    lines = experiments.epochs(out)
    assert lines[1]["score"] > lines[0]["score"], "one step was an improvement: nothing was tested"
    assert result.potential.provenance["best_epoch"] == 0
    assert same(result.potential.params, experiments.initial_params())


def test_patience_ends_it(trained):
    of = experiment((200.0,))
    settings = {**JUMPY, "epochs": 40, "patience": 2}
    result, out = trained("sequential", of=of, experiment=settings)
    lines = experiments.epochs(out)
    scores = [line["score"] for line in lines]
    best = int(np.argmin(scores))
    assert result.epochs == len(lines) - 1 == best + 2 < 40
    assert result.potential.provenance["best_epoch"] == best
    # It stays finished.
    again = experiments.run(config("sequential", experiment=settings), out, experiment=of)
    assert (again.start_epoch, again.epochs) == (result.epochs, result.epochs)
    assert same(again.potential.params, result.potential.params)
    assert again.potential.provenance == result.potential.provenance


def test_model_choice_weighs_the_labels_too(trained):
    """Learning rates take the potential past the 3 GPa of the experiment to the -18 GPa of the labels."""
    of = experiment((200.0,), (target("pressure", 3.0),))
    found = []
    for weight in (0.0, 1000.0):
        result, out = trained("epoch", of=of, experiment={"epochs": 4, "choice_weight": weight, **JUMPY})
        lines = experiments.epochs(out)
        units = lines[0]["experiment_loss"], lines[0]["validation_loss"]
        scores = [line["experiment_loss"] / units[0] + weight * line["validation_loss"] / units[1] for line in lines]
        assert result.potential.provenance["best_epoch"] == int(np.argmin(scores))
        found.append(int(np.argmin(scores)))
    assert found[0] != found[1], "the weight made no difference: nothing was tested"


def test_a_target_that_is_met_from_the_start_does_no_harm(tmp_path):
    """Losses that are corrected for their variance may then be negative, and labels may be met exactly."""
    teacher = labelled.teacher()
    settings = config("joint", experiment={"epochs": 1, "optimizer": {"learning_rate": 1e-4}})
    of = experiment((150.0,), (target("pressure", 13.4),))
    experiments.run(settings, tmp_path / "look", start=teacher, experiment=of)
    exact = experiments.epochs(tmp_path / "look")[0]["points"][0]["observables"]["pressure"][0]
    of = experiment((150.0,), (target("pressure", exact),))
    result = experiments.run(settings, tmp_path / "met", start=teacher, experiment=of)
    lines = experiments.epochs(tmp_path / "met")
    assert lines[0]["experiment_loss"] < 0
    assert lines[0]["validation_loss"] < 1e-20
    assert all(abs(line["score"]) < 1e12 for line in lines)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), result.potential.params, dict(teacher.params))
    assert max(moved.values()) < 1e-3


# -------------------------------------------------------------------------------------------------- the zero of energy


def test_the_shift_of_energies_is_one_constant_per_element():
    teacher, samples = labelled.teacher(), experiments.dataset().samples
    shifted = replace(teacher, reference_energies=tuple(np.add(teacher.reference_energies, (0.3, -0.2))))
    np.testing.assert_allclose(energy_shift(shifted, samples), (-0.3, 0.2), atol=1e-9)
    np.testing.assert_allclose(energy_shift(teacher, samples), (0.0, 0.0), atol=1e-9)
    # Structures of all sizes, some without energies; their kinds and weights play no part.
    np.testing.assert_allclose(energy_shift(shifted, labelled.dataset().samples), (-0.3, 0.2), atol=1e-9)
    # An element that does not occur, and no energies at all, leave nothing to find.
    wider = potentials.lennard_jones(("Ti", "Al", "V"), cutoff=4.5)
    assert energy_shift(wider, samples)[2] == 0.0
    assert energy_shift(teacher, [label(s.structure, forces=s.forces) for s in samples]) == (0.0, 0.0)
    assert energy_shift(teacher, []) == (0.0, 0.0)


@pytest.mark.parametrize("mode", ["sequential", "epoch", "joint"])
def test_only_sequential_training_takes_the_shift_out(tmp_path, mode):
    start = experiments.initial()
    offset = (0.3, -0.2)
    start = replace(start, reference_energies=tuple(np.add(start.reference_energies, offset)))
    plain = experiments.run(config(mode), tmp_path / "plain").potential
    result = experiments.run(config(mode), tmp_path / "shifted", start=start)
    found, train = result.potential, [result.dataset.samples[i] for i in result.split.train]
    if mode == "sequential":
        # The EXP trainer does not know the zero of energy: only the shift differs, and takes the constants out.
        assert same(found.params, plain.params)
        np.testing.assert_allclose(found.reference_energies, plain.reference_energies, rtol=1e-9)
        np.testing.assert_allclose(energy_shift(found, train), (0, 0), atol=1e-9)
        shift = found.provenance["energy_shift_eV_per_atom"]
        np.testing.assert_allclose(np.add(start.reference_energies, shift), found.reference_energies, rtol=1e-12)
        # Forces and stress are those of before.
        cell = structures.alloy((2, 2, 1), seed=9)
        a, b = predict(found, cell), predict(replace(found, reference_energies=start.reference_energies), cell)
        np.testing.assert_array_equal(a.forces, b.forces)
        np.testing.assert_array_equal(a.stress, b.stress)
        assert a.energy != b.energy
    else:
        # Labels say what the zero is, and are learnt from with the constants that came with the potential.
        assert found.reference_energies == start.reference_energies
        assert not same(found.params, plain.params)


def test_the_shift_is_that_of_the_training_set(tmp_path):
    """Energies of structures that only validate or test have no part in the result."""
    plain = experiments.run(config("sequential", experiment={"epochs": 1}), tmp_path / "a")
    samples = list(experiments.dataset().samples)
    for i in plain.split.validation:
        samples[i] = replace(samples[i], energy=samples[i].energy + 10.0)
    other = experiments.run(
        config("sequential", experiment={"epochs": 1}), tmp_path / "b", dataset=Dataset(tuple(samples))
    )
    assert other.potential.reference_energies == plain.potential.reference_energies


def test_fused_training_brings_labels_and_experiment_together(trained):
    """The labels' potential has -18 GPa in the crystal, the one to start from 17: both pull in the same direction."""
    of = experiment(targets=(target("pressure", 6.0),))
    result, out = trained("epoch", of=of, experiment={"epochs": 8, "choice": "last"})
    lines = experiments.epochs(out)
    assert lines[-1]["validation_loss"] < 0.5 * lines[0]["validation_loss"]
    assert lines[-1]["experiment_loss"] < 0.05 * lines[0]["experiment_loss"]
    samples = [result.dataset.samples[i] for i in result.split.validation]
    errors = []
    for potential in (experiments.initial(), result.potential):
        predicted, _ = predict_many(potential, [sample.structure for sample in samples])
        errors.append([np.abs(p.forces - s.forces).mean() for p, s in zip(predicted, samples, strict=True)])
    assert np.mean(errors[1]) < np.mean(errors[0])


# ---------------------------------------------------------------------------------------------------- what is refused


def test_a_dft_configuration_is_not_for_this_trainer(tmp_path):
    plain = parse_config({**experiments.BASE, "strategy": "dft"})
    with pytest.raises(ConfigError, match="strategy: got dft, expected sequential or fused"):
        experiments.run(plain, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "model",
    [
        {"architecture": "nep"},
        {"architecture": "lennard-jones", "settings": {"cutoff": 5.0}, "dtype": "float64"},
        {"architecture": "lennard-jones", "settings": {"cutoff": 4.5}, "dtype": "float32"},
        {"architecture": "lennard-jones", "settings": {"cutoff": 4.5}, "dtype": "float64", "elements": ["Al", "Ti"]},
    ],
)
def test_another_model_than_that_of_the_potential_is_refused(tmp_path, model):
    with pytest.raises(ConfigError, match=r"model: got .* Leave \[model\] out") as caught:
        experiments.run(config(model=model), tmp_path / "out")
    assert caught.value.argument == "model"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("elements", [[], ["Ti", "Al"]])
def test_the_same_model_is_accepted(tmp_path, elements, trained):
    own = {"architecture": "lennard-jones", "settings": {"cutoff": 4.5}, "dtype": "float64", "elements": elements}
    result = experiments.run(config(model=own, experiment={"batch_size": 2}), tmp_path)
    assert same(result.potential.params, trained("epoch", experiment={"batch_size": 2})[0].potential.params)


def test_committees_unknown_elements_and_wrong_units_are_refused(tmp_path):
    from fusepot.committee import join

    single = experiments.initial()
    committee = join([single, labelled.teacher()], names=["a", "b"])
    with pytest.raises(ConfigError, match="start: got a committee of 2, expected a single potential"):
        experiments.run(config(), tmp_path, start=committee)
    with pytest.raises(ConfigError, match="occur in the data"):
        experiments.run(config(), tmp_path, start=potentials.lennard_jones(("Ti",), cutoff=4.5))
    # The data are of titanium, the crystal is of aluminium.
    foreign = experiment()
    crystals = [replace(c, structure=structures.fcc((2, 2, 1))) for c in foreign.conditions]
    with pytest.raises(InputError, match="element Al") as caught:
        experiments.run(
            config(),
            tmp_path,
            start=potentials.lennard_jones(("Ti",), cutoff=4.5),
            dataset=experiments.dataset().select(range(6, 10)),
            experiment=replace(foreign, conditions=tuple(crystals)),
        )
    assert not isinstance(caught.value, ConfigError)
    with pytest.raises(InputError, match="unit of pressure: got bar, expected GPa"):
        experiments.run(config(), tmp_path, experiment=experiment(targets=(target("pressure", 1.0, unit="bar"),)))
    with pytest.raises(InputError, match=r"presure.*Did you mean pressure"):
        experiments.run(config(), tmp_path, experiment=experiment(targets=(target("presure", 1.0),)))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    settings = config(experiment={"epochs": 1})
    experiments.run(settings, tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes(), (tmp_path / METRICS).read_bytes()
    start = experiments.initial()
    others: list[tuple[str, TrainConfig, dict[str, Any]]] = [
        ("configuration", config(experiment={"epochs": 2}), {}),
        ("configuration", config("batch", experiment={"epochs": 1}), {}),
        ("experiment", settings, {"experiment": experiment(targets=(target("pressure", 14.5),))}),
        ("initial potential", settings, {"start": labelled.teacher()}),
        ("initial potential", settings, {"start": replace(start, reference_energies=(-1.0, -1.25))}),
        ("data set", settings, {"dataset": Dataset(experiments.dataset().samples[:-1])}),
    ]
    for what, other, changes in others:
        with pytest.raises(TrainingError, match=f"another {what}"):
            experiments.run(other, tmp_path, **changes)
        assert ((tmp_path / CHECKPOINT).read_bytes(), (tmp_path / METRICS).read_bytes()) == before
    assert experiments.run(settings, tmp_path).start_epoch == 1
    # A checkpoint of the DFT trainer in the same folder is none of this one.
    assert experiments.run(config(experiment={"epochs": 2}), tmp_path, resume=False).start_epoch == 0
