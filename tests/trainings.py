"""Trainings that several tests look at or compare with, and one at two temperatures whose first epoch goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import experiments
from experiments import config, experiment
from fusepot.data import Experiment
from fusepot.training.dft import TrainingResult

TWO_POINTS = experiment((150.0, 350.0))
# So high that the first epoch ends in a simulation that blows up, until it has been divided by 4 three times.
WILD = {"rollback_factor": 0.25, "optimizer": {"learning_rate": 8.0}}


def run(settings: Any, out: Path, **changes: Any) -> TrainingResult:
    """At the two temperatures, unless told otherwise."""
    return experiments.run(settings, out, **{"experiment": TWO_POINTS} | changes)


def each_once(
    folders: pytest.TempPathFactory, *, usual: Experiment | None = None
) -> Callable[..., tuple[TrainingResult, Path]]:
    """Trainings by what they differ in, each done once: result and folder."""
    made: dict[str, tuple[TrainingResult, Path]] = {}

    def train(mode: str = "epoch", *, of: Experiment | None = None, **changes: Any) -> tuple[TrainingResult, Path]:
        key = repr((mode, of, changes))
        if key not in made:
            out = folders.mktemp(mode)
            made[key] = experiments.run(config(mode, **changes), out, experiment=of or usual or experiment()), out
        return made[key]

    return train
