"""Phonons of hcp by finite displacements, with phonopy (Togo, J. Phys. Soc. Jpn. 92, 012001 (2023)).

Frequencies are in THz, without 2 pi; those of imaginary modes are negative. Points q are fractions of the reciprocal
lattice vectors of the cell with 120 degrees between a1 and a2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase.build import bulk
from phonopy import Phonopy
from phonopy.phonon.band_structure import get_band_qpoints
from phonopy.structure.atoms import PhonopyAtoms

from fusepot.structure import FloatArray, Structure

DISTANCE = 0.01  # Å
SPECIAL_POINTS = {"Γ": (0, 0, 0), "K": (1 / 3, 1 / 3, 0), "M": (1 / 2, 0, 0), "A": (0, 0, 1 / 2)}
PATH = ("Γ", "K", "M", "Γ", "A")
POINTS = 101  # of each part of the path

Repeat = tuple[int, int, int]


class Dispersion(NamedTuple):
    """Frequencies along ``PATH``.

    Attributes:
        distances: (points,) along the path, 1/Å without 2 pi.
        frequencies: (points, 6) THz, ascending.
        ticks: where the points of ``PATH`` lie.
    """

    distances: FloatArray
    frequencies: FloatArray
    ticks: FloatArray


class Density(NamedTuple):
    """Density of states.

    Attributes:
        frequencies: (n,) THz.
        states: (n,) per THz and atom: the integral is 3.
        modes: (modes,) THz, of all irreducible points of the mesh.
        weights: (modes,) how many points of the mesh each stands for.
    """

    frequencies: FloatArray
    states: FloatArray
    modes: FloatArray
    weights: FloatArray


def hcp(element: str, *, a: float, c: float) -> Structure:
    """Two atoms; a1 along x, 120 degrees between a1 and a2, c along z. Lengths in Å."""
    return Structure.from_ase(bulk(element, "hcp", a=a, c=c))


def supercells(cell: Structure, repeat: Repeat) -> list[Structure]:
    """The undisturbed supercell, and those with one atom displaced that symmetry leaves."""
    phonopy = _displaced(cell, repeat)
    return [_structure(atoms) for atoms in (phonopy.supercell, *phonopy.supercells_with_displacements)]


def force_constants(cell: Structure, repeat: Repeat, stretch: FloatArray, forces: Sequence[FloatArray]) -> Phonopy:
    """Phonons of a stretched cell.

    Args:
        cell: as given to ``supercells``.
        repeat: the same as there.
        stretch: (3,) factors along x, y and z, equal for x and y, by which cell and displacements were stretched.
        forces: (atoms, 3) of each of the supercells, the undisturbed one first; its forces, which are zero but for
            rounding, are subtracted.
    """
    steps = _displaced(cell, repeat).dataset["first_atoms"]
    phonopy = _phonopy(Structure(cell.positions * stretch, cell.numbers, cell.cell * stretch, cell.pbc), repeat)
    rest, *displaced = forces
    phonopy.dataset = {
        "natom": len(rest),
        "first_atoms": [
            {"number": step["number"], "displacement": np.asarray(step["displacement"]) * stretch, "forces": f - rest}
            for step, f in zip(steps, displaced, strict=True)
        ],
    }
    phonopy.produce_force_constants(fc_calculator="traditional", show_drift=False)
    phonopy.symmetrize_force_constants(show_drift=False)
    return phonopy


def dispersion(phonopy: Phonopy) -> Dispersion:
    """Along Γ-K-M-Γ-A."""
    corners = np.array([SPECIAL_POINTS[name] for name in PATH], dtype=float)
    parts = get_band_qpoints([corners[k : k + 2] for k in range(len(PATH) - 1)], npoints=POINTS)
    phonopy.run_band_structure(parts)
    found = phonopy.band_structure
    distances = [np.asarray(part) for part in found.distances]
    ticks = np.array([0.0, *(part[-1] for part in distances)])
    return Dispersion(np.concatenate(distances), np.concatenate(found.frequencies), ticks)


def density(phonopy: Phonopy, mesh: Repeat) -> Density:
    """Of states, by the tetrahedron method on a mesh with Γ in it, which keeps the symmetry of hcp."""
    phonopy.run_mesh(mesh, is_gamma_center=True)
    phonopy.run_total_dos()
    modes = np.asarray(phonopy.mesh.frequencies)
    weights = np.repeat(np.asarray(phonopy.mesh.weights, dtype=float), modes.shape[1])
    states = np.asarray(phonopy.total_dos.dos) / len(phonopy.primitive)
    return Density(np.asarray(phonopy.total_dos.frequency_points), states, modes.ravel(), weights)


def branches(phonopy: Phonopy) -> dict[str, float]:
    """Frequencies in THz that have names: of optical modes at Γ and all modes at A by polarisation, else by order."""
    names = list(SPECIAL_POINTS)
    phonopy.run_qpoints([SPECIAL_POINTS[name] for name in names], with_eigenvectors=True)
    frequencies = dict(zip(names, np.asarray(phonopy.qpoints.frequencies), strict=True))
    # Columns are modes; rows are x, y, z of the first atom, then of the second.
    along_c = {
        name: (np.abs(vectors[[2, 5]]) ** 2).sum(axis=0) > 0.5
        for name, vectors in zip(names, np.asarray(phonopy.qpoints.eigenvectors), strict=True)
    }
    optical, vertical = frequencies["Γ"][3:], along_c["Γ"][3:]
    a, a_vertical = frequencies["A"], along_c["A"]
    return {
        "Γ optical, in plane": _mean(optical[~vertical]),
        "Γ optical, along c": _mean(optical[vertical]),
        "K lowest": float(frequencies["K"].min()),
        "K highest": float(frequencies["K"].max()),
        "M lowest": float(frequencies["M"].min()),
        "M highest": float(frequencies["M"].max()),
        "A transverse": _mean(a[~a_vertical]),
        "A longitudinal": _mean(a[a_vertical]),
    }


def _mean(values: FloatArray) -> float:
    """NaN of none: a crystal so unstable that its optical modes are not the highest ones."""
    return float(values.mean()) if len(values) else float("nan")


def _displaced(cell: Structure, repeat: Repeat) -> Phonopy:
    phonopy = _phonopy(cell, repeat)
    phonopy.generate_displacements(distance=DISTANCE, is_diagonal=False)
    return phonopy


def _phonopy(cell: Structure, repeat: Repeat) -> Phonopy:
    atoms = PhonopyAtoms(numbers=cell.numbers, positions=cell.positions, cell=cell.cell)
    return Phonopy(atoms, supercell_matrix=np.diag(repeat), primitive_matrix=np.eye(3))


def _structure(atoms: PhonopyAtoms) -> Structure:
    return Structure(
        np.array(atoms.positions, dtype=np.float64),
        np.array(atoms.numbers, dtype=np.int64),
        np.array(atoms.cell, dtype=np.float64),
        np.ones(3, dtype=bool),
    )
