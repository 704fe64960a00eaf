"""The tables of a configuration that describe a model, labelled data and the DFT trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, model_validator

from fusepot.models import ARCHITECTURES
from fusepot.models.interface import ModelConfig
from fusepot.toml_files import Section


class ModelSection(Section):
    """``[model]``: which architecture, for which elements; its hyper-parameters stand in ``[model.settings]``."""

    architecture: Literal[tuple(ARCHITECTURES)] = "dimenet++"  # type: ignore[valid-type]
    elements: tuple[str, ...] = Field(default=(), description="empty: those that occur in the data")
    settings: SerializeAsAny[ModelConfig] = Field(default_factory=ModelConfig)
    dtype: Literal["float32", "float64"] = "float32"

    @classmethod
    def kind_of(cls, key: str, content: Mapping[str, Any]) -> Any:
        """The hyper-parameters' type is that of the chosen architecture."""
        if key == "settings":
            architecture = ARCHITECTURES.get(str(content.get("architecture", "dimenet++")))
            return architecture.config if architecture else None
        return super().kind_of(key, content)

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
