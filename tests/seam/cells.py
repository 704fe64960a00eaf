"""Structures in LAMMPS's orientation and their data files, exact to the last digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.geometry import complete_cell

import structures
from fusepot.samples import rattled
from fusepot.structure import Structure

TYPES = ("Al", "Ti")  # LAMMPS types 1 and 2: not the order of the potentials, which is Ti Al
MARGIN = 8.0  # Å of box beyond the atoms along open directions


def oriented(structure: Structure) -> Structure:
    """The same structure turned so that its first lattice vector lies along x and its second in the xy plane.

    Open directions must come last; they get a box that holds every atom, and lattice vectors along the axes.
    """
    cell = complete_cell(structure.cell * structure.pbc[:, None])
    q, r = np.linalg.qr(cell.T)
    q, lower = q * np.sign(np.diag(r)), (r * np.sign(np.diag(r))[:, None]).T
    positions = structure.positions @ q
    for axis in np.flatnonzero(~structure.pbc):
        positions[:, axis] += MARGIN - positions[:, axis].min()
        lower[axis] = 0.0
        lower[axis, axis] = positions[:, axis].max() + MARGIN
    return Structure(positions, structure.numbers, np.tril(lower), structure.pbc)


def two_elements(structure: Structure, *, seed: int = 0) -> Structure:
    """Half of the atoms, at random, become aluminium and the rest titanium."""
    numbers = np.full(len(structure), atomic_numbers["Ti"])
    numbers[np.random.default_rng(seed).permutation(len(structure))[::2]] = atomic_numbers["Al"]
    return Structure(structure.positions, numbers, structure.cell, structure.pbc)


def beam() -> Structure:
    """252 atoms in a long box, which the ghosts of 2 and 4 ranks do not cover."""
    return two_elements(structures.bcc((3, 3, 14), rattle=0.15, seed=5), seed=5)


def lone_corner() -> Structure:
    """A cluster at one end of a long box: with 2 ranks one has no atoms, with 4 three have none."""
    base = oriented(two_elements(structures.cluster(9, seed=7), seed=7))
    return Structure(base.positions, base.numbers, np.diag([60.0, *np.diag(base.cell)[1:]]), base.pbc)


def all_cells() -> dict[str, Structure]:
    """Every kind of cell that once broke a peer, two elements each."""
    return {
        "four_atoms": oriented(two_elements(structures.bcc((1, 1, 2), rattle=0.1, seed=1), seed=1)),
        "skewed": oriented(rattled(("Ti", "Al"), 4.0, side=2, seed=2)),
        "alloy": oriented(structures.alloy((2, 2, 2), seed=3)),
        "slab": oriented(two_elements(structures.slab(seed=4), seed=4)),
        "cluster": oriented(two_elements(structures.cluster(12, seed=6), seed=6)),
        "corner": lone_corner(),
        "beam": oriented(beam()),
    }


def boundary(structure: Structure) -> str:
    """Arguments of the command boundary."""
    return " ".join("p" if periodic else "f" for periodic in structure.pbc)


def write_data(path: Path, structure: Structure, *, types: tuple[str, ...] = TYPES) -> None:
    """A data file of atom style atomic; atom IDs are the structure's indices + 1."""
    cell, number_of_type = structure.cell, [atomic_numbers[symbol] for symbol in types]
    lines = ["written by fusepot's tests", "", f"{len(structure)} atoms", f"{len(types)} atom types"]
    lines += [f"0.0 {cell[k, k]:.17g} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    if np.abs(np.tril(cell, -1)).max() > 0:
        lines.append(f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz")
    lines += [
        "",
        "Masses",
        "",
        *(f"{k} {atomic_masses[z]:.17g}" for k, z in enumerate(number_of_type, 1)),
        "",
        "Atoms",
        "",
    ]
    for index, (z, (x, y, w)) in enumerate(zip(structure.numbers, structure.positions, strict=True), 1):
        lines.append(f"{index} {number_of_type.index(int(z)) + 1} {x:.17g} {y:.17g} {w:.17g}")
    path.write_text("\n".join(lines) + "\n")
