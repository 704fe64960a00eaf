"""Structure: what it accepts, what it refuses, and that it is ASE's structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms

import structures
from fusepot.errors import InputError
from fusepot.structure import Structure

BUILDERS = [structures.hcp, structures.alloy, structures.slab, structures.wire, structures.cluster]


@pytest.mark.parametrize("build", BUILDERS)
def test_to_ase_and_back(build: Any) -> None:
    before = build()
    after = Structure.from_ase(before.to_ase())
    for name in ("positions", "numbers", "cell", "pbc"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert after.symbols == before.to_ase().get_chemical_symbols()


def test_from_ase_copies() -> None:
    atoms = structures.hcp().to_ase()
    structure = Structure.from_ase(atoms)
    atoms.positions += 1.0
    atoms.set_cell(atoms.cell.array * 2)
    assert np.abs(structure.positions - structures.hcp().positions).max() == 0
    assert np.abs(structure.cell - structures.hcp().cell).max() == 0


def test_volume() -> None:
    assert structures.triclinic().volume == pytest.approx(structures.triclinic().to_ase().get_volume(), rel=1e-14)
    left_handed = Structure(np.zeros((1, 3)), np.array([22]), -np.eye(3), np.ones(3, dtype=bool))
    assert left_handed.volume == pytest.approx(1.0)
    assert np.isnan(structures.slab().volume)
    assert np.isnan(structures.cluster().volume)


def test_strain_deforms_cell_and_positions_alike() -> None:
    structure = structures.triclinic()
    strain = np.array([[0.01, 0.02, -0.03], [0.02, -0.01, 0.005], [-0.03, 0.005, 0.02]])
    strained = structure.strained(strain)
    fractional = np.linalg.solve(structure.cell.T, structure.positions.T)
    np.testing.assert_allclose(np.linalg.solve(strained.cell.T, strained.positions.T), fractional, atol=1e-13)
    # A vector r becomes (1 + strain) r: seen on the first lattice vector, component by component.
    expected = [structure.cell[0] @ (np.eye(3)[k] + strain[k]) for k in range(3)]
    np.testing.assert_allclose(strained.cell[0], expected, rtol=1e-14)


NAN = np.array([[0.0, 0, 0], [0, np.nan, 0]])
TWO = np.array([[0.0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": np.zeros(0, dtype=int), "positions": np.zeros((0, 3))}, "no atoms"),
        ({"positions": np.zeros((3, 3))}, r"positions: got shape \(3, 3\), expected shape \(2, 3\)"),
        ({"positions": NAN}, "non-finite coordinates of atom 1"),
        ({"cell": np.eye(2)}, "cell"),
        ({"cell": np.full((3, 3), np.inf)}, "cell"),
        ({"cell": np.zeros((3, 3))}, "linearly independent.*Set pbc to false"),
        ({"cell": np.ones((3, 3))}, "linearly independent"),
        ({"cell": np.diag([1.0, 1.0, 0.0])}, "linearly independent"),
    ],
)
def test_unusable_structures(change: dict[str, Any], message: str) -> None:
    good = {"positions": TWO, "numbers": np.array([22, 22]), "cell": np.eye(3), "pbc": np.ones(3, dtype=bool)}
    with pytest.raises(InputError, match=message):
        Structure(**(good | change))


def test_the_cell_of_open_directions_does_not_matter() -> None:
    cell = np.diag([3.0, 3.0, 0.0])
    assert len(Structure(TWO, np.array([22, 22]), cell, np.array([True, True, False]))) == 2
    assert len(Structure.from_ase(Atoms("H2", TWO))) == 2
