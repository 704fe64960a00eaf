"""The training configuration: TOML in, typed and frozen. An unknown key is an error that names the nearest one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from fusepot.toml_files import Section, parse_section, read_toml, with_changes
from fusepot.training.experiment_sections import ExperimentSection, FusedSection
from fusepot.training.sections import DataSection, LossSection, ModelSection, OptimizerSection, TrainingSection


class TrainConfig(Section):
    """A training configuration.

    ``strategy`` "dft" is the DFT trainer alone. "sequential" continues with the EXP trainer, "fused" lets both take
    turns; both begin with the potential of the DFT trainer, or with the file that ``start`` names.
    """

    strategy: Literal["dft", "sequential", "fused"] = "dft"
    start: str | None = Field(default=None, description="potential file; relative to the configuration")
    model: ModelSection = Field(default_factory=ModelSection)
    data: DataSection
    loss: LossSection = Field(default_factory=LossSection)
    optimizer: OptimizerSection = Field(default_factory=OptimizerSection)
    training: TrainingSection
    experiment: ExperimentSection | None = None
    fused: FusedSection | None = None

    @model_validator(mode="after")
    def _complete(self) -> TrainConfig:
        if self.strategy != "dft" and self.experiment is None:
            raise ValueError(f"a table [experiment] for strategy = {self.strategy!r}")
        if self.strategy == "dft" and self.start is not None:
            raise ValueError('start only with strategy = "sequential" or "fused"')
        return self

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, for provenance."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Hash of everything that changes the result. Files that are read enter by their own hashes, not by paths."""
        content = self.as_json()
        del content["data"]["path"], content["training"]["checkpoint_every"], content["start"]
        if content["experiment"] is not None:
            del content["experiment"]["path"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def pretraining(self) -> TrainConfig:
        """The configuration of the DFT trainer alone: the pre-training of the other strategies."""
        return self.model_copy(update={"strategy": "dft", "start": None, "experiment": None, "fused": None})

    def turns(self) -> FusedSection:
        """``[fused]``, or its defaults."""
        return self.fused or FusedSection()


def load_config(path: str | Path, *, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a TOML file. The files that it names are taken from its own folder, unless their paths are absolute.

    Args:
        path: of the file.
        changes: keys to be set to something else, each a line of TOML: ``experiment.temperatures_K = [323]``.

    Raises:
        ConfigError: no such file, no TOML, an unknown key (names the nearest known one), an unusable value.
    """
    folder = Path(path).parent
    config = parse_config(with_changes(read_toml(path), changes))
    places: dict[str, Any] = {}
    data = folder / config.data.path
    if config.data.path != "ti_pbe" or data.exists():
        places["data"] = config.data.model_copy(update={"path": str(data)})
    if config.experiment is not None:
        experiment = str(folder / config.experiment.path)
        places["experiment"] = config.experiment.model_copy(update={"path": experiment})
    if config.start is not None:
        places["start"] = str(folder / config.start)
    return config.model_copy(update=places)


def parse_config(content: Mapping[str, Any]) -> TrainConfig:
    """Check the content of a configuration file.

    Raises:
        ConfigError: an unknown key (names the nearest known one) or an unusable value.
    """
    return parse_section(content, TrainConfig)
