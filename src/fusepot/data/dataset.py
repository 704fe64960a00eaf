"""Labelled structures: what a potential is trained on and judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from fusepot.errors import DataError
from fusepot.structure import FloatArray, Structure


@dataclass(frozen=True)
class Labelled:
    """A structure with what is known about it; a missing label is NaN throughout.

    Attributes:
        structure: atoms and cell.
        energy: total energy in eV.
        forces: (atoms, 3) in eV/Å.
        stress: (3, 3) in eV/Å^3, tension positive (ASE's sign), symmetric.
        config_type: kind of structure; splits are stratified and errors are listed by it.
        weight: weight of this structure in a loss.
    """

    structure: Structure
    energy: float
    forces: FloatArray
    stress: FloatArray
    config_type: str = "default"
    weight: float = 1.0

    @property
    def virial(self) -> FloatArray:
        """(3, 3) dE/d(strain) in eV: stress times volume."""
        return self.stress * self.structure.volume

    @property
    def has(self) -> tuple[bool, bool, bool]:
        """Whether energy, forces and stress are known."""
        return (
            bool(np.isfinite(self.energy)),
            bool(np.isfinite(self.forces).all()),
            bool(np.isfinite(self.stress).all()),
        )


def label(
    structure: Structure,
    *,
    energy: float | None = None,
    forces: FloatArray | None = None,
    stress: FloatArray | None = None,
    config_type: str = "default",
    weight: float = 1.0,
) -> Labelled:
    """Join a structure with its labels; ``None`` means unknown. See ``Labelled`` for shapes, units and signs.

    Raises:
        DataError: a label has the wrong shape, is NaN or infinite, or none is given.
    """
    if energy is None and forces is None and stress is None:
        raise DataError("labels", got="none", expected="at least one of energy, forces and stress")
    shapes = {"energy": (), "forces": (len(structure), 3), "stress": (3, 3)}
    given = {"energy": energy, "forces": forces, "stress": stress}
    values: dict[str, FloatArray] = {}
    for name, shape in shapes.items():
        if given[name] is None:
            values[name] = np.full(shape, np.nan)
            continue
        values[name] = np.asarray(given[name], dtype=np.float64)
        if values[name].shape != shape:
            raise DataError(name, got=f"shape {values[name].shape}", expected=f"shape {shape}")
        if not np.isfinite(values[name]).all():
            raise DataError(
                name, got="NaN or infinity", expected="finite numbers", remedy="Leave a label out where it is unknown."
            )
    if stress is not None and not structure.pbc.all():
        raise DataError(
            "stress", got=f"pbc {structure.pbc.tolist()}", expected="a structure periodic in three directions"
        )
    if not (np.isfinite(weight) and weight >= 0):
        raise DataError("weight", got=weight, expected="a number that is not negative")
    return Labelled(structure, float(values["energy"]), values["forces"], values["stress"], config_type, float(weight))


@dataclass(frozen=True)
class Dataset:
    """Labelled structures and where they come from.

    Attributes:
        samples: the structures.
        source: file or name they were read from.
        sha256: hash of that file's content; empty for structures made in memory.
    """

    samples: tuple[Labelled, ...]
    source: str = "memory"
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    def content_hash(self) -> str:
        """Hash of all structures, labels and weights: what a training run depends on."""
        digest = hashlib.sha256()
        for s in self.samples:
            arrays = (s.structure.positions, s.structure.numbers, s.structure.cell, s.structure.pbc, s.forces, s.stress)
            for array in arrays:
                digest.update(np.ascontiguousarray(array).tobytes())
            digest.update(f"{s.energy!r} {s.config_type} {s.weight!r}".encode())
        return digest.hexdigest()

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that occur, by atomic number."""
        numbers = sorted({int(z) for sample in self.samples for z in np.unique(sample.structure.numbers)})
        return tuple(chemical_symbols[z] for z in numbers)

    @property
    def config_types(self) -> tuple[str, ...]:
        """Kinds of structures that occur, sorted."""
        return tuple(sorted({sample.config_type for sample in self.samples}))

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> Dataset:
        """The samples at ``indices``, in that order."""
        return Dataset(tuple(self.samples[int(i)] for i in indices), self.source, self.sha256)


def reference_energies(samples: Sequence[Labelled], elements: Sequence[str]) -> tuple[float, ...]:
    """Energy in eV per atom of each element, by least squares on the total energies.

    Where compositions do not determine them (elements always in one ratio), the solution of least norm. Without any
    energy label they are zero.
    """
    known = [sample for sample in samples if sample.has[0]]
    counts = np.array([[sample.structure.symbols.count(e) for e in elements] for sample in known], dtype=np.float64)
    if not known:
        return (0.0,) * len(elements)
    # Divided by the number of atoms, so that a large cell does not outweigh many small ones.
    atoms = counts.sum(axis=1)
    solution = np.linalg.lstsq(counts / atoms[:, None], np.array([s.energy for s in known]) / atoms, rcond=None)[0]
    return tuple(float(value) for value in solution)
