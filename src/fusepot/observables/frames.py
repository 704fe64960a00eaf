"""Frames: a trajectory as arrays from which the graph of any frame is made inside jit.

Pairs come from fixed lists. A list serves all frames of a stretch of the trajectory in which no atom moves far: it
holds every pair that comes within the cutoff in any of them, and a frame uses those that are within the cutoff just
then. A solid needs one list; where atoms diffuse, the trajectory is halved until each part is quiet enough, in the
limit down to one list per frame. Nothing depends on a skin guessed beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from fusepot.errors import InputError
from fusepot.graph import Array, Capacity, Graph, build_graph, grow, measure
from fusepot.neighbors import Pairs, find_pairs
from fusepot.sampling.trajectory import Trajectory

QUIET = 0.5  # a list serves frames whose displacements widen the search by at most this fraction of the cutoff
CHUNK = 1 << 21  # pair vectors held at a time while a list is made


class PairLists(NamedTuple):
    """``L`` lists of ``E`` pairs between ``N`` atoms with ``K`` slots each, padded as in ``fusepot.graph.Graph``.

    Attributes:
        centers, others, reverse: (L, E).
        shifts: (L, E, 3) integer lattice translations of the image of the other atom.
        pair_mask: (L, E).
        slots: (L, N, K).
    """

    centers: Array
    others: Array
    reverse: Array
    shifts: Array
    pair_mask: Array
    slots: Array


class Frames(NamedTuple):
    """Frames of one trajectory; numpy arrays on the host, any arrays inside jit.

    Attributes:
        positions: (frames, N, 3) in Å, float64, zero for padding atoms.
        cells: (frames, 3, 3) lattice vectors as rows in Å, float64.
        list_of: (frames,) which of the pair lists a frame uses.
        lists: the pair lists.
        species: (N,) index into the potential's elements.
        atom_mask: (N,) true for atoms.
    """

    positions: Array
    cells: Array
    list_of: Array
    lists: PairLists
    species: Array
    atom_mask: Array

    @property
    def capacity(self) -> Capacity:
        """Array sizes; given to the next trajectory's frames, compiled code is reused."""
        (_, pairs), (_, atoms, neighbors) = self.lists.centers.shape, self.lists.slots.shape
        return Capacity(atoms, pairs, neighbors, 1)


def make_frames(
    trajectory: Trajectory, *, cutoff: float, elements: Sequence[str], at_least: Capacity | None = None
) -> Frames:
    """Prepare a trajectory for evaluation with potentials of this cutoff and these elements.

    Args:
        trajectory: at least one frame, periodic in three directions. Positions may be wrapped or not: a jump by a
            lattice vector costs time and changes no result.
        cutoff: pair cutoff in Å.
        elements: the potential's elements; species are indices into it.
        at_least: array sizes to keep where they suffice (``Frames.capacity`` of an earlier call).

    Raises:
        InputError: no frame, an open direction, an unknown element or coinciding atoms.
    """
    if not len(trajectory):
        raise InputError("trajectory", got="no frames", expected="at least one frame")
    if not trajectory.structure.pbc.all():
        got = f"pbc {trajectory.structure.pbc.tolist()}"
        raise InputError("trajectory", got=got, expected="three periodic directions")
    parts = _quiet_parts(trajectory, np.arange(len(trajectory)), cutoff)
    structures = [trajectory.frame(part[0]) for part, _ in parts]
    pairs = [_common_pairs(trajectory, part, search, cutoff) for part, search in parts]
    need = Capacity()
    for structure, found in zip(structures, pairs, strict=True):
        need = need.union(measure([structure], [found]))
    have = need.rounded() if at_least is None else grow(at_least, need)
    graphs = [
        build_graph(s, cutoff=cutoff, elements=elements, at_least=have, pairs=[p])
        for s, p in zip(structures, pairs, strict=True)
    ]
    shifts = np.zeros((len(parts), have.pairs, 3), np.int32)
    list_of = np.zeros(len(trajectory), np.int32)
    for index, ((part, _), found) in enumerate(zip(parts, pairs, strict=True)):
        shifts[index, : len(found)] = found.shifts
        list_of[part] = index
    positions = np.zeros((len(trajectory), have.atoms, 3))
    positions[:, : len(trajectory.structure)] = trajectory.positions

    def stacked(name: str) -> NDArray[Any]:
        return np.stack([getattr(graph, name) for graph in graphs])

    lists = PairLists(
        stacked("centers"), stacked("others"), stacked("reverse"), shifts, stacked("pair_mask"), stacked("slots")
    )
    return Frames(positions, trajectory.cells, list_of, lists, graphs[0].species, graphs[0].atom_mask)


def graph_at(frames: Frames, index: Array, *, cutoff: float, dtype: str) -> Graph:
    """The graph of frame ``index``; traceable.

    Pair vectors are differences in the precision of the positions, then cast to ``dtype``. Pairs beyond the cutoff
    become padding: they lie at the cutoff and are masked.
    """
    positions, cell, list_of = (jnp.asarray(leaf)[index] for leaf in (frames.positions, frames.cells, frames.list_of))
    single = len(frames.lists.centers) == 1  # then the tables are constants of the loop over frames
    pairs = PairLists(*(leaf[0 if single else list_of] for leaf in map(jnp.asarray, frames.lists)))
    vectors = _vectors(positions, cell, pairs.centers, pairs.others, pairs.shifts)
    inside = pairs.pair_mask & (jnp.sum(vectors**2, axis=-1) < cutoff**2)
    vectors = jnp.where(inside[:, None], vectors, jnp.array([cutoff, 0.0, 0.0], vectors.dtype)).astype(dtype)
    return Graph(
        vectors=vectors,
        centers=pairs.centers,
        others=pairs.others,
        reverse=pairs.reverse,
        pair_mask=inside,
        slots=pairs.slots,
        species=jnp.asarray(frames.species),
        atom_mask=jnp.asarray(frames.atom_mask),
        system=jnp.zeros(len(frames.species), np.int32),
        volumes=jnp.abs(jnp.linalg.det(cell))[None].astype(dtype),
    )


def _vectors(positions: Any, cell: Any, centers: Any, others: Any, shifts: Any) -> Any:
    return positions[..., others, :] - positions[..., centers, :] + shifts @ cell


def _quiet_parts(trajectory: Trajectory, frames: NDArray, cutoff: float) -> list[tuple[NDArray, float]]:
    """Split frames into stretches with the radius around their first frame in which to search for pairs.

    Against the first frame, deformed with the cell by A, atoms are displaced by at most u. A pair closer than the
    cutoff was then closer than (cutoff + 2 u) / s at first, with s the smallest singular value of A.
    """
    cells, start = trajectory.cells[frames], trajectory.cells[frames[0]]
    deformations = np.linalg.solve(start, cells)
    displacements = trajectory.positions[frames] - trajectory.positions[frames[0]] @ deformations
    displacements -= displacements.mean(axis=1, keepdims=True)
    u = np.sqrt((displacements**2).sum(axis=-1).max())
    search = (cutoff + 2 * u) / np.linalg.svd(deformations, compute_uv=False).min()
    if len(frames) == 1 or search <= (1 + QUIET) * cutoff:
        return [(frames, float(search))]
    half = len(frames) // 2
    return _quiet_parts(trajectory, frames[:half], cutoff) + _quiet_parts(trajectory, frames[half:], cutoff)


def _common_pairs(trajectory: Trajectory, frames: NDArray, search: float, cutoff: float) -> Pairs:
    """The pairs within the cutoff in at least one of the frames, found around the first of them."""
    # Rounding must not lose a pair exactly on the rim; what is too much is dropped below.
    candidates = find_pairs(trajectory.frame(frames[0]), search * (1 + 1e-9))
    keep = np.einsum("pk,pk->p", candidates.vectors, candidates.vectors) < cutoff**2
    # The others decide in later frames; a pair and its reverse decide together.
    (open_,) = np.nonzero(~keep & (np.arange(len(keep)) < candidates.reverse))
    columns = candidates.centers[open_], candidates.others[open_], candidates.shifts[open_].astype(np.float64)
    nearest = np.full(len(open_), np.inf)
    step = max(1, CHUNK // max(1, len(open_)))
    for first in range(1, len(frames), step):
        some = frames[first : first + step]
        vectors = _vectors(trajectory.positions[some], trajectory.cells[some], *columns)
        nearest = np.minimum(nearest, np.einsum("fpk,fpk->fp", vectors, vectors).min(axis=0))
    keep[open_] = nearest < cutoff**2
    keep |= keep[candidates.reverse]
    place = np.cumsum(keep, dtype=np.int32) - 1
    return Pairs(
        candidates.centers[keep], candidates.others[keep], candidates.shifts[keep],
        candidates.vectors[keep], place[candidates.reverse[keep]],
    )  # fmt: skip
