"""Graph: what a model sees. Pair vectors and index tables in padded arrays whose shapes repeat.

Padding never reaches a result: padding pairs lie at the cutoff, where every model's envelope vanishes, and are
masked besides; padding atoms carry no pairs. Shapes only ever grow to fit (``at_least``), so nothing is truncated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from fusepot.errors import InputError
from fusepot.neighbors import Pairs, find_pairs
from fusepot.structure import Structure

Array = Any  # jax.Array inside jit, numpy.ndarray on the host


class Graph(NamedTuple):
    """One or several systems as one disjoint graph; ``E`` pairs, ``N`` atoms, ``K`` slots, ``S`` systems.

    Attributes:
        vectors: (E, 3) pair vectors ``r_j - r_i`` (image of j) in Å, sorted by center.
        centers: (E,) index i; padding pairs point at the last atom.
        others: (E,) index j.
        reverse: (E,) the same pair seen from j, or E where that pair is not part of the graph.
        pair_mask: (E,) true for real pairs.
        slots: (N, K) pairs of each center, E in unused slots.
        species: (N,) index into the potential's elements.
        atom_mask: (N,) true for atoms whose energy counts.
        system: (N,) system of each atom.
        volumes: (S,) cell volumes in Å^3, NaN where a system is not periodic in three directions.
    """

    vectors: Array
    centers: Array
    others: Array
    reverse: Array
    pair_mask: Array
    slots: Array
    species: Array
    atom_mask: Array
    system: Array
    volumes: Array


class Capacity(NamedTuple):
    """Array sizes of a padded graph."""

    atoms: int = 0
    pairs: int = 0
    neighbors: int = 0
    systems: int = 0

    def union(self, other: Capacity) -> Capacity:
        """The smallest capacity that holds what either holds."""
        return Capacity(*map(max, self, other))

    def rounded(self) -> Capacity:
        """Rounded up to repeating sizes; rows to whole vector registers."""
        return Capacity(round_up(self.atoms), round_up(self.pairs), -(-self.neighbors // 8) * 8 or 8, self.systems)


def round_up(count: int) -> int:
    """The next of sixteen sizes per octave (at least 8): at most 6 % padding, few distinct shapes."""
    if count <= 8:
        return 8
    step = 1 << max(0, (count - 1).bit_length() - 5)
    return -(-count // step) * step


def species_index(structure: Structure, elements: Sequence[str]) -> np.ndarray:
    """Index of each atom's element in ``elements``, (atoms,) int32.

    Raises:
        InputError: the structure holds an element that is not listed.
    """
    table = np.full(len(chemical_symbols), -1, dtype=np.int32)
    for index, symbol in enumerate(elements):
        table[atomic_numbers[symbol]] = index
    species = table[structure.numbers]
    if (species < 0).any():
        unknown = sorted({chemical_symbols[z] for z in structure.numbers[species < 0]})
        raise InputError(
            "structure",
            got=f"element {', '.join(unknown)}",
            expected=f"only {', '.join(elements)}",
            remedy="Use a potential trained for these elements.",
        )
    return species


def measure(structures: Sequence[Structure], pairs: Sequence[Pairs]) -> Capacity:
    """The exact capacity that these structures need together."""
    return Capacity(
        atoms=sum(map(len, structures)),
        pairs=sum(map(len, pairs)),
        neighbors=max((p.largest_row() for p in pairs), default=0),
        systems=len(structures),
    )


def build_graph(
    structures: Structure | Sequence[Structure],
    *,
    cutoff: float,
    elements: Sequence[str],
    dtype: Any = np.float32,
    at_least: Capacity | None = None,
    pairs: Sequence[Pairs] | None = None,
) -> Graph:
    """Build the padded graph of one or several structures on the host.

    Args:
        structures: one structure, or several that become systems 0, 1, ... of one graph.
        cutoff: pair cutoff in Å.
        elements: the potential's elements; species are indices into it.
        dtype: float type of vectors and volumes. Differences are taken in float64 first.
        at_least: shapes to keep when they suffice, so that compiled code is reused; they grow where they do not.
        pairs: the structures' pairs where already known, in the same order.

    Returns:
        A graph of numpy arrays.

    Raises:
        InputError: unknown element, coinciding atoms, unusable cutoff.
    """
    systems = [structures] if isinstance(structures, Structure) else list(structures)
    pairs = [find_pairs(s, cutoff) for s in systems] if pairs is None else pairs
    need = measure(systems, pairs)
    have = need.rounded() if at_least is None else grow(at_least, need)
    offsets = np.cumsum([0, *map(len, systems)])
    pair_offsets = np.cumsum([0, *map(len, pairs)])
    n, e = int(offsets[-1]), int(pair_offsets[-1])

    def joined(parts: Sequence[np.ndarray], size: int, fill: Any, kind: Any) -> np.ndarray:
        body = np.concatenate([np.zeros_like(parts[0][:0]), *parts])
        out = np.full((size, *body.shape[1:]), fill, dtype=kind)
        out[: len(body)] = body
        return out

    shifted = list(zip(pairs, offsets[:-1], strict=True))
    centers = joined([p.centers + o for p, o in shifted], have.pairs, have.atoms - 1, np.int32)
    vectors = joined([p.vectors for p in pairs], have.pairs, 0.0, dtype)
    vectors[e:, 0] = cutoff
    reverse = joined(
        [p.reverse + o for p, o in zip(pairs, pair_offsets, strict=False)], have.pairs, have.pairs, np.int32
    )
    return Graph(
        vectors=vectors,
        centers=centers,
        others=joined([p.others + o for p, o in shifted], have.pairs, have.atoms - 1, np.int32),
        reverse=reverse,
        pair_mask=np.arange(have.pairs) < e,
        slots=_slot_table(centers[:e], atoms=have.atoms, neighbors=have.neighbors, unused=have.pairs),
        species=joined([species_index(s, elements) for s in systems], have.atoms, 0, np.int32),
        atom_mask=np.arange(have.atoms) < n,
        system=joined([np.full(len(s), k) for k, s in enumerate(systems)], have.atoms, have.systems - 1, np.int32),
        volumes=joined([np.array([s.volume]) for s in systems], have.systems, np.nan, dtype),
    )


def grow(have: Capacity, need: Capacity) -> Capacity:
    """Keep ``have`` if ``need`` fits; otherwise enlarge every size that is near its limit, so it happens rarely."""
    if all(n <= h for n, h in zip(need, have, strict=True)):
        return have
    slack = Capacity(need.atoms, need.pairs + need.pairs // 20, need.neighbors + 1, need.systems)
    return have.union(slack.rounded())


def capacity_of(graph: Graph) -> Capacity:
    """The array sizes of a graph."""
    return Capacity(len(graph.species), len(graph.centers), graph.slots.shape[1], len(graph.volumes))


def slot_table(centers: Array, pair_mask: Array, *, atoms: int, neighbors: int) -> Array:
    """The (atoms, neighbors) table of pair indices per center from sorted centers, inside jit.

    Rows longer than ``neighbors`` would lose pairs: the caller sizes ``neighbors`` from the longest row.
    """
    unused = len(centers)
    rank = jax.numpy.arange(unused) - jax.numpy.searchsorted(centers, centers, side="left")
    row = jax.numpy.where(pair_mask, centers, atoms)
    table = jax.numpy.full((atoms, neighbors), unused, dtype=np.int32)
    return table.at[row, rank].set(jax.numpy.arange(unused, dtype=np.int32), mode="drop", unique_indices=True)


def _slot_table(centers: np.ndarray, *, atoms: int, neighbors: int, unused: int) -> np.ndarray:
    table = np.full((atoms, neighbors), unused, dtype=np.int32)
    first = np.searchsorted(centers, np.arange(atoms))
    table[centers, np.arange(len(centers)) - first[centers]] = np.arange(len(centers))
    return table
