"""Structure: atoms, cell and periodicity, checked. The only door to ASE's conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from fusepot.errors import InputError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Structure:
    """Atoms in a cell.

    Attributes:
        positions: (atoms, 3) Cartesian coordinates in Å; they need not lie inside the cell.
        numbers: (atoms,) atomic numbers.
        cell: (3, 3) lattice vectors in Å as rows. Rows of non-periodic directions are ignored.
        pbc: (3,) whether each lattice direction is periodic.

    Raises:
        InputError: wrong shapes, non-finite numbers, or periodic lattice vectors that span no volume.
    """

    positions: FloatArray
    numbers: NDArray[np.int64]
    cell: FloatArray
    pbc: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.numbers)
        if n == 0:
            raise InputError("numbers", got="no atoms", expected="at least one atom")
        if self.positions.shape != (n, 3):
            raise InputError("positions", got=f"shape {self.positions.shape}", expected=f"shape ({n}, 3)")
        if not np.isfinite(self.positions).all():
            atom = int(np.argwhere(~np.isfinite(self.positions).all(axis=1))[0, 0])
            raise InputError("positions", got=f"non-finite coordinates of atom {atom}", expected="finite numbers (Å)")
        if self.cell.shape != (3, 3) or not np.isfinite(self.cell).all():
            raise InputError("cell", got=self.cell.tolist(), expected="three finite lattice vectors as rows (Å)")
        periodic = self.cell[self.pbc]
        if len(periodic) and np.sqrt(abs(np.linalg.det(periodic @ periodic.T))) < 1e-6:
            raise InputError(
                "cell",
                got=self.cell.tolist(),
                expected="linearly independent lattice vectors in the periodic directions",
                remedy="Set pbc to false where the structure does not repeat.",
            )

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def symbols(self) -> list[str]:
        """Chemical symbol of each atom."""
        return [chemical_symbols[z] for z in self.numbers]

    @property
    def volume(self) -> float:
        """Cell volume in Å^3; NaN unless all three directions are periodic."""
        return float(abs(np.linalg.det(self.cell))) if self.pbc.all() else float("nan")

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Structure:
        """Copy an ``ase.Atoms``; constraints, velocities and calculators are not carried over."""
        return cls(
            positions=np.array(atoms.positions, dtype=np.float64),
            numbers=np.array(atoms.numbers, dtype=np.int64),
            cell=np.array(atoms.cell.array, dtype=np.float64),
            pbc=np.array(atoms.pbc, dtype=bool),
        )

    def to_ase(self) -> Atoms:
        """The same structure as ``ase.Atoms`` without a calculator."""
        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc)

    def strained(self, strain: Any) -> Structure:
        """Deform positions and cell by (1 + strain); ``strain`` is a (3, 3) array, symmetric for a pure strain."""
        deformation = np.eye(3) + np.asarray(strain, dtype=np.float64)
        return Structure(self.positions @ deformation.T, self.numbers, self.cell @ deformation.T, self.pbc)
