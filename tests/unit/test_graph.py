"""Graphs: masks, padding, growth, several systems, slot tables."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import structures
from fusepot.errors import InputError
from fusepot.graph import Capacity, Graph, build_graph, capacity_of, grow, measure, round_up, slot_table, species_index
from fusepot.neighbors import find_pairs

CUTOFF = 4.7
SYSTEMS = [structures.hcp(), structures.cluster(), structures.alloy((1, 1, 2)), structures.atom(), structures.slab()]


def graph_of(systems: list, **options: object) -> Graph:
    return build_graph(systems, cutoff=CUTOFF, elements=("Al", "Ti"), dtype="float64", **options)


@pytest.mark.parametrize("systems", [SYSTEMS[:1], SYSTEMS[3:4], SYSTEMS[1:3], SYSTEMS], ids=["2", "1", "two", "five"])
def test_real_rows_hold_the_systems(systems: list) -> None:
    graph = graph_of(systems)
    pairs = [find_pairs(s, CUTOFF) for s in systems]
    n, e = sum(map(len, systems)), sum(map(len, pairs))
    assert graph.atom_mask.sum() == n
    assert graph.atom_mask[:n].all()
    assert graph.pair_mask.sum() == e
    assert graph.pair_mask[:e].all()
    first_atom = first_pair = 0
    for index, (structure, own) in enumerate(zip(systems, pairs, strict=True)):
        atoms = slice(first_atom, first_atom + len(structure))
        rows = slice(first_pair, first_pair + len(own))
        np.testing.assert_array_equal(graph.system[atoms], index)
        np.testing.assert_array_equal(graph.species[atoms], structure.numbers == 22)
        np.testing.assert_array_equal(graph.vectors[rows], own.vectors)
        np.testing.assert_array_equal(graph.centers[rows] - first_atom, own.centers)
        np.testing.assert_array_equal(graph.others[rows] - first_atom, own.others)
        np.testing.assert_array_equal(graph.reverse[rows] - first_pair, own.reverse)
        np.testing.assert_equal(graph.volumes[index], structure.volume)
        first_atom, first_pair = atoms.stop, rows.stop


def test_padding() -> None:
    have = Capacity(atoms=40, pairs=900, neighbors=40, systems=3)
    graph = graph_of(SYSTEMS[:1], at_least=have)
    e = int(graph.pair_mask.sum())
    assert capacity_of(graph) == have
    np.testing.assert_array_equal(np.linalg.norm(graph.vectors[e:], axis=1), CUTOFF)
    np.testing.assert_array_equal(graph.centers[e:], 39)
    np.testing.assert_array_equal(graph.others[e:], 39)
    np.testing.assert_array_equal(graph.reverse[e:], 900)
    np.testing.assert_array_equal(graph.system[2:], 2)
    assert np.isnan(graph.volumes[1:]).all()
    assert (np.diff(graph.centers) >= 0).all()


@pytest.mark.parametrize("systems", [SYSTEMS[:1], SYSTEMS[3:4], SYSTEMS])
def test_slots_list_each_pair_once_in_the_row_of_its_center(systems: list) -> None:
    graph = graph_of(systems)
    unused = len(graph.centers)
    rows, _ = np.nonzero(graph.slots < unused)
    listed = graph.slots[graph.slots < unused]
    np.testing.assert_array_equal(np.sort(listed), np.flatnonzero(graph.pair_mask))
    np.testing.assert_array_equal(graph.centers[listed], rows)
    # Used slots come first in each row, in order.
    assert (np.diff(graph.slots.astype(np.int64), axis=1)[graph.slots[:, 1:] < unused] > 0).all()


@pytest.mark.parametrize("systems", [SYSTEMS[:1], SYSTEMS[3:4], SYSTEMS])
@pytest.mark.parametrize("compiled", [True, False])
def test_slot_table_inside_jit(systems: list, compiled: bool) -> None:
    graph = graph_of(systems, at_least=Capacity(60, 1500, 40, 5))
    make = jax.jit(slot_table, static_argnames=("atoms", "neighbors")) if compiled else slot_table
    table = make(jnp.asarray(graph.centers), jnp.asarray(graph.pair_mask), atoms=60, neighbors=40)
    np.testing.assert_array_equal(table, graph.slots)


def test_capacity_grows_and_never_truncates() -> None:
    need = measure([SYSTEMS[2]], [find_pairs(SYSTEMS[2], CUTOFF)])
    for small in (
        need._replace(pairs=need.pairs - 1),
        need._replace(neighbors=need.neighbors - 1),
        need._replace(atoms=need.atoms - 1),
        Capacity(),
    ):
        graph = graph_of(SYSTEMS[2:3], at_least=small)
        assert int(graph.pair_mask.sum()) == need.pairs
        assert int((graph.slots < len(graph.centers)).sum()) == need.pairs
        assert all(a >= b for a, b in zip(capacity_of(graph), need, strict=True))
    exact = graph_of(SYSTEMS[2:3], at_least=need)
    assert capacity_of(exact) == need
    assert int(exact.pair_mask.sum()) == need.pairs


def test_growth_keeps_what_was_large() -> None:
    have = Capacity(100, 10, 30, 1)
    grown = grow(have, Capacity(50, 400, 20, 2))
    assert grown.atoms == 100
    assert grown.neighbors == 30
    assert grown.systems == 2
    assert grown.pairs >= 420
    assert grow(have, Capacity(100, 10, 30, 1)) == have


def test_round_up_repeats_sizes() -> None:
    sizes = [round_up(n) for n in range(5000)]
    assert all(size >= n for n, size in enumerate(sizes))
    assert all(size <= n + n / 16 + 1 for n, size in enumerate(sizes) if n >= 8)
    assert sorted(sizes) == sizes
    assert len(set(sizes)) < 150
    assert all(round_up(size) == size for size in sizes)


def test_no_pairs_at_all() -> None:
    graph = graph_of([structures.atom()])
    assert not graph.pair_mask.any()
    assert (graph.slots == len(graph.centers)).all()


def test_unknown_element_is_named() -> None:
    with pytest.raises(InputError, match=r"element Al, expected only V, Ti\. Use a potential trained"):
        species_index(structures.alloy(), ("V", "Ti"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype(dtype: str) -> None:
    graph = build_graph(SYSTEMS[0], cutoff=CUTOFF, elements=("Ti",), dtype=dtype)
    assert graph.vectors.dtype == graph.volumes.dtype == dtype
    assert {leaf.dtype.name for leaf in graph} == {dtype, "int32", "bool"}
