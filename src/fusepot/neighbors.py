"""Neighbour pairs on the host, with integer cell shifts. No minimum image: every image within the cutoff is a pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import vesin
from ase.geometry import complete_cell
from numpy.typing import NDArray

from fusepot.errors import InputError
from fusepot.structure import FloatArray, Structure


@dataclass(frozen=True)
class Pairs:
    """All ordered pairs of a structure within a cutoff, sorted by (center, other, shift).

    Attributes:
        centers: (pairs,) index i.
        others: (pairs,) index j; i = j occurs for images of an atom in a small cell.
        shifts: (pairs, 3) integer lattice translation S of the image of j.
        vectors: (pairs, 3) ``r_j - r_i + S @ cell`` in Å.
        reverse: (pairs,) position of the same pair seen from j: (j, i, -S).
    """

    centers: NDArray[np.int32]
    others: NDArray[np.int32]
    shifts: NDArray[np.int32]
    vectors: FloatArray
    reverse: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.centers)

    def largest_row(self) -> int:
        """The largest number of neighbours of one atom."""
        return int(np.bincount(self.centers).max()) if len(self) else 0


def find_pairs(structure: Structure, cutoff: float) -> Pairs:
    """Find every ordered pair closer than ``cutoff`` (Å), images included, by vesin's cell lists.

    Any mixture of periodic and open directions, cells smaller than the cutoff and triclinic cells are exact.

    Raises:
        InputError: the cutoff is not positive, or two atoms coincide.
    """
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise InputError("cutoff", got=cutoff, expected="a positive length in Å")
    cell = structure.cell * structure.pbc[:, None]
    if structure.pbc.any():
        cell = complete_cell(cell)
    finder = vesin.NeighborList(cutoff=float(cutoff), full_list=True, n_threads=1)
    i, j, shifts = finder.compute(structure.positions, cell, structure.pbc, quantities="ijS")
    i, j, shifts = i.astype(np.int32), j.astype(np.int32), shifts.astype(np.int32)
    order = _order(i, j, shifts)
    i, j, shifts = i[order], j[order], shifts[order]
    vectors = structure.positions[j] - structure.positions[i] + shifts @ cell
    squared = np.einsum("pk,pk->p", vectors, vectors)
    if len(squared) and squared.min() < 1e-8:
        p = int(squared.argmin())
        raise InputError("positions", got=f"atoms {i[p]} and {j[p]} at the same place", expected="distinct positions")
    # Sorting the mirrored pairs (j, i, -S) lists them in the order of the pairs themselves.
    reverse = np.empty(len(i), dtype=np.int32)
    reverse[_order(j, i, -shifts)] = np.arange(len(i), dtype=np.int32)
    return Pairs(i, j, shifts, vectors, reverse)


def _order(i: NDArray[np.int32], j: NDArray[np.int32], shifts: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], j, i))
