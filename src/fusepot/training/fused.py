"""Sequential and fused training: a potential, labelled structures and an experiment in, a better potential out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fusepot.data import Dataset, Labelled, reference_energies
from fusepot.data.bins import prepare
from fusepot.data.targets import Experiment, load_experiment
from fusepot.errors import ConfigError, TrainingError
from fusepot.gradient import precision
from fusepot.models.interface import Params
from fusepot.potential import Potential, cast_params, predict_many
from fusepot.training.checkpoint import load_checkpoint, save_checkpoint
from fusepot.training.config import TrainConfig
from fusepot.training.dft import TrainingResult, labelled_data, provenance_of
from fusepot.training.exp import ExpTrainer
from fusepot.training.interrupt import TrainingInterrupted, stop_signals
from fusepot.training.metrics import append_metrics, drop_metrics_after, read_metrics
from fusepot.training.run import CHECKPOINT, METRICS, Progress, Run, silent
from fusepot.training.sections import ModelSection
from fusepot.training.state import make_trainer
from fusepot.training.turns import Epoch, Turns, TurnsState
from fusepot.training.views import View
from fusepot.training.walks import Diverged


def train_further(
    config: TrainConfig,
    potential: Potential,
    *,
    out: Path,
    resume: bool = True,
    observer: Callable[[Progress], None] = silent,
    dataset: Dataset | None = None,
    experiment: Experiment | None = None,
) -> TrainingResult:
    """Train a potential on experiment (``strategy = "sequential"``), or in turns on DFT data (``"fused"``).

    Continues from the checkpoint in ``out`` where there is one, with the same numbers as if it had never stopped.

    Args:
        config: the whole configuration.
        potential: to begin with, usually from the DFT trainer.
        out: folder for the checkpoint and ``metrics.jsonl``; made where missing.
        resume: continue; otherwise start over.
        observer: told after every epoch.
        dataset: instead of reading ``config.data.path``.
        experiment: instead of reading ``config.experiment.path``.

    Raises:
        DataError, ConfigError, InputError: unusable data, configuration or experiment.
        TrainingError: an epoch went wrong too often, or a checkpoint of another run, or one that cannot be written.
        TrainingInterrupted: SIGINT or SIGTERM came; run again to continue after the last epoch.
    """
    section = config.experiment
    if config.strategy == "dft" or section is None:
        raise ConfigError("strategy", got=config.strategy, expected="sequential or fused")
    settings = of_potential(config, potential)
    meanwhile = settings.turns()
    taught = settings.model_copy(update={"optimizer": meanwhile.optimizer, "loss": meanwhile.loss or settings.loss})
    labels = labelled_data(taught, dataset)
    if experiment is None:
        experiment = load_experiment(section.path, temperatures_K=section.temperatures_K or None)
    packer = labels.packer(taught, potential.reference_energies)
    trainer = make_trainer(taught, n_species=len(potential.elements))
    out.mkdir(parents=True, exist_ok=True)
    with precision(potential.dtype), stop_signals() as stopped:
        run = Run(taught, packer, labels.split, trainer, out, observer)
        turns = Turns(settings, run, ExpTrainer(potential, experiment, section, stopped))
        identity = {
            **run.identity,
            "configuration": settings.fingerprint(),
            "experiment": experiment.sha256,
            "initial potential": _hash(potential),
        }
        state, start_epoch = _loop(turns, cast_params(potential.params, potential.dtype), identity, resume=resume)
    last = section.choice == "last"
    chosen = replace(
        potential, params=cast_params(state.dft.params if last else state.dft.best_params, potential.dtype)
    )
    epoch = int(state.dft.epoch if last else state.dft.best_epoch)
    record = _line_of(out / METRICS, epoch)
    outcome: dict[str, Any] = {
        "experiment": {"source": Path(section.path).name, "sha256": experiment.sha256, "points": record["points"]},
        "start": potential.provenance,
        "epochs": int(state.dft.epoch),
        "best_epoch": epoch,
        "experiment_loss": record["experiment_loss"],
    }
    if config.strategy == "sequential":
        shift = energy_shift(chosen, [labels.dataset.samples[i] for i in labels.split.train])
        moved = tuple(float(e + d) for e, d in zip(chosen.reference_energies, shift, strict=True))
        chosen = replace(chosen, reference_energies=moved)
        outcome["energy_shift_eV_per_atom"] = [float(d) for d in shift]
    provenance = provenance_of(settings, labels.dataset, labels.split) | outcome
    return TrainingResult(
        replace(chosen, provenance=provenance), labels.split, labels.dataset, start_epoch, int(state.dft.epoch)
    )


def energy_shift(potential: Potential, samples: Sequence[Labelled]) -> tuple[float, ...]:
    """EV per atom of each element by which labelled energies lie above predicted ones, by least squares.

    Experiments say nothing about the zero of energy, so the EXP trainer alone lets it drift. As in the paper, the mean
    difference on the training set is taken out afterwards; forces do not change.
    """
    known = Dataset(tuple(sample for sample in samples if sample.has[0]))
    packer = prepare(
        known,
        cutoff=potential.cutoff,
        elements=potential.elements,
        reference_energies=potential.reference_energies,
        dtype=potential.dtype,
    )
    differences = []
    for group in packer.pack(range(len(known))):  # not all at once: data sets may be large
        some = [known.samples[i] for i in group]
        shape = packer.classes[packer.shape[group[0]]]
        predicted, _ = predict_many(potential, [sample.structure for sample in some], at_least=shape)
        differences += [replace(s, energy=s.energy - p.energy) for s, p in zip(some, predicted, strict=True)]
    return reference_energies(differences, potential.elements)


def of_potential(config: TrainConfig, potential: Potential) -> TrainConfig:
    """The configuration with the model of a potential that training starts from.

    Raises:
        ConfigError: ``[model]`` describes another one, or the potential is a committee.
    """
    if potential.members > 1:
        raise ConfigError(
            "start",
            got=f"a committee of {potential.members}",
            expected="a single potential",
            remedy="Train further every member by itself and join the results.",
        )
    model = ModelSection.model_validate(
        {
            "architecture": potential.architecture,
            "elements": potential.elements,
            "settings": potential.config.model_dump(),
            "dtype": potential.dtype,
        }
    )
    given = config.model
    if "model" in config.model_fields_set:
        same = given.model_copy(update={"elements": given.elements or model.elements})
        if same != model:
            raise ConfigError(
                "model",
                got=f"{given.architecture} with other settings than the potential to start from",
                expected=f"those of that {model.architecture} potential",
                remedy="Leave [model] out: the potential brings it.",
            )
    return config.model_copy(update={"model": model})


def _loop(turns: Turns, params: Params, identity: dict[str, str], *, resume: bool) -> tuple[TurnsState, int]:
    """All epochs that are left; returns the last state and the epoch this call began at."""
    run, section = turns.run, turns.exp.section
    checkpoint, metrics = run.out / CHECKPOINT, run.out / METRICS
    state, views = turns.begin(params), list[View]()
    found = resume and checkpoint.exists()
    if found:
        state = load_checkpoint(checkpoint, state, identity)
    else:
        checkpoint.unlink(missing_ok=True)  # of an earlier run, whose log goes now
    began = int(state.dft.epoch)
    drop_metrics_after(metrics, began if found else -1, failures=int(state.failures))

    def accept(epoch: Epoch, seconds: float) -> TurnsState:
        record = epoch.record | {"seconds": round(seconds, 3)}
        append_metrics(metrics, record)
        save_checkpoint(checkpoint, epoch.state, identity)
        run.observer(Progress(int(epoch.state.dft.epoch), section.epochs, 0.0, record))
        return epoch.state

    if not found:
        start = time.monotonic()
        try:
            first = turns.first_look(state)
        except Diverged as error:
            raise TrainingError(f"The potential to start from cannot be trained further: {error}") from error
        except TrainingInterrupted as error:
            raise TrainingInterrupted(f"stopped before epoch 1; {checkpoint} is not there yet. Run again.") from error
        state, views = accept(first, time.monotonic() - start), first.views
    while int(state.dft.epoch) < section.epochs and (
        section.patience is None or int(state.dft.stale) < section.patience
    ):
        start = time.monotonic()
        try:
            epoch = turns.epoch(state, views)
        except Diverged as error:
            tried, state = float(state.rate_scale), turns.after_failure(state)
            _report_failure(turns, state, error, tried)
            save_checkpoint(checkpoint, state, identity)
            continue
        except TrainingInterrupted as error:
            raise TrainingInterrupted(
                f"stopped in epoch {int(state.dft.epoch) + 1}; {checkpoint} holds the state before it. "
                "Run again to continue."
            ) from error
        state, views = accept(epoch, time.monotonic() - start), epoch.views
    return state, began


def _report_failure(turns: Turns, state: TurnsState, error: Diverged, tried: float) -> None:
    """A line in the metrics log; ``tried`` is the factor on learning rates that failed.

    Raises:
        TrainingError: the epoch went wrong too often.
    """
    record = {
        "epoch": int(state.dft.epoch),
        "event": "rollback",
        "reason": str(error),
        "learning_rate_scale": float(state.rate_scale),
    }
    append_metrics(turns.run.out / METRICS, record)
    turns.run.observer(Progress(int(state.dft.epoch), turns.exp.section.epochs, 0.0, record))
    if int(state.failures) > turns.exp.section.rollbacks:
        raise TrainingError(
            f"epoch {int(state.dft.epoch) + 1} went wrong {int(state.failures)} times, at last with learning rates "
            f"{tried:.2g} times those configured: {error}"
        ) from error


def _line_of(metrics: Path, epoch: int) -> dict[str, Any]:
    """What the metrics log says of an epoch.

    Raises:
        TrainingError: nothing.
    """
    for record in read_metrics(metrics):
        if record["epoch"] == epoch and "event" not in record:
            return record
    raise TrainingError(
        f"{metrics}: no line of epoch {epoch}, which the checkpoint beside it continues. "
        "Put the log back, or start over with --no-resume."
    )


def _hash(potential: Potential) -> str:
    leaves, structure = jax.tree.flatten(potential.params)
    digest = hashlib.sha256(f"{structure} {tuple(map(float, potential.reference_energies))}".encode())
    for leaf in leaves:
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
