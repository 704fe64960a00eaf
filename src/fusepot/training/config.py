"""The training configuration: TOML in, typed and frozen. An unknown key is an error that names the nearest one."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

from fusepot.errors import ConfigError
from fusepot.models import ARCHITECTURES
from fusepot.models.interface import ModelConfig


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSection(Section):
    """``[model]``: which architecture, for which elements; its hyper-parameters stand in ``[model.settings]``."""

    architecture: Literal[tuple(ARCHITECTURES)] = "dimenet++"  # type: ignore[valid-type]
    elements: tuple[str, ...] = Field(default=(), description="empty: those that occur in the data")
    settings: SerializeAsAny[ModelConfig] = Field(default_factory=ModelConfig)
    dtype: Literal["float32", "float64"] = "float32"

    @model_validator(mode="before")
    @classmethod
    def _typed_settings(cls, values: Any) -> Any:
        """Read ``settings`` as the hyper-parameters of the chosen architecture."""
        if not isinstance(values, Mapping):
            return values
        settings = values.get("settings", {})
        architecture = ARCHITECTURES.get(values.get("architecture", "dimenet++"))
        if isinstance(settings, Mapping) and architecture is not None:
            return {**values, "settings": architecture.config(**settings)}
        return values


class DataSection(Section):
    """``[data]``: labelled structures and how they are split."""

    path: str = Field(description="extended XYZ file, folder of npy files, or ti_pbe; relative to the configuration")
    split: Literal["hash", "order"] = Field(default="hash", description="see fusepot.data.splits")
    fractions: tuple[float, float, float] = Field(default=(0.8, 0.1, 0.1), description="training, validation, test")
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> DataSection:
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError("fractions that are not negative and add up to 1")
        return self


class LossSection(Section):
    """``[loss]``: weights of equation 1, see ``fusepot.training.loss`` for units and for the paper's values."""

    energy: float = Field(default=1.0, ge=0, description="per (eV/atom)^2")
    forces: float = Field(default=1.0, ge=0, description="per (eV/Å)^2")
    virial: float = Field(default=1.0, ge=0, description="per (eV/atom)^2")
    stress: float = Field(default=0.0, ge=0, description="per (eV/Å^3)^2")
    config_types: dict[str, float] = Field(default_factory=dict, description="factor on all structures of a kind")

    @model_validator(mode="after")
    def _not_negative(self) -> LossSection:
        if any(value < 0 for value in self.config_types.values()):
            raise ValueError("config_types with weights that are not negative")
        if not self.energy + self.forces + self.virial + self.stress > 0:
            raise ValueError("at least one weight above zero")
        return self


class OptimizerSection(Section):
    """``[optimizer]``: Adam and its schedule over epochs."""

    learning_rate: float = Field(default=1e-3, gt=0, description="at its highest")
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    final_fraction: float = Field(default=0.01, gt=0, le=1, description="learning rate at the end over the highest")
    warmup_epochs: float = Field(default=0.0, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    gradient_clip: float | None = Field(default=None, gt=0, description="largest global norm of a gradient")
    weight_decay: float = Field(default=0.0, ge=0)
    ema: float | None = Field(default=None, gt=0, lt=1, description="decay per step of the averaged parameters")


class TrainingSection(Section):
    """``[training]``: how long and in which portions."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(default=8, gt=0, description="structures per update, on average")
    atoms_per_bin: int = Field(default=64, gt=0, description="structures up to this size share padded graphs")
    patience: int | None = Field(default=None, gt=0, description="epochs without a better validation loss")
    checkpoint_every: int = Field(default=10, gt=0, description="epochs")
    seed: int = Field(default=0, ge=0, description="of the initial parameters and of the order of batches")


class TrainConfig(Section):
    """A whole configuration file."""

    model: ModelSection = Field(default_factory=ModelSection)
    data: DataSection
    loss: LossSection = Field(default_factory=LossSection)
    optimizer: OptimizerSection = Field(default_factory=OptimizerSection)
    training: TrainingSection

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, for provenance."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Hash of everything that changes the result. The data enter by their own hash, not by their path."""
        content = self.as_json()
        del content["data"]["path"], content["training"]["checkpoint_every"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_config(path: str | Path) -> TrainConfig:
    """Read a TOML file. A relative ``data.path`` is taken from the folder of the file.

    Raises:
        ConfigError: no such file, no TOML, an unknown key (names the nearest known one), an unusable value.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError("config", got=str(path), expected="an existing TOML file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), got=f"a file that is no TOML ({error})", expected="TOML") from error
    config = parse_config(content)
    data = path.parent / config.data.path
    if config.data.path != "ti_pbe" or data.exists():
        config = config.model_copy(update={"data": config.data.model_copy(update={"path": str(data)})})
    return config


def parse_config(content: Mapping[str, Any]) -> TrainConfig:
    """Check the content of a configuration file.

    Raises:
        ConfigError: an unknown key (names the nearest known one) or an unusable value.
    """
    _refuse_unknown(content, TrainConfig, "")
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = [str(part) for part in first["loc"]]
        if first["type"] == "missing":
            raise ConfigError(".".join(where), got="nothing", expected="a value", remedy="Add this key.") from error
        if where[0] == "model" and where[1:2] and where[1] not in ModelSection.model_fields:
            where.insert(1, "settings")  # checked inside a validator of [model], which leaves their name out
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise ConfigError(".".join(where), got=repr(first["input"]), expected=message) from error


def _refuse_unknown(content: Mapping[str, Any], section: type[BaseModel], prefix: str) -> None:
    """Walk the tables of a configuration and compare every key with the fields of its section."""
    for key, value in content.items():
        if key not in section.model_fields:
            near = difflib.get_close_matches(key, section.model_fields, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else ""
            known = f"one of {', '.join(section.model_fields)}"
            raise ConfigError(f"{prefix}{key}", got="an unknown key", expected=known, remedy=hint)
        kind = section.model_fields[key].annotation
        if key == "settings":
            architecture = ARCHITECTURES.get(str(content.get("architecture", "dimenet++")))
            kind = architecture.config if architecture else None
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{prefix}{key}", got=repr(value), expected=f"a table [{prefix}{key}]")
            _refuse_unknown(value, kind, f"{prefix}{key}.")
