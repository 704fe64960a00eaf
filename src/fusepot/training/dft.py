"""The DFT trainer: labelled structures and a configuration in, the best potential out. Restartable at any moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from fusepot.data import Dataset, Split, load_dataset, reference_energies, split_by_hash, split_in_order
from fusepot.data.bins import Packer, prepare
from fusepot.errors import ConfigError
from fusepot.gradient import precision
from fusepot.graph import Graph, build_graph
from fusepot.potential import Potential, cast_params
from fusepot.training.config import TrainConfig
from fusepot.training.interrupt import stop_signals
from fusepot.training.run import Progress, Run, silent
from fusepot.training.state import make_trainer

EXAMPLES = 128


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a run.

    Attributes:
        potential: with the parameters of the lowest validation loss.
        split: indices of training, validation and test structures.
        dataset: all structures.
        start_epoch: where this call started: 0, or the checkpoint's epoch.
        epochs: how many epochs were run in all, early stopping included.
    """

    potential: Potential
    split: Split
    dataset: Dataset
    start_epoch: int
    epochs: int


def split_of(config: TrainConfig, dataset: Dataset) -> Split:
    """The split that a configuration asks for."""
    if config.data.split == "order":
        return split_in_order(dataset, fractions=config.data.fractions)
    return split_by_hash(dataset, fractions=config.data.fractions, seed=config.data.seed)


@dataclass(frozen=True)
class Labels:
    """Labelled structures as a configuration asks for them: weighted, split, of known elements."""

    dataset: Dataset
    split: Split
    elements: tuple[str, ...]

    def packer(self, config: TrainConfig, references: tuple[float, ...]) -> Packer:
        """Neighbour lists and labels without the reference energies of the elements."""
        return prepare(
            self.dataset,
            cutoff=config.model.settings.cutoff,
            elements=self.elements,
            reference_energies=references,
            dtype=config.model.dtype,
            atoms_per_bin=config.training.atoms_per_bin,
        )


def labelled_data(config: TrainConfig, dataset: Dataset | None = None) -> Labels:
    """The data of a configuration, or ``dataset`` instead of what it names.

    Raises:
        DataError, ConfigError: unusable data or configuration.
    """
    dataset = _weighted(config, load_dataset(config.data.path) if dataset is None else dataset)
    elements = config.model.elements or dataset.elements
    if unknown := set(dataset.elements) - set(elements):
        raise ConfigError(
            "model.elements", got=list(elements), expected=f"{sorted(unknown)} as well: they occur in the data"
        )
    return Labels(dataset, split_of(config, dataset), elements)


def train(
    config: TrainConfig,
    *,
    out: Path,
    resume: bool = True,
    observer: Callable[[Progress], None] = silent,
    dataset: Dataset | None = None,
) -> TrainingResult:
    """Train a potential; continue from the checkpoint in ``out`` where there is one.

    Args:
        config: the whole configuration.
        out: folder for the checkpoint and ``metrics.jsonl``; made where missing.
        resume: continue; otherwise start over.
        observer: told about progress.
        dataset: instead of reading ``config.data.path``.

    Raises:
        DataError, ConfigError: unusable data or configuration.
        TrainingError: a loss that is not finite, or a checkpoint of another run. The checkpoint keeps the last
            sound state.
        TrainingInterrupted: SIGINT or SIGTERM came; the checkpoint is written, run again to continue.
    """
    labels = labelled_data(config, dataset)
    dataset, split, elements = labels.dataset, labels.split, labels.elements
    references = reference_energies(dataset.select(split.train).samples, elements)
    packer = labels.packer(config, references)
    out.mkdir(parents=True, exist_ok=True)
    trainer = make_trainer(config, n_species=len(elements), examples=partial(_examples, packer, split))
    run = Run(config, packer, split, trainer, out, observer)
    with precision(config.model.dtype), stop_signals() as stopped:
        state = run.start(resume)
        start_epoch = int(state.epoch)
        while not run.finished(state):
            state = run.epoch(state, stopped)
    potential = Potential(
        architecture=config.model.architecture,
        config=config.model.settings,
        elements=elements,
        reference_energies=references,
        params=cast_params(state.best_params, config.model.dtype),
        dtype=config.model.dtype,
        provenance=provenance_of(config, dataset, split)
        | {"epochs": int(state.epoch), "best_epoch": int(state.best_epoch), "validation_loss": float(state.best_loss)},
    )
    return TrainingResult(potential, split, dataset, start_epoch, int(state.epoch))


def _examples(packer: Packer, split: Split) -> Graph:
    """Training structures, evenly taken from the whole set, as one graph: what initial parameters are adapted to."""
    members = [int(i) for i in split.train[:: -(-len(split.train) // EXAMPLES)]]
    return build_graph(
        [packer.dataset.samples[i].structure for i in members],
        cutoff=packer.cutoff,
        elements=packer.elements,
        dtype=packer.dtype,
        pairs=[packer.pairs[i] for i in members],
    )


def _weighted(config: TrainConfig, dataset: Dataset) -> Dataset:
    """Multiply weights of structures by those of their kind.

    Raises:
        ConfigError: a kind that does not occur.
    """
    factors = config.loss.config_types
    for kind in factors:
        if kind not in dataset.config_types:
            known = ", ".join(dataset.config_types)
            raise ConfigError(
                f"loss.config_types.{kind}", got="a config_type that does not occur", expected=f"one of {known}"
            )
    samples = tuple(replace(s, weight=s.weight * factors.get(s.config_type, 1.0)) for s in dataset.samples)
    return replace(dataset, samples=samples)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def provenance_of(config: TrainConfig, dataset: Dataset, split: Split) -> dict[str, Any]:
    """What it takes to make the potential again, for its file; the outcome is for the trainer to add."""
    names = ("fusepot", "jax", "jaxlib", "numpy", "optax")
    return {
        "trainer": config.strategy,
        "config": config.as_json(),
        "data": {
            "source": Path(dataset.source).name,
            "sha256": dataset.sha256,
            "structures": {name: len(part) for name, part in split._asdict().items()},
        },
        "versions": {name: metadata.version(name) for name in names if _installed(name)},
    }
