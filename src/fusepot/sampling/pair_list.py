"""A pair list that stays valid while atoms move less than its skin allows: made on the host, used inside jit.

It holds every pair closer than cutoff + skin at reference positions. Positions are kept relative to these: sums
and differences of small numbers lose nothing in float32, and unwrapped atoms never cross a cell boundary.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.graph import Array, Capacity, Graph, build_graph, grow
from fusepot.neighbors import find_pairs
from fusepot.potential import Potential
from fusepot.structure import Structure


class PairList(NamedTuple):
    """Pairs at reference positions; E pairs with padding, N atoms.

    Attributes:
        graph: with vectors at the reference positions in Å, also of pairs beyond the cutoff.
        translations: (E, 3) the part of each vector that is a lattice translation, ``S @ cell`` in Å.
        origin: (N, 3) reference positions in Å.
        reach: cutoff + skin in Å.
        cutoff: in Å.
    """

    graph: Graph
    translations: Array
    origin: Array
    reach: Array
    cutoff: Array


def pair_list(
    potential: Potential, reference: Structure, *, skin: float, at_least: Capacity | None = None
) -> tuple[PairList, Capacity]:
    """Find the pairs of reference positions.

    Args:
        potential: for its cutoff, elements and precision.
        reference: where positions will be counted from.
        skin: in Å.
        at_least: array sizes to keep; they grow where they do not suffice.

    Returns:
        The list as numpy arrays, and its array sizes.

    Raises:
        InputError: coinciding atoms, or an element the potential does not know.
    """
    reach = potential.cutoff + skin
    pairs = find_pairs(reference, reach)
    need = Capacity(len(reference), len(pairs), pairs.largest_row(), 1)
    have = need.rounded() if at_least is None else grow(at_least, need)
    have = have._replace(atoms=len(reference))  # every atom moves: no padding
    graph = build_graph(
        reference,
        cutoff=potential.cutoff,
        elements=potential.elements,
        dtype=potential.dtype,
        at_least=have,
        pairs=[pairs],
    )
    translations = np.zeros_like(graph.vectors)
    differences = reference.positions[pairs.others] - reference.positions[pairs.centers]
    translations[: len(pairs)] = pairs.vectors - differences
    numbers = np.array([reach, potential.cutoff], potential.dtype)
    origin = reference.positions.astype(potential.dtype)
    return PairList(graph, translations, origin, numbers[0], numbers[1]), have


def graph_at(pairs: PairList, position: Array, log_scale: Array | None) -> Graph:
    """The graph of atoms at ``origin + position`` in a cell of lengths ``exp(log_scale)`` times the reference's.

    Pure and traceable. ``log_scale`` None: the reference cell. Pairs beyond the cutoff are masked: most models vanish
    there, truncated ones (Lennard-Jones) do not.
    """
    graph = pairs.graph
    vectors, volumes = graph.vectors + (position[graph.others] - position[graph.centers]), graph.volumes
    if log_scale is not None:
        vectors = vectors + jnp.expm1(log_scale) * pairs.translations
        volumes = volumes * jnp.exp(3 * log_scale)
    near = graph.pair_mask & ~(jnp.sum(vectors**2, axis=-1) >= pairs.cutoff**2)  # NaN counts as near
    return graph._replace(vectors=vectors, volumes=volumes, pair_mask=near)


def outdated(pairs: PairList, position: Array, log_scale: Array | None) -> jax.Array:
    """Whether a pair within the cutoff may be missing; also where positions are not finite. Traceable.

    A cell scaled by s moves atoms by (s - 1) origin, which scales every pair alike, and by w besides. A missing pair
    was longer than ``reach`` and is now longer than ``s reach - 2 max |w|``.
    """
    scale = jnp.ones((), position.dtype) if log_scale is None else jnp.exp(log_scale)
    moved = position if log_scale is None else position - jnp.expm1(log_scale) * pairs.origin
    farthest = jnp.sqrt(jnp.max(jnp.sum(moved**2, axis=-1)))
    return ~(2 * farthest <= scale * pairs.reach - pairs.cutoff)


def forces_and_virial_trace(graph: Graph, gradient: Array) -> tuple[jax.Array, jax.Array]:
    """What ``fusepot.gradient.forces_and_virial`` says of a graph that holds both directions of every pair.

    Gathers along rows instead of scattered sums, which cost a CPU as much as the compiled kernels. The trace of the
    virial is dropped by the compiler where nobody reads it.
    """
    mirrored = gradient.at[graph.reverse].get(mode="fill", fill_value=0)
    difference = gradient - mirrored
    forces = difference.at[graph.slots].get(mode="fill", fill_value=0).sum(axis=1)
    return forces, jnp.sum(graph.vectors * gradient)
