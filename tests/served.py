"""The arrays that the pair style hands to Python, made without LAMMPS."""

from __future__ import annotations

import numpy as np

from fusepot.neighbors import find_pairs
from fusepot.serving.lammps import PairArrays, PairServer
from fusepot.structure import Structure


def arrays_for(server: PairServer, structure: Structure) -> tuple[PairArrays, int, int]:
    """The arrays C++ would hand over for a whole structure, with room for the gradients of members."""
    pairs = find_pairs(structure, server.potential.cutoff)
    n, e = len(structure), len(pairs)
    have = server.reserve(n, e, pairs.largest_row())

    def padded(values: np.ndarray, fill: int) -> np.ndarray:
        return np.concatenate([values, np.full(have.pairs - e, fill)]).astype(np.int32)

    vectors = np.zeros((have.pairs, 3))
    vectors[:e], vectors[e:, 0] = pairs.vectors, server.potential.cutoff
    species = np.zeros(have.atoms, np.int32)
    species[:n] = [server.potential.elements.index(symbol) for symbol in structure.symbols]
    arrays = PairArrays(
        centers=padded(pairs.centers, have.atoms - 1),
        others=padded(pairs.others, have.atoms - 1),
        reverse=padded(pairs.reverse, have.pairs),
        vectors=vectors,
        species=species,
        counted=np.arange(have.atoms) < n,
        energies=np.full(have.atoms, np.nan),
        gradient=np.full((have.pairs, 3), np.nan),
        member_gradients=np.full((server.members, have.pairs, 3), np.nan),
    )
    return arrays, n, e
