"""Labelled structures that tests share, and files of them. Labels come from the analytic Lennard-Jones potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

import potentials
import structures
from fusepot.data import Dataset, Labelled, label
from fusepot.data.bins import Packer, prepare
from fusepot.potential import Potential, predict_many
from fusepot.structure import Structure

# Sections of a training configuration; a test writes the set and adds the sections it is about.
RUN = """[model]
architecture = "lennard-jones"
settings = {cutoff = 4.5, sigma = 2.2}
[data]
path = "set.extxyz"
fractions = [0.6, 0.2, 0.2]
"""


def teacher() -> Potential:
    """Two elements, float64; atoms small enough that close pairs of rattled cells stay moderate."""
    potential = potentials.lennard_jones(("Ti", "Al"), cutoff=4.5)
    return replace(potential, params={**potential.params, "sigma": 0.8 * potential.params["sigma"]})


def varied() -> list[tuple[str, Structure]]:
    """Kinds and structures: one to sixteen atoms, triclinic, two elements, a slab and a cluster."""
    return [
        *(("hcp", structures.hcp(rattle=0.15, seed=k)) for k in range(4)),
        *(("fcc", structures.fcc((2, 1, 1), rattle=0.2, seed=k)) for k in range(4)),
        *(("alloy", structures.alloy((2, 2, 1), seed=k)) for k in range(4)),
        ("images", structures.same_neighbor_two_images()),
        *(("alloy16", structures.alloy(seed=k)) for k in range(2)),
        ("slab", structures.slab()),
        ("cluster", structures.cluster()),
    ]


def by_teacher(
    kinds: Sequence[str], cells: Sequence[Structure], *, missing: Mapping[int, Sequence[str]], weights: Sequence[float]
) -> Dataset:
    """Structures labelled by the teacher, no stress without three periodic directions; ``missing`` labels by index."""
    samples = []
    for k, (found, cell) in enumerate(zip(predict_many(teacher(), cells)[0], cells, strict=True)):
        labels = {"energy": found.energy, "forces": found.forces, "stress": found.stress if cell.pbc.all() else None}
        known = {name: None if name in missing.get(k, ()) else value for name, value in labels.items()}
        samples.append(label(cell, config_type=kinds[k], weight=weights[k], **known))
    return Dataset(tuple(samples))


@lru_cache(maxsize=1)
def dataset() -> Dataset:
    """All varied structures, with some labels missing and different weights."""
    kinds, cells = zip(*varied(), strict=True)
    missing = {1: ("energy",), 3: ("forces",), 5: ("stress",), 6: ("energy", "forces")}
    return by_teacher(kinds, cells, missing=missing, weights=[1 + 0.25 * (k % 4) for k in range(len(cells))])


def packer(*, atoms_per_bin: int = 24) -> Packer:
    """The dataset, ready to be packed into bins: what ``train`` does before the first epoch."""
    return prepare(
        dataset(),
        cutoff=4.5,
        elements=("Ti", "Al"),
        reference_energies=(-1.0, -1.5),
        dtype="float64",
        atoms_per_bin=atoms_per_bin,
    )


def write_extxyz(path: Path, samples: Sequence[Labelled]) -> Path:
    """Write samples as ASE does; labels that are missing stay out."""
    path.unlink(missing_ok=True)
    for sample in samples:
        atoms = sample.structure.to_ase()
        atoms.info["config_type"] = sample.config_type
        labels = dict(zip(("energy", "forces", "stress"), (sample.energy, sample.forces, sample.stress), strict=True))
        known = {name: value for (name, value), has in zip(labels.items(), sample.has, strict=True) if has}
        if "stress" in known:
            known["stress"] = np.asarray(known["stress"])[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **known)
        ase.io.write(path, atoms, format="extxyz", append=True)
    return path
