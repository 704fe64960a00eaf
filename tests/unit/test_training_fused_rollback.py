"""Epochs that go wrong leave no trace but lower learning rates, and crashes leave none at all."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load

import experiments
from experiments import Stop, config, experiment, same
from fusepot.errors import TrainingError
from fusepot.sampling import SimulationDiverged
from fusepot.training import fused, metrics, walks
from fusepot.training.exp import ExpTrainer
from fusepot.training.interrupt import TrainingInterrupted
from fusepot.training.run import CHECKPOINT, METRICS
from fusepot.training.views import Viewer

OF = experiment((150.0, 350.0))
# So high that the first epoch ends in a simulation that blows up, until it has been divided by 4 three times.
WILD = {"rollback_factor": 0.25, "optimizer": {"learning_rate": 8.0}}


@pytest.fixture(scope="module", autouse=True)
def _compiled_once():
    with experiments.shared_compilation():
        yield


def run(settings: Any, out: Path, **changes: Any) -> Any:
    return experiments.run(settings, out, **{"experiment": OF} | changes)


def arrays(out: Path) -> dict[str, np.ndarray]:
    return load((out / CHECKPOINT).read_bytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Undisturbed trainings of three epochs, each done once: result and folder."""
    made: dict[str, Any] = {}

    def train(mode: str = "epoch", **changes: Any) -> Any:
        key = repr((mode, changes))
        if key not in made:
            out = tmp_path_factory.mktemp("whole")
            made[key] = run(config(mode, **changes), out), out
        return made[key]

    return train


# ------------------------------------------------------------------------------------------------------- epochs failed


def test_a_rolled_back_epoch_never_was(whole, tmp_path):
    """After three failures all is, bit by bit, as with learning rates that were 64 times lower from the outset."""
    _, wild = whole(experiment=WILD)
    assert [event["learning_rate_scale"] for event in experiments.events(wild)] == [1 / 4, 1 / 16, 1 / 64]
    for event in experiments.events(wild):
        assert (event["event"], event["epoch"]) == ("rollback", 0)
        assert "K: system 0 diverged after step" in event["reason"]
    gentle = config(
        experiment={**WILD, "optimizer": {"learning_rate": 8.0 / 64}}, fused={"optimizer": {"learning_rate": 1e-3 / 64}}
    )
    result = run(gentle, tmp_path)
    assert experiments.events(tmp_path) == []
    changed = "learning_rate_scale"
    for a, b in zip(experiments.epochs(wild), experiments.epochs(tmp_path), strict=True):
        assert {k: v for k, v in a.items() if k != changed} == {k: v for k, v in b.items() if k != changed}
        assert (a[changed], b[changed]) == (1.0 if a["epoch"] == 0 else 1 / 64, 1.0)
    a, b = arrays(wild), arrays(tmp_path)
    assert a.pop(".rate_scale") == 1 / 64
    assert b.pop(".rate_scale") == 1
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert same(whole(experiment=WILD)[0].potential.params, result.potential.params)


class Fault:
    """Something that goes wrong at one place: once, or from some moment on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        self.armed = False
        self.forever = False
        self.count = 0
        getattr(self, where)(monkeypatch)

    def strikes(self) -> bool:
        if self.armed:
            self.armed = self.forever
            self.count += 1
            return True
        return False

    def gradient(self, monkeypatch):
        original = ExpTrainer.gradient

        def gradient(own, views, *, which):
            found, signals = original(own, views, which=which)
            return (jax.tree.map(lambda leaf: leaf * np.nan, found) if self.strikes() else found), signals

        monkeypatch.setattr(ExpTrainer, "gradient", gradient)

    def pull_back(self, monkeypatch):
        original = Viewer.pull_back

        def pull_back(own, *arguments):
            return original(own, *arguments) * (np.inf if self.strikes() else 1)

        monkeypatch.setattr(Viewer, "pull_back", pull_back)

    def energy(self, monkeypatch):
        original = Viewer.dense

        def dense(own, *arguments):
            found = original(own, *arguments)
            return {**found, "energy": found["energy"] * np.nan} if self.strikes() else found

        monkeypatch.setattr(Viewer, "dense", dense)

    def loss(self, monkeypatch):
        original = ExpTrainer._arguments

        def arguments(own, view, index):
            values, reference, targets, *rest = original(own, view, index)
            return values, reference, targets * (np.nan if self.strikes() else 1), *rest

        monkeypatch.setattr(ExpTrainer, "_arguments", arguments)

    def _trainer(self, monkeypatch, change: Callable[[Any], dict[str, Any]]) -> None:
        original = fused.make_trainer

        def make(*arguments, **options):
            made = original(*arguments, **options)
            return replace(made, **change(made))

        monkeypatch.setattr(fused, "make_trainer", make)

    def labels(self, monkeypatch):
        def change(made):
            def step(state, bins, rate):
                after = made.step(state, bins, rate)
                return (
                    after._replace(params=jax.tree.map(lambda x: x * np.nan, after.params)) if self.strikes() else after
                )

            return {"step": step}

        self._trainer(monkeypatch, change)

    def label_loss(self, monkeypatch):
        def change(made):
            def step(state, bins, rate):
                after = made.step(state, bins, rate)
                return after._replace(sums=after.sums._replace(loss=np.array(np.inf))) if self.strikes() else after

            return {"step": step}

        self._trainer(monkeypatch, change)

    def validation(self, monkeypatch):
        def change(made):
            def measure(params, bins):
                sums = made.measure(params, bins)
                return sums._replace(loss=sums.loss * np.nan) if self.strikes() else sums

            return {"measure": measure}

        self._trainer(monkeypatch, change)

    def simulation(self, monkeypatch):
        original = walks.advance_many

        def advance(*arguments, **options):
            if self.strikes():
                raise SimulationDiverged("two atoms overlap", system=0, step=7, temperature_K=9.0)
            return original(*arguments, **options)

        monkeypatch.setattr(walks, "advance_many", advance)


FAULTS = {
    "gradient": "the loss on DFT data or a parameter is not finite",
    "pull_back": r"state point of \d+ K: the gradient is not finite",
    "energy": r"state point of \d+ K: energy is not finite",
    "loss": r"state point of \d+ K: the (loss|gradient) is not finite",
    "labels": "the loss on DFT data or a parameter is not finite",
    "label_loss": "the loss on DFT data or a parameter is not finite",
    "validation": "the loss on the validation set is not finite",
    "simulation": r"state point of \d+ K: system 0 diverged after step 7: two atoms overlap",
}


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("where", FAULTS)
def test_whatever_goes_wrong_the_state_before_the_epoch_stays(tmp_path, monkeypatch, where):
    """Once, in the second epoch, wherever a number can be not finite."""
    settings = config("batch", experiment={"batch_size": 1, "rollback_factor": 0.25, "reuse": {"method": "never"}})
    fault, states = Fault(monkeypatch, where), []
    original = fused.save_checkpoint

    def save(path, state, identity):
        states.append(state)
        original(path, state, identity)

    def observer(progress):
        fault.armed = progress.epoch == 1 and "event" not in progress.record

    monkeypatch.setattr(fused, "save_checkpoint", save)
    result = run(settings, tmp_path, observer=observer)
    assert fault.count == 1
    (event,) = experiments.events(tmp_path)
    assert re.search(FAULTS[where], event["reason"]), event
    assert (event["epoch"], event["learning_rate_scale"]) == (1, 0.25)
    assert [record.get("event", record["epoch"]) for record in experiments.log(tmp_path)] == [0, 1, "rollback", 2, 3]
    assert [line["learning_rate_scale"] for line in experiments.epochs(tmp_path)] == [1, 1, 0.25, 0.25]
    _, before, after, following, _ = states
    assert (float(after.rate_scale), int(after.failures)) == (0.25, 1)
    assert same(after._replace(rate_scale=before.rate_scale, failures=before.failures), before)
    assert (float(following.rate_scale), int(following.failures)) == (0.25, 0)
    assert result.epochs == 3
    assert np.isfinite(jax.flatten_util.ravel_pytree(result.potential.params)[0]).all()


def test_it_gives_up_and_can_still_be_continued(tmp_path, monkeypatch):
    settings = config(experiment={"rollbacks": 2, "rollback_factor": 0.25})
    fault = Fault(monkeypatch, "gradient")
    fault.forever = True

    def observer(progress):
        fault.armed = fault.armed or progress.epoch == 1

    message = r"epoch 2 went wrong 3 times, at last with learning rates 0\.062 times those configured: the loss"
    for _ in range(2):  # whoever tries again gets the same answer, and the same log
        with pytest.raises(TrainingError, match=message):
            run(settings, tmp_path, observer=observer)
        assert [event["learning_rate_scale"] for event in experiments.events(tmp_path)] == [0.25, 0.0625, 0.015625]
        assert [line["epoch"] for line in experiments.epochs(tmp_path)] == [0, 1]
        assert arrays(tmp_path)[".rate_scale"] == 0.0625
    fault.armed = fault.forever = False
    result = run(settings, tmp_path)
    assert (result.start_epoch, result.epochs) == (1, 3)
    # The learning rates of the last attempt that is on record were tried once more, and now worked.
    assert [event["learning_rate_scale"] for event in experiments.events(tmp_path)] == [0.25, 0.0625]
    assert [line["learning_rate_scale"] for line in experiments.epochs(tmp_path)] == [1, 1, 0.0625, 0.0625]


def test_no_rollbacks_at_all_may_be_wanted(tmp_path):
    settings = config(experiment={**WILD, "rollbacks": 0})
    with pytest.raises(TrainingError, match="epoch 1 went wrong 1 times, at last with learning rates 1 times"):
        run(settings, tmp_path)
    assert [line["epoch"] for line in experiments.epochs(tmp_path)] == [0]


@pytest.mark.parametrize("moment", ["before the checkpoint", "after it", "in the next attempt"])
def test_a_crash_after_a_rollback_keeps_the_lowered_learning_rates(whole, tmp_path, monkeypatch, moment):
    settings, fault = config(experiment=WILD), Fault(monkeypatch, "pull_back")
    original, seen = fused.save_checkpoint, []

    def observer(progress):
        seen.append(progress.record.get("event"))
        if moment == "before the checkpoint" and seen == [None, "rollback", "rollback"]:
            raise Stop

    def save(path, state, identity):
        original(path, state, identity)
        if moment == "after it" and seen == [None, "rollback", "rollback"]:
            raise Stop

    def strikes():
        if moment == "in the next attempt" and seen == [None, "rollback", "rollback"]:
            raise Stop
        return False

    monkeypatch.setattr(fault, "strikes", strikes)
    monkeypatch.setattr(fused, "save_checkpoint", save)
    with pytest.raises(Stop):
        run(settings, tmp_path, observer=observer)
    monkeypatch.undo()
    result = run(settings, tmp_path)
    assert result.start_epoch == 0
    expected, folder = whole(experiment=WILD)
    assert experiments.log(tmp_path) == experiments.log(folder)
    assert (tmp_path / CHECKPOINT).read_bytes() == (folder / CHECKPOINT).read_bytes()
    assert same(result.potential.params, expected.potential.params)


@pytest.mark.parametrize("fault", ["atoms overlap", "parameters are not finite", "labels are not predicted"])
def test_a_potential_that_is_of_no_use_is_refused(tmp_path, monkeypatch, fault):
    start = experiments.initial()
    if fault == "labels are not predicted":
        Fault(monkeypatch, "validation").armed = True
    else:
        factor = np.nan if fault.startswith("parameters") else 1.7
        start = replace(start, params={**start.params, "sigma": factor * start.params["sigma"]})
    with pytest.raises(TrainingError, match="The potential to start from cannot be trained further: "):
        run(config(), tmp_path, start=start)
    assert not (tmp_path / CHECKPOINT).exists()
    assert experiments.log(tmp_path) == []


# ------------------------------------------------------------------------------------------------------------- crashes


def crashing(monkeypatch: pytest.MonkeyPatch, count: int, *, torn: bool) -> None:
    """Stop before the write number ``count`` of a training, or in the middle of it."""
    writes = iter(range(count))
    originals = fused.append_metrics, fused.save_checkpoint

    def append(path, record):
        if next(writes, None) is None:
            if torn:
                with path.open("a") as stream:
                    stream.write('{"epoch": 1, "poin')
            raise Stop
        originals[0](path, record)

    def save(path, state, identity):
        if next(writes, None) is None:
            if torn:
                path.with_name(f".{path.name}.1.tmp").write_bytes(b"half of it")
            raise Stop
        originals[1](path, state, identity)

    monkeypatch.setattr(fused, "append_metrics", append)
    monkeypatch.setattr(fused, "save_checkpoint", save)


@pytest.mark.parametrize(
    ("seed", "mode", "changes"),
    [
        (0, "sequential", {"reuse": {"method": "never"}}),
        (1, "epoch", WILD),
        (2, "batch", {"batch_size": 1, "patience": 2}),
        (3, "joint", {"reuse": {"method": "mbar", "memory": 2, "effective_fraction": 0.9}, "choice": "last"}),
    ],
)
def test_crashes_at_any_write_change_nothing(whole, tmp_path, seed, mode, changes):
    """Again and again, before or in the middle of a line of the log or of a checkpoint."""
    expected, folder = whole(mode, experiment=changes)
    rng, crashes, result = np.random.default_rng(seed), 0, None
    while result is None:
        with pytest.MonkeyPatch.context() as patch:
            crashing(patch, int(rng.integers(0, 5)), torn=bool(rng.integers(2)))
            try:
                result = run(config(mode, experiment=changes), tmp_path)
            except Stop:
                crashes += 1
        assert crashes < 60, f"seed {seed}: no progress"
    assert crashes > 2, f"seed {seed}: hardly anything was tested"
    assert experiments.log(tmp_path) == experiments.log(folder), f"seed {seed}"
    assert (tmp_path / CHECKPOINT).read_bytes() == (folder / CHECKPOINT).read_bytes(), f"seed {seed}"
    assert same(result.potential.params, expected.potential.params)
    assert result.potential.provenance == expected.potential.provenance
    assert result.potential.reference_energies == expected.potential.reference_energies


def test_starting_over_forgets_the_run_before_at_once(tmp_path):
    """A crash right after ``--no-resume`` is not continued from the old checkpoint with an empty log."""
    settings = config(experiment={"epochs": 1})
    run(settings, tmp_path)
    done = (tmp_path / CHECKPOINT).read_bytes(), experiments.log(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        crashing(patch, 0, torn=False)
        with pytest.raises(Stop):
            run(settings, tmp_path, resume=False)
    assert experiments.log(tmp_path) == []
    assert run(settings, tmp_path).start_epoch == 0
    assert ((tmp_path / CHECKPOINT).read_bytes(), experiments.log(tmp_path)) == done


def test_a_log_that_was_taken_away_is_missed_in_words(tmp_path):
    settings = config(experiment={"epochs": 1})
    run(settings, tmp_path)
    (tmp_path / METRICS).unlink()
    with pytest.raises(TrainingError, match=r"metrics\.jsonl: no line of epoch \d, .* --no-resume"):
        run(settings, tmp_path)


# ------------------------------------------------------------------------------------------------------- stop requests


def kill(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("place", ["sampling", "an update", "an epoch without simulations", "the first look"])
def test_a_stop_request_is_honoured_soon_and_nothing_is_lost(whole, tmp_path, monkeypatch, number, place):
    # Without simulations: every trajectory is good enough for ever.
    reuse = {"method": "reweight", "effective_fraction": 0.01} if "without" in place else {"method": "never"}
    settings, calls, sampled = config("batch", experiment={"reuse": reuse}), [], []
    expected, folder = whole("batch", experiment={"reuse": reuse})
    advance, gradient = walks.advance_many, ExpTrainer.gradient

    def advancing(*arguments, **options):
        sampled.append(1)
        if (place, len(sampled)) in (("sampling", 60), ("the first look", 5)):
            kill(number)
        return advance(*arguments, **options)

    def pulling(*arguments, **options):
        calls.append(1)
        if place in ("an update", "an epoch without simulations") and len(calls) == 2:
            kill(number)
        return gradient(*arguments, **options)

    monkeypatch.setattr(walks, "advance_many", advancing)
    monkeypatch.setattr(ExpTrainer, "gradient", pulling)
    before = signal.getsignal(number)
    with pytest.raises(TrainingInterrupted, match="Run again") as caught:
        run(settings, tmp_path)
    assert caught.value.exit_code == 130
    assert signal.getsignal(number) == before
    assert str(tmp_path / CHECKPOINT) in str(caught.value)
    done = experiments.epochs(tmp_path)
    if place == "the first look":
        assert done == []
        assert not (tmp_path / CHECKPOINT).exists()
    elif place == "sampling":
        assert len(sampled) < 60 + 2 * 11, "state points that wait for their turn are not begun"
        assert "stopped in epoch" in str(caught.value)
    else:
        assert [line["epoch"] for line in done] == [0, 1], "the epoch goes on after the request"
    monkeypatch.undo()
    result = run(settings, tmp_path)
    assert experiments.log(tmp_path) == experiments.log(folder)
    assert (tmp_path / CHECKPOINT).read_bytes() == (folder / CHECKPOINT).read_bytes()
    assert same(result.potential.params, expected.potential.params)


def test_a_request_at_the_very_end_is_too_late(tmp_path):
    """Nothing is left to do: the result is better than an interruption."""

    def observer(progress):
        if progress.epoch == 1:
            kill()

    assert run(config(experiment={"epochs": 1}), tmp_path, observer=observer).epochs == 1


# ---------------------------------------------------------------------------------------------------------- disks full


@pytest.mark.parametrize("name", [METRICS, CHECKPOINT])
def test_a_full_disk_is_named_and_the_run_can_be_continued(whole, tmp_path, monkeypatch, name):
    expected, folder = whole()
    calls = []

    def full(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        calls.append(Path(path).name)
        if name in path and sum(name in call for call in calls) == 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=rf"{name}: the .* could not be written \(No space left on device\)"):
        run(config(), tmp_path)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, METRICS]
    result = run(config(), tmp_path)
    assert 0 < result.start_epoch < 3
    assert experiments.log(tmp_path) == experiments.log(folder)
    assert same(result.potential.params, expected.potential.params)


# ------------------------------------------------------------------------------------------------------------- the log


def test_lines_that_a_resumed_run_writes_again_are_dropped(tmp_path):
    path = tmp_path / METRICS
    event = {"event": "rollback"}
    lines = [{"epoch": 0}, {"epoch": 0, **event}, {"epoch": 1}, {"epoch": 1, **event}, {"epoch": 1, **event, "x": 1.5}]
    for line in [*lines, {"epoch": 2}]:
        metrics.append_metrics(path, line)
    for epoch, failures, kept in (
        (2, 0, 6),
        (1, 2, 5),
        (1, 7, 5),
        (1, 1, 4),
        (1, 0, 3),
        (0, 1, 2),
        (0, 0, 1),
        (-1, 0, 0),
    ):
        metrics.drop_metrics_after(path, epoch, failures=failures)
        assert metrics.read_metrics(path) == [*lines, {"epoch": 2}][:kept]
    metrics.drop_metrics_after(path, 5)
    assert path.read_text() == ""


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    path = tmp_path / METRICS
    metrics.append_metrics(path, {"epoch": 1, "a": [float("nan"), {"b": float("inf")}], "c": (1.0, float("-inf"))})
    assert metrics.read_metrics(path) == [{"epoch": 1, "a": [None, {"b": None}], "c": [1.0, None]}]
    with pytest.raises(TrainingError, match=r"nowhere/metrics\.jsonl: the metrics log could not be written \(No such"):
        metrics.append_metrics(tmp_path / "nowhere" / METRICS, {"epoch": 1})
