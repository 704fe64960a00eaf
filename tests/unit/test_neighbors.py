"""Pairs and shifts, as sets, against a double loop over atoms and images."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import structures
from fusepot.errors import InputError
from fusepot.neighbors import Pairs, find_pairs
from fusepot.structure import Structure

Key = tuple[int, int, int, int, int]


def brute_force(structure: Structure, cutoff: float) -> dict[Key, np.ndarray]:
    """Every (i, j, S) closer than the cutoff and its vector, by trying all images that could reach."""
    periodic = structure.pbc
    reach = [0, 0, 0]
    if periodic.any():
        # Complete the cell by unit vectors normal to the periodic ones: heights along open directions do not matter.
        basis = structure.cell * periodic[:, None]
        _, _, axes = np.linalg.svd(basis[periodic])
        basis[~periodic] = axes[periodic.sum() :]
        inverse = np.linalg.inv(basis)
        spread = np.ptp(structure.positions @ inverse, axis=0)
        heights = 1 / np.linalg.norm(inverse, axis=0)
        reach = [int(np.ceil(cutoff / h + s)) * int(p) for h, s, p in zip(heights, spread, periodic, strict=True)]
    found = {}
    for shift in product(*(range(-n, n + 1) for n in reach)):
        translation = np.array(shift) @ (structure.cell * periodic[:, None])
        for i, j in product(range(len(structure)), repeat=2):
            vector = structure.positions[j] - structure.positions[i] + translation
            distance = np.sqrt(vector @ vector)
            if 0 < distance < cutoff and not (i == j and shift == (0, 0, 0)):
                found[(i, j, *shift)] = vector
    return found


def keys(pairs: Pairs) -> list[Key]:
    return [(int(i), int(j), *map(int, s)) for i, j, s in zip(pairs.centers, pairs.others, pairs.shifts, strict=True)]


def displaced(structure: Structure, seed: int) -> Structure:
    """The same crystal with atoms moved out of the cell by lattice vectors."""
    steps = np.random.default_rng(seed).integers(-2, 3, (len(structure), 3)) * structure.pbc
    return Structure(structure.positions + steps @ structure.cell, structure.numbers, structure.cell, structure.pbc)


def mixed(pbc: tuple[bool, bool, bool]) -> Structure:
    base = structures.triclinic((2, 1, 1), seed=7)
    return Structure(base.positions, base.numbers, base.cell, np.array(pbc))


CASES = {
    "hcp, 2 atoms": structures.hcp(rattle=0.1, seed=1),
    "fcc, 1 atom": structures.fcc(),
    "two images": structures.same_neighbor_two_images(),
    "triclinic": structures.triclinic((2, 2, 1), seed=2),
    "skewed": structures.triclinic((1, 1, 1), skew=1.7, seed=3),
    "very skewed": structures.triclinic((1, 1, 1), skew=-3.1, seed=4),
    "alloy": structures.alloy((2, 1, 1), seed=5),
    "slab": structures.slab(seed=6),
    "wire": structures.wire(seed=7),
    "cluster": structures.cluster(seed=8),
    "dimer": structures.dimer(2.5),
    "outside the cell": displaced(structures.triclinic((2, 1, 1), seed=9), seed=9),
    "slab outside the cell": displaced(structures.slab(seed=10), seed=10),
    "left-handed": Structure(
        structures.hcp(rattle=0.1).positions,
        np.array([22, 22]),
        structures.hcp().cell[[1, 0, 2]],
        np.ones(3, dtype=bool),
    ),
    **{f"pbc {pbc}": mixed(pbc) for pbc in product((False, True), repeat=3)},
}


@pytest.mark.parametrize("cutoff", [3.1, 5.03])
@pytest.mark.parametrize("name", CASES)
def test_pairs_are_those_of_the_double_loop(name: str, cutoff: float) -> None:
    structure = CASES[name]
    pairs, expected = find_pairs(structure, cutoff), brute_force(structure, cutoff)
    found = keys(pairs)
    assert len(found) == len(set(found)), f"{name}: pairs occur twice"
    assert set(found) == set(expected), f"{name}, cutoff {cutoff}"
    for key, vector in zip(found, pairs.vectors, strict=True):
        np.testing.assert_allclose(vector, expected[key], atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_order_and_reverse(name: str) -> None:
    pairs = find_pairs(CASES[name], 5.03)
    found = keys(pairs)
    assert found == sorted(found)
    assert [found[r] for r in pairs.reverse] == [(j, i, -a, -b, -c) for i, j, a, b, c in found]
    np.testing.assert_array_equal(pairs.reverse[pairs.reverse], np.arange(len(pairs)))
    np.testing.assert_allclose(pairs.vectors[pairs.reverse], -pairs.vectors, atol=1e-12)


def test_largest_row() -> None:
    pairs = find_pairs(structures.cluster(), 4.0)
    assert pairs.largest_row() == max(list(pairs.centers).count(i) for i in range(12))
    assert find_pairs(structures.atom(), 4.0).largest_row() == 0
    assert len(find_pairs(structures.dimer(4.5), 4.0)) == 0


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan"), float("inf")])
def test_unusable_cutoff(cutoff: float) -> None:
    with pytest.raises(InputError, match="cutoff"):
        find_pairs(structures.hcp(), cutoff)


def test_coinciding_atoms() -> None:
    positions = np.array([[0.0, 0, 0], [1.5, 0, 0], [4.0, 0, 0]])
    structure = Structure(positions, np.array([22] * 3), 4.0 * np.eye(3), np.ones(3, dtype=bool))
    with pytest.raises(InputError, match="atoms 0 and 2 at the same place"):
        find_pairs(structure, 3.0)
