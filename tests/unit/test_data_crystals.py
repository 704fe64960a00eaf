"""Crystals of experiment files: prototypes against ASE, in measured cells, or from a file."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from experiment_files import CRYSTAL, HEAD, PRESSURE, load, refused
from fusepot.data.crystals import PROTOTYPES
from fusepot.errors import DataError
from fusepot.structure import Structure

EXAMPLES = Path(__file__).parents[2] / "examples"


def shells(structure: Structure | Atoms, *, count: int) -> list[np.ndarray]:
    """Distances from each atom to its nearest neighbours, sorted."""
    atoms = structure if isinstance(structure, Atoms) else structure.to_ase()
    first, distances = neighbor_list("id", atoms, 5.5)
    return [np.sort(distances[first == i])[:count] for i in range(len(atoms))]


@pytest.mark.parametrize(("a", "c"), [(2.95, 4.68), (2.95, 2.95 * np.sqrt(8 / 3)), (3.2, 5.0)])
def test_hcp_against_ase(tmp_path, a, c):
    text = CRYSTAL.replace('"hcp_titanium"', f"{{a = {a!r}, c = {float(c)!r}}}") + PRESSURE
    structure = load(tmp_path, HEAD + text.replace("[2, 1, 1]", "[2, 2, 2]")).conditions[0].structure
    reference = bulk("Ti", "hcp", a=a, c=float(c))
    assert structure.volume / len(structure) == pytest.approx(reference.get_volume() / 2, rel=1e-12)
    # Six neighbours in the plane at a, six out of it, and further shells as in ASE's crystal.
    expected = np.sort([a] * 6 + [np.sqrt(a**2 / 3 + c**2 / 4)] * 6)
    for distances, also in zip(shells(structure, count=50), shells(reference, count=50) * 16, strict=True):
        np.testing.assert_allclose(distances[:12], expected, rtol=1e-12)
        np.testing.assert_allclose(distances, also, rtol=1e-12)
    # c along z, close-packed rows along x: what hexagonal observables and the LAMMPS deck rely on.
    assert len(set(np.round(structure.positions[:, 2], 8))) == 4
    first, vectors = neighbor_list("iD", structure.to_ase(), 1.001 * a)
    for i in range(len(structure)):
        along = [v for v in vectors[first == i] if abs(v[1]) < 1e-9 and abs(v[2]) < 1e-9]
        np.testing.assert_allclose(np.sort([v[0] for v in along]), [-a, a], rtol=1e-12)


def test_hcp_is_the_lammps_decks():
    deck = (EXAMPLES.parent / "lammps_interface" / "decks" / "npt_hcp.in").read_text()
    words = deck[deck.index("basis") :].split('"')[0].replace("basis", "").split()
    np.testing.assert_allclose(PROTOTYPES["hcp"].sites, np.array(words, dtype=float).reshape(-1, 3), atol=1e-12)


@pytest.mark.parametrize(("prototype", "cells"), [("fcc", 4), ("bcc", 2)])
def test_cubic_crystals_against_ase(tmp_path, prototype, cells):
    text = CRYSTAL.replace("hcp_titanium", "fcc_copper").replace('"hcp"', f'"{prototype}"').replace("Ti", "Cu")
    text = 'symmetry = "cubic"\ntemperatures_K = [300]\n' + text.replace("[2, 1, 1]", "[1, 2, 3]") + PRESSURE
    structure = load(tmp_path, text).conditions[0].structure
    reference = bulk("Cu", prototype, a=3.615, cubic=True)
    assert len(structure) == 6 * cells
    np.testing.assert_allclose(structure.cell, np.diag([3.615, 2 * 3.615, 3 * 3.615]))
    for distances in shells(structure, count=40):
        np.testing.assert_allclose(distances, shells(reference, count=40)[0], rtol=1e-12)


def test_lattice_constants_are_interpolated_and_the_outlier_left_out(tmp_path):
    cells = {c.temperature_K: c.structure.cell for c in load(tmp_path, temperatures_K=[73, 300, 973]).conditions}
    assert cells[73][2, 2] == pytest.approx((4.67803 + 4.67649) / 2)  # the excluded row has 4.686
    assert cells[300][0, 0] == pytest.approx(2 * (2.95059 + 2 / 25 * (2.95125 - 2.95059)))
    assert cells[973][2, 2] == pytest.approx(4.69557)


def test_a_cell_from_a_file(tmp_path):
    atoms = bulk("Ti", "hcp", a=2.94, c=4.65)
    ase.io.write(tmp_path / "cell.extxyz", atoms)
    text = HEAD + '[crystal]\nfile = "cell.extxyz"\nrepeat = [2, 1, 1]\n' + PRESSURE
    for condition in load(tmp_path, text).conditions:
        np.testing.assert_allclose(condition.structure.cell, atoms.repeat((2, 1, 1)).cell.array)
        np.testing.assert_allclose(condition.structure.positions, atoms.repeat((2, 1, 1)).positions, atol=1e-7)
    ase.io.write(tmp_path / "cell.extxyz", [atoms, atoms])
    assert "2 structures" in str(refused(tmp_path, text))
    atoms.pbc = [True, True, False]
    ase.io.write(tmp_path / "cell.extxyz", atoms)
    assert "got no pbc, expected one cell in extended XYZ, periodic" in str(refused(tmp_path, text))
    (tmp_path / "cell.extxyz").write_text("2\n")
    assert isinstance(refused(tmp_path, text), DataError)
