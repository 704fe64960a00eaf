"""Fused trainings that crash at any write, are stopped, or find the disk full continue to the same bits."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import experiments
from experiments import Stop, config, same
from fusepot.errors import TrainingError
from fusepot.training import fused, walks
from fusepot.training.exp import ExpTrainer
from fusepot.training.interrupt import TrainingInterrupted
from fusepot.training.run import CHECKPOINT, METRICS
from trainings import WILD, run

pytestmark = pytest.mark.usefixtures("compiled_once")


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
