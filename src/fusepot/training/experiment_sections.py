"""The tables of a configuration that describe the EXP trainer, and how the two trainers take turns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fusepot.toml_files import Section
from fusepot.training.sections import LossSection, OptimizerSection


class SamplingSection(Section):
    """``[experiment.sampling]``: Langevin dynamics (BAOAB) at constant volume. Numbers are steps.

    The paper: 0.5 fs, 4/ps, 20000 steps of equilibration for every trajectory, 140000 steps, a frame every 200.
    """

    timestep_fs: float = Field(default=2.0, gt=0)
    friction_per_ps: float = Field(default=4.0, gt=0)
    equilibration: int = Field(default=5000, ge=0, description="before the first trajectory")
    relaxation: int = Field(default=500, ge=0, description="before each later one, which starts where the last ended")
    steps: int = Field(default=35000, gt=0, description="of a trajectory")
    sample_every: int = Field(default=50, gt=0)
    replicas: int = Field(default=1, gt=0, description="independent simulations of each state point")

    @model_validator(mode="after")
    def _whole(self) -> SamplingSection:
        if any(n % self.sample_every for n in (self.equilibration, self.relaxation, self.steps)):
            raise ValueError(f"equilibration, relaxation and steps that are multiples of {self.sample_every}")
        return self

    @property
    def frames(self) -> int:
        """Frames of a trajectory of one replica."""
        return self.steps // self.sample_every


class ReuseSection(Section):
    """``[experiment.reuse]``: how long trajectories serve while the parameters move.

    ``never`` simulates after every change, as the paper does; ``reweight`` keeps a trajectory while its effective
    number of frames suffices, for ``longest`` updates at most; ``mbar`` joins the last ``memory`` trajectories.
    """

    method: Literal["never", "reweight", "mbar"] = "reweight"
    effective_fraction: float = Field(
        default=0.8, gt=0, lt=1, description="simulate when fewer effective frames are left, in units of a trajectory"
    )
    longest: int = Field(
        default=5, gt=0, description="updates from one trajectory: more of them would fit its statistical error"
    )
    memory: int = Field(default=3, gt=1, description="trajectories in the mixture of mbar")

    @property
    def kept(self) -> int:
        """Trajectories kept of each state point."""
        return self.memory if self.method == "mbar" else 1


class ExperimentSection(Section):
    """``[experiment]``: the EXP trainer."""

    path: str = Field(description="experiment file, see fusepot.data.targets; relative to the configuration")
    temperatures_K: tuple[float, ...] = Field(  # noqa: N815
        default=(), description="instead of those of the experiment file"
    )
    epochs: int = Field(gt=0, description="of the EXP trainer; each updates once for every batch of state points")
    batch_size: int | None = Field(default=None, gt=0, description="state points per update; all, if not given")
    variance_corrected: bool = Field(default=True, description="take the variance of the estimates out of the loss")
    blocks: int = Field(default=10, gt=1, description="of a trajectory, for error bars")
    born_every: int = Field(default=10, gt=0, description="evaluate the Born term on every so many frames")
    frames_at_once: int = Field(default=1, gt=0, description="more than one pays on accelerators only")
    choice: Literal["best", "last"] = Field(default="best", description="which epoch's parameters are the result")
    choice_weight: float = Field(default=0.1, ge=0, description="of the DFT validation loss in that choice")
    patience: int | None = Field(default=None, gt=0, description="epochs without better parameters")
    rollback_factor: float = Field(default=0.5, gt=0, lt=1, description="on learning rates, after a diverged epoch")
    rollbacks: int = Field(default=8, ge=0, description="of the same epoch, before giving up")
    seed: int = Field(default=0, ge=0, description="of velocities, random forces and the order of state points")
    sampling: SamplingSection = Field(default_factory=SamplingSection)
    reuse: ReuseSection = Field(default_factory=ReuseSection)
    optimizer: OptimizerSection = Field(default_factory=OptimizerSection)

    @model_validator(mode="after")
    def _blocks(self) -> ExperimentSection:
        unit = self.blocks * self.born_every
        if self.sampling.frames * self.sampling.replicas % unit:
            raise ValueError(
                f"sampling with a multiple of blocks * born_every = {unit} frames, "
                f"not {self.sampling.frames} for each of {self.sampling.replicas} replicas"
            )
        _refuse_average(self.optimizer)
        return self


class FusedSection(Section):
    """``[fused]``: how DFT and EXP trainer take turns.

    ``epoch``: one epoch of each. ``batch``: the batches of state points are spread evenly among the DFT batches.
    ``joint``: one update from the sum of both gradients for every batch of state points, by ``experiment.optimizer``.
    """

    alternate: Literal["epoch", "batch", "joint"] = "epoch"
    weight: float | None = Field(
        default=None, gt=0, description="joint: of the EXP loss; if not given, both losses weigh the same at the start"
    )
    optimizer: OptimizerSection = Field(default_factory=OptimizerSection, description="of the DFT trainer, meanwhile")
    loss: LossSection | None = Field(
        default=None, description="of the DFT trainer, meanwhile; [loss], if not given. The whole table counts"
    )

    @model_validator(mode="after")
    def _plain(self) -> FusedSection:
        _refuse_average(self.optimizer)
        return self


def _refuse_average(optimizer: OptimizerSection) -> None:
    if optimizer.ema is not None:
        raise ValueError("an optimizer without ema: two trainers move the same parameters")
