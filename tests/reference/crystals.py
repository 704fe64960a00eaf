"""Periodic crystals without a symmetry library: contacts, fingerprints, symmetry operations."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from ase.neighborlist import neighbor_list

from fusepot.structure import FloatArray, Structure

SHELL = 40  # neighbours of an atom in a fingerprint: three or four shells of a close-packed crystal


class Contact(NamedTuple):
    """The closest two atoms: ``distance`` in Å, their indices, the unit vector from the first to the second."""

    distance: float
    atoms: tuple[int, int]
    direction: FloatArray


def contact(structure: Structure) -> Contact:
    """The closest two atoms (or an atom and its image) of a crystal."""
    cutoff = 2 * (structure.volume / len(structure)) ** (1 / 3)  # no packing leaves an atom alone in such a sphere
    first, second, distances, vectors = neighbor_list("ijdD", structure.to_ase(), cutoff)
    k = int(distances.argmin())
    return Contact(float(distances[k]), (int(first[k]), int(second[k])), vectors[k] / distances[k])


def fingerprint(structure: Structure) -> FloatArray:
    """Lengths in Å that all descriptions of one crystal share, (2 SHELL + 1,).

    Cube root of the volume per atom, then mean and spread over the atoms of the distances to the first, second, ...
    neighbour. Order of atoms, orientation, origin and choice of cell (a supercell as well) do not matter.
    """
    per_atom = structure.volume / len(structure)
    first, distances = neighbor_list("id", structure.to_ase(), 1.3 * (SHELL * per_atom * 0.75 / np.pi) ** (1 / 3))
    nearest = np.array([np.sort(distances[first == i])[:SHELL] for i in range(len(structure))])
    return np.concatenate([[per_atom ** (1 / 3)], nearest.mean(axis=0), nearest.std(axis=0)])


class Operation(NamedTuple):
    """x -> x @ ``rotation`` plus a translation takes each atom i to the site of atom ``order[i]``."""

    rotation: FloatArray
    order: np.ndarray


def operations(structure: Structure, *, tolerance: float = 1e-5) -> list[Operation]:
    """All symmetry operations of a crystal of one element, the identity included; ``tolerance`` in Å.

    Brute force over lattice mappings with entries -1, 0 and 1, which suffice for cells that are not very oblique.
    """
    cell, n = structure.cell, len(structure)
    inverse = np.linalg.inv(cell)
    scaled = structure.positions @ inverse
    metric = cell @ cell.T
    candidates = _unimodular()
    isometric = np.abs(candidates @ metric @ candidates.transpose(0, 2, 1) - metric).max(axis=(1, 2)) < tolerance
    found = []
    for mapping in candidates[isometric]:
        mapped = scaled @ mapping
        for translation in scaled - mapped[0]:
            difference = mapped[:, None] + translation - scaled
            difference -= np.round(difference)
            distances = np.linalg.norm(difference @ cell, axis=-1)
            order = distances.argmin(axis=1)
            if (distances[np.arange(n), order] < tolerance).all() and len(set(order)) == n:
                found.append(Operation(inverse @ mapping @ cell, order))
    return found


@lru_cache(maxsize=1)
def _unimodular() -> FloatArray:
    """(mappings, 3, 3): matrices of -1, 0 and 1 with determinant 1 or -1."""
    matrices = np.array(list(product((-1.0, 0.0, 1.0), repeat=9))).reshape(-1, 3, 3)
    return matrices[np.isclose(np.abs(np.linalg.det(matrices)), 1)]


def symmetrised(forces: FloatArray, stress: FloatArray, group: list[Operation]) -> tuple[FloatArray, FloatArray]:
    """Forces (atoms, 3) and stress (3, 3) averaged over a group of operations: what symmetry lets them be."""
    mean_forces, mean_stress = np.zeros_like(forces), np.zeros_like(stress)
    for rotation, order in group:
        mean_forces[order] += forces @ rotation / len(group)
        mean_stress += rotation.T @ stress @ rotation / len(group)
    return mean_forces, mean_stress
