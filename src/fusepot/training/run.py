"""The loop of a training run: epochs, validation, metrics log, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusepot.data import Split
from fusepot.data.bins import Bin, Packer
from fusepot.errors import TrainingError
from fusepot.training.checkpoint import load_checkpoint, save_checkpoint
from fusepot.training.config import TrainConfig
from fusepot.training.interrupt import TrainingInterrupted
from fusepot.training.loss import errors_of, no_sums
from fusepot.training.metrics import append_metrics, drop_metrics_after
from fusepot.training.optimizer import is_finite, learning_rate
from fusepot.training.state import Trainer, TrainState

CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class Progress:
    """What an observer is told after every batch and, with a ``record``, after every epoch.

    Attributes:
        epoch: completed epochs.
        epochs: of the whole run.
        fraction: of the current epoch, 0 ... 1.
        record: the line of the metrics log, after an epoch.
    """

    epoch: int
    epochs: int
    fraction: float
    record: dict[str, Any] | None = None


def silent(progress: Progress) -> None:
    """An observer that does nothing."""


@dataclass(frozen=True)
class Run:
    """One run: what does not change while its state moves.

    Attributes:
        config: the whole configuration.
        packer: the data, ready to be packed.
        split: which structures train, validate and test.
        trainer: the compiled functions.
        out: folder of the checkpoint and the metrics log.
        observer: told about progress.
    """

    config: TrainConfig
    packer: Packer
    split: Split
    trainer: Trainer
    out: Path
    observer: Callable[[Progress], None]

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint of this run belongs to."""
        return {"configuration": self.config.fingerprint(), "data set": self.packer.dataset.content_hash()}

    def start(self, resume: bool) -> TrainState:
        """A fresh state, or the one of the checkpoint; the metrics log is cut to match."""
        state = self.trainer.init()
        checkpoint = self.out / CHECKPOINT
        if resume and checkpoint.exists():
            state = load_checkpoint(checkpoint, state, self.identity)
        drop_metrics_after(self.out / METRICS, int(state.epoch) if resume else -1)
        return state

    def finished(self, state: TrainState) -> bool:
        """All epochs done, or no better validation loss for too long."""
        patience = self.config.training.patience
        return int(state.epoch) >= self.config.training.epochs or (
            patience is not None and int(state.stale) >= patience
        )

    def save(self, state: TrainState) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.out / CHECKPOINT, state, self.identity)

    def batches(self, state: TrainState) -> list[list[tuple[int, ...]]]:
        """The batches of the state's epoch as members of bins: a function of seed and epoch alone."""
        train = self.split.train
        order = np.random.default_rng([*map(int, state.key), int(state.epoch)]).permutation(train)
        bins = list(self.packer.pack(order))
        per_batch = max(1, round(self.config.training.batch_size * len(bins) / len(train)))
        return [bins[k : k + per_batch] for k in range(0, len(bins), per_batch)]

    def build(self, members: Sequence[tuple[int, ...]]) -> list[Bin]:
        """The arrays of bins with these members."""
        return [self.packer.build(group) for group in members]

    def epoch(self, state: TrainState, stopped: Callable[[], bool]) -> TrainState:
        """Finish the state's epoch, validate, log and keep the best parameters."""
        start, epochs = time.monotonic(), self.config.training.epochs
        batches = self.batches(state)
        done = int(state.epoch)

        def rate(k: int) -> float:
            return learning_rate(self.config.optimizer, epochs=epochs, progress=done + k / len(batches))

        for k in range(int(state.batch), len(batches)):
            after = self.trainer.step(state, self.build(batches[k]), rate(k))
            if not (np.isfinite(after.sums.loss) and is_finite(after.params)):
                self.save(state)
                raise TrainingError(self._diagnosis(state, batches[k]))
            state = after
            self.observer(Progress(done, epochs, (k + 1) / len(batches)))
            if stopped():
                self.save(state)
                raise TrainingInterrupted(
                    f"stopped in epoch {done + 1}; {self.out / CHECKPOINT} is written. Run again to continue."
                )
        state, validation = self.validate(state)
        record = {
            "epoch": done + 1,
            "learning_rate": rate(len(batches) - 1),
            **{f"train_{name}": value for name, value in errors_of(state.sums).items()},
            **{f"validation_{name}": value for name, value in validation.items()},
            "best_epoch": int(state.best_epoch),
            "seconds": round(time.monotonic() - start, 3),
        }
        state = state._replace(batch=np.zeros((), np.int32), sums=no_sums(self.config.model.dtype))
        append_metrics(self.out / METRICS, record)
        if (done + 1) % self.config.training.checkpoint_every == 0 or self.finished(state):
            self.save(state)
        self.observer(Progress(done + 1, epochs, 0.0, record))
        return state

    def validate(self, state: TrainState) -> tuple[TrainState, dict[str, float]]:
        """Count the epoch; keep its parameters where they are better than any before."""
        bins = self.build(list(self.packer.pack(self.split.validation)))
        errors = errors_of(self.trainer.measure(state.ema, bins))
        state = state._replace(epoch=state.epoch + np.int32(1), stale=state.stale + np.int32(1))
        if errors["loss"] < float(state.best_loss):
            state = state._replace(
                best_params=state.ema,
                best_loss=np.array(errors["loss"]),
                best_epoch=state.epoch,
                stale=np.zeros((), np.int32),
            )
        return state, errors

    def _diagnosis(self, state: TrainState, members: Sequence[tuple[int, ...]]) -> str:
        """Which structures were in the batch that broke, and which of them alone have a loss that is not finite."""
        indices = [i for group in members for i in group]
        samples = self.packer.dataset.samples
        alone = [i for i in indices if not np.isfinite(self.trainer.measure(state.params, self.build([(i,)])).loss)]
        listed = ", ".join(f"{i} ({samples[i].config_type})" for i in indices)
        culprits = f" Alone, {', '.join(map(str, alone))} already give a loss that is not finite." if alone else ""
        return (
            f"epoch {int(state.epoch) + 1}, batch {int(state.batch) + 1}: the loss or a parameter is not finite. "
            f"Structures in the batch: {listed}.{culprits} The state before this batch is in {self.out / CHECKPOINT}. "
            "Lower optimizer.learning_rate, set optimizer.gradient_clip, or look at these structures."
        )
