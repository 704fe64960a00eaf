"""Epochs that go wrong leave no trace but lower learning rates."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load

import experiments
from experiments import Stop, config, same
from fusepot.errors import TrainingError
from fusepot.sampling import SimulationDiverged
from fusepot.training import fused, walks
from fusepot.training.exp import ExpTrainer
from fusepot.training.run import CHECKPOINT
from fusepot.training.views import Viewer
from trainings import WILD, run

pytestmark = pytest.mark.usefixtures("compiled_once")


def arrays(out: Path) -> dict[str, np.ndarray]:
    return load((out / CHECKPOINT).read_bytes())


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
