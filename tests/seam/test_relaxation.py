"""Barostats, minimisers and box relaxation: everything that steers by the virial, on 2 ranks."""

from __future__ import annotations

import numpy as np
import pytest

import potentials
from fusepot.potential_file import save_potential
from fusepot.structure import Structure
from seam import cells
from seam.cells import write_data
from seam.harness import Run, run

SEED = 777
EDGE = 3.9  # Å
# The cutoff lies between two shells of neighbours: at it, the force of truncated Lennard-Jones jumps.
POTENTIAL = potentials.lennard_jones(("Ti", "Al"), cutoff=4.5)
# A face-centred cubic crystal is stable under Lennard-Jones; slightly sheared, so that relaxation has work to do.
CONVENTIONAL = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
# fmt: off
START = """
clear
units metal
atom_modify map yes
read_data {data}.data
neighbor 0.5 bin
pair_style fusepot precision float64
pair_coeff * * {file} Al Ti
thermo_modify norm no
"""
THERMO = """
thermo_style custom step temp pe etotal econserve press pxx pyy pzz pxy pxz pyz fmax lx ly lz xy xz yz
thermo {every}
"""
NPT = START + THERMO + """
velocity all create 300 {seed} loop all
timestep 0.001
fix 1 all npt temp 300 300 0.05 {barostat} 0 0 0.3
run 200
"""
MINIMIZE = START + THERMO + """
minimize 0 1e-6 300 1000
"""
# The box converges fast only once the atoms have settled in it, so the two take turns.
ROUND = """
fix 1 all box/relax {barostat} 0 vmax {vmax}
minimize 0 1e-6 300 2000
unfix 1
minimize 0 1e-6 300 2000
"""
RELAX = START + THERMO + ROUND.replace("{vmax}", "0.0005") + ROUND.replace("{vmax}", "0.0002")
DECKS = {
    "npt aniso": (NPT, "aniso", "straight", 20), "npt tri": (NPT, "tri", "tilted", 20),
    "minimize": (MINIMIZE, "", "tilted", 100),
    # In a tilted box LAMMPS's aniso changes angles as well, so that its energy has no minimum at zero pressure.
    "relax aniso": (RELAX, "aniso", "straight", 100), "relax tri": (RELAX, "tri", "tilted", 100),
}  # fmt: skip
TABLES = {"npt aniso": 1, "npt tri": 1, "minimize": 1, "relax aniso": 4, "relax tri": 4}
# fmt: on


def crystal(shear: float) -> Structure:
    """96 atoms of two elements at random, strained along the axes and sheared."""
    sites = np.array([(i, j, k) for i in range(2) for j in range(3) for k in range(4)])[:, None, :] + CONVENTIONAL
    positions = sites.reshape(-1, 3) * EDGE + np.random.default_rng(SEED).uniform(-0.05, 0.05, (96, 3))
    base = Structure(positions, np.full(96, 22), EDGE * np.diag([2.0, 3.0, 4.0]), np.ones(3, dtype=bool))
    strain = np.diag([0.01, -0.02, 0.01]) + shear * np.array([[0, 2, -1], [2, 0, 1.5], [-1, 1.5, 0]])
    return cells.oriented(cells.two_elements(base.strained(strain), seed=SEED))


@pytest.fixture(scope="module")
def done(compiled: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("relaxation")
    write_data(folder / "straight.data", crystal(0.0))
    write_data(folder / "tilted.data", crystal(0.01))
    save_potential(POTENTIAL, folder / "lj.fusepot")
    blocks = [
        block.format(file="lj.fusepot", seed=SEED, barostat=barostat, data=data, every=every)
        for block, barostat, data, every in DECKS.values()
    ]
    return run(folder, "".join(blocks), ranks=2, timeout=300).ok()


def tables(done: Run, title: str) -> list[dict[str, np.ndarray]]:
    """Thermo tables of one part of the deck."""
    first = sum(n for name, n in list(TABLES.items())[: list(TABLES).index(title)])
    return done.thermo()[first : first + TABLES[title]]


@pytest.mark.parametrize("barostat", ["aniso", "tri"])
def test_npt_conserves_its_energy(done: Run, barostat: str) -> None:
    (table,) = tables(done, f"npt {barostat}")
    drift = np.abs(table["Econserve"] - table["Econserve"][0]).max() / 96
    exchanged = np.ptp(table["TotEng"]) / 96
    assert exchanged > 1e-3
    assert drift < 0.02 * exchanged, f"seed {SEED}: {drift} eV per atom while {exchanged} went in and out"
    assert min(np.ptp(table[name]) for name in ("Lx", "Ly", "Lz")) > 0.01, "all edges moved"
    if barostat == "tri":
        assert min(np.ptp(table[name]) for name in ("Xy", "Xz", "Yz")) > 0.01, "all angles moved"


def test_minimize_ends_at_zero_force(done: Run) -> None:
    (table,) = tables(done, "minimize")
    assert table["Fmax"][-1] < 1e-5 < 0.1 < table["Fmax"][0]
    assert table["PotEng"][-1] < table["PotEng"][0]


@pytest.mark.parametrize("barostat", ["aniso", "tri"])
def test_box_relax_ends_at_zero_pressure(done: Run, barostat: str) -> None:
    start, *_, last, _ = tables(done, f"relax {barostat}")
    components = ["Pxx", "Pyy", "Pzz"] + (["Pxy", "Pxz", "Pyz"] if barostat == "tri" else [])
    worst = max(abs(last[name][-1]) for name in components)
    assert worst < 0.01 < 1e4 < max(abs(start[name][0]) for name in components), f"{worst} bar"
