"""A small sequential or fused training that tests share: Lennard-Jones, two elements, eight atoms in every cell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ase.build import bulk

import labelled
import structures
from fusepot.data import Condition, Dataset, Experiment, Target
from fusepot.gradient import precision
from fusepot.potential import Potential, cast_params
from fusepot.structure import Structure
from fusepot.training import dft, exp, fused
from fusepot.training.config import TrainConfig, parse_config
from fusepot.training.dft import TrainingResult, labelled_data
from fusepot.training.exp import ExpTrainer
from fusepot.training.metrics import read_metrics
from fusepot.training.run import METRICS, Run, silent
from fusepot.training.sections import OptimizerSection
from fusepot.training.state import make_trainer
from fusepot.training.turns import Turns
from fusepot.training.views import Viewer

TEMPERATURES = (150.0, 250.0, 350.0)
A = 3.3  # Å of the fcc crystal: the potential to start from is under 17 to 19 GPa there
PRESSURE = 14.0
# Friction strong enough for frames to be nearly independent.
SAMPLING = {
    "timestep_fs": 4.0,
    "friction_per_ps": 40.0,
    "equilibration": 100,
    "relaxation": 20,
    "steps": 200,
    "sample_every": 5,
}
BASE: dict[str, Any] = {
    "strategy": "fused",
    "data": {"path": "memory", "fractions": (0.6, 0.4, 0.0)},
    "training": {"epochs": 2, "batch_size": 2, "atoms_per_bin": 16},
    "experiment": {
        "path": "memory",
        "epochs": 3,
        "blocks": 4,
        "born_every": 2,
        "sampling": SAMPLING,
        "optimizer": {"learning_rate": 2e-3},
    },
    "fused": {"optimizer": {"learning_rate": 1e-3}},
}
MODES = ("sequential", "epoch", "batch", "joint")


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables, with some keys changed."""
    found = dict(base)
    for key, value in changes.items():
        found[key] = merged(found.get(key, {}), value) if isinstance(value, Mapping) else value
    return found


def config(mode: str = "epoch", **changes: Any) -> TrainConfig:
    """A configuration: "sequential", or fused in one of the ways to alternate."""
    how = {"strategy": "sequential"} if mode == "sequential" else {"fused": {"alternate": mode}}
    return parse_config(merged(merged(BASE, how), changes))


def initial() -> Potential:
    """What training starts from: the teacher with atoms three per cent too large; float64."""
    teacher = labelled.teacher()
    return replace(teacher, params={**teacher.params, "sigma": 1.03 * teacher.params["sigma"]})


@lru_cache(maxsize=1)
def dataset() -> Dataset:
    """Ten labelled cells of eight atoms, alloys and titanium: one shape, one compilation."""
    cells = [*(structures.alloy((2, 2, 1), seed=k) for k in range(6))]
    cells += [structures.triclinic((2, 2, 1), seed=k) for k in range(4)]
    return labelled.by_teacher(["alloy"] * 6 + ["ti"] * 4, cells, missing={}, weights=[1.0] * len(cells))


def crystal() -> Structure:
    """Eight titanium atoms."""
    return Structure.from_ase(bulk("Ti", "fcc", a=A, cubic=True).repeat((2, 1, 1)))


def target(observable: str, value: float, *, weight: float = 1.0, unit: str = "GPa") -> Target:
    return Target(observable, value, weight, unit, "us", None)


def experiment(
    temperatures: tuple[float, ...] = TEMPERATURES,
    targets: tuple[Target, ...] = (target("pressure", PRESSURE),),
    *,
    symmetry: str | None = None,
) -> Experiment:
    """The crystal at these temperatures, with the same targets at all of them."""
    conditions = tuple(Condition(t, crystal(), targets) for t in temperatures)
    return Experiment(
        symmetry, conditions, hashlib.sha256(repr((temperatures, targets, symmetry)).encode()).hexdigest()
    )


def run(settings: TrainConfig, out: Path, **changes: Any) -> TrainingResult:
    """``train_further`` from the initial potential on the dataset and the experiment, unless told otherwise."""
    options = {"dataset": dataset(), "experiment": experiment()} | changes
    start = options.pop("start", initial())
    return fused.train_further(settings, start, out=out, **options)


def turns(settings: TrainConfig, out: Path, *, of: Experiment | None = None) -> Turns:
    """What ``run`` moves, to be moved by hand inside ``precision("float64")``."""
    potential = initial()
    settings = fused.of_potential(settings, potential)
    labels = labelled_data(settings, dataset())
    taught = settings.model_copy(update={"optimizer": settings.turns().optimizer})
    trainer = fused.make_trainer(taught, n_species=len(potential.elements))
    packer = labels.packer(settings, potential.reference_energies)
    moved = Run(taught, packer, labels.split, trainer, out, silent)
    assert settings.experiment is not None
    return Turns(settings, moved, ExpTrainer(potential, of or experiment(), settings.experiment))


def initial_params() -> Any:
    with precision("float64"):
        return cast_params(initial().params, "float64")


def same(a: Any, b: Any) -> bool:
    """Whether two trees of arrays are the same, bit by bit."""
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def log(folder: Path) -> list[dict[str, Any]]:
    """The lines of the metrics log without what depends on the clock."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in read_metrics(folder / METRICS)]


def epochs(folder: Path) -> list[dict[str, Any]]:
    """The lines of epochs."""
    return [record for record in log(folder) if "event" not in record]


def events(folder: Path) -> list[dict[str, Any]]:
    """The lines of epochs that went wrong."""
    return [record for record in log(folder) if "event" in record]


class Stop(Exception):
    """What a test raises inside a training, as if the machine had failed."""


COMPILED: dict[Any, Any] = {}
viewer = lru_cache(maxsize=None)(Viewer)


@contextmanager
def shared_compilation() -> Iterator[None]:
    """Trainings compile nothing again that one before them compiled: pure functions, so that results stay the same."""

    def trainer(settings: TrainConfig, *, n_species: int, examples: Callable[..., Any] | None = None) -> Any:
        made = make_trainer(settings, n_species=n_species, examples=examples)
        parts = (settings.model, settings.loss, without_rate(settings.optimizer))
        key = (*(part.model_dump_json() for part in parts), settings.training.batch_size, n_species)
        known = COMPILED.setdefault(key, made)
        return replace(made, gradient=known.gradient, step=known.step, measure=known.measure)  # begin depends on a seed

    def without_rate(optimizer: OptimizerSection) -> OptimizerSection:
        return optimizer.model_copy(update={"learning_rate": 1.0})  # comes with every call

    def update(own: Turns) -> Any:
        key = ("update", without_rate(own.exp.section.optimizer).model_dump_json())
        if key not in COMPILED:
            COMPILED[key] = original.func(own)
        return COMPILED[key]

    def losses(own: ExpTrainer) -> Any:
        section, terms = own.section, tuple(sorted(term.name for term in own.viewer.terms))
        key = ("losses", own.frames, section.blocks, section.born_every, section.variance_corrected, terms)
        return COMPILED.setdefault(key, {})

    original = Turns.__dict__["_update"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Turns, "_update", property(update))
        patch.setattr(exp, "Viewer", viewer)
        patch.setattr(ExpTrainer, "_losses", property(losses))
        patch.setattr(fused, "make_trainer", trainer)
        patch.setattr(dft, "make_trainer", trainer)
        yield


# ------------------------------------------------------------------------------------------------- the same, as files

EXPERIMENT_TOML = f"""temperatures_K = [150, 250]
[crystal]
prototype = "fcc"
element = "Ti"
lattice = {{a = {A}}}
repeat = [2, 1, 1]
[[targets]]
observable = "pressure"
value = {PRESSURE}
unit = "GPa"
weight = 1.0
source = "us"
"""

FUSED_TOML = """strategy = "{strategy}"
{start}
[data]
path = "set.extxyz"
fractions = [0.5, 0.3, 0.2]
[training]
epochs = 2
batch_size = 2
atoms_per_bin = 16
[experiment]
path = "experiment.toml"
epochs = {epochs}
blocks = 4
born_every = 2
rollback_factor = 0.25
[experiment.sampling]
timestep_fs = 4.0
friction_per_ps = 40.0
equilibration = {equilibration}
relaxation = 20
steps = {steps}
sample_every = 5
[experiment.reuse]
method = "{reuse}"
[experiment.optimizer]
learning_rate = {rate}
[fused]
alternate = "{alternate}"
[fused.optimizer]
learning_rate = 1e-3
{more}"""

MODEL_TOML = """[model]
architecture = "lennard-jones"
settings = {cutoff = 4.5, sigma = 2.2}
dtype = "float64"
"""

PLAIN = {
    "strategy": "fused",
    "start": "",
    "epochs": 3,
    "steps": 200,
    "equilibration": 100,
    "reuse": "reweight",
    "rate": 2e-3,
    "alternate": "epoch",
    "more": "",
}


def write_files(folder: Path, **changes: Any) -> Path:
    """Data, experiment and configuration; returns the configuration."""
    if not (folder / "set.extxyz").exists():
        labelled.write_extxyz(folder / "set.extxyz", dataset().samples)
        (folder / "experiment.toml").write_text(EXPERIMENT_TOML)
    path = folder / "fused.toml"
    path.write_text(FUSED_TOML.format(**PLAIN | changes))
    return path
