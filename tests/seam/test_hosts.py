"""Three ways to run LAMMPS give the same numbers, and an error on one rank ends all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from seam import cells, statics
from seam.harness import run
from seam.statics import deviation

CELLS = {name: cell for name, cell in cells.all_cells().items() if name in ("alloy", "corner")}
SCRIPT = """
from mpi4py import MPI
from lammps import lammps
program = lammps(cmdargs=["-log", "script.log"])
program.file("deck.in")
"""
# Two atoms of the left rank meet in the middle of a run, out of reach of the right rank.
COLLISION = """
units metal
boundary f f f
region box block 0 60 0 20 0 20
create_box 2 box
create_atoms 1 single 5 10 10
create_atoms 2 single 9 10 10
create_atoms 1 single 55 10 10
create_atoms 2 single 50 10 10
mass * 50
neighbor 0.5 bin
pair_style fusepot
pair_coeff * * {file} Al Ti
group left id 1
fix 1 left move linear 1.0 0 0
timestep 0.25
thermo 1
run 100
"""


def test_hosts_give_the_same_numbers(models: dict[str, Path], tmp_path: Path) -> None:
    cases = {cell: statics.fusepot(cell, models["lj"]) for cell in CELLS}
    found = {}
    for host in ("lmp", "module", "script"):
        folder = tmp_path / host
        deck = statics.deck(folder, CELLS, cases)
        (folder / "deck.in").write_text(deck)
        found[host] = statics.read(run(folder, SCRIPT if host == "script" else deck, ranks=2, host=host))
    for cell in CELLS:
        for host in ("module", "script"):
            for name in ("energy", "energies", "forces", "virial", "stresses"):
                difference = deviation(getattr(found[host][cell], name), getattr(found["lmp"][cell], name))
                assert difference < 1e-12, f"{name} of {cell}: {host} differs from lmp by {difference}"


@pytest.mark.parametrize("host", ["lmp", "module", "script"])
def test_exception_on_one_rank_ends_the_run(models: dict[str, Path], tmp_path: Path, host: str) -> None:
    (tmp_path / "deck.in").write_text(COLLISION.format(file=models["lj"]))
    text = SCRIPT if host == "script" else COLLISION.format(file=models["lj"])
    done = run(tmp_path, text, ranks=2, host=host, timeout=90)
    assert done.code != 0, done.text[-2000:]
    assert "the potential returned non-finite energies or forces" in done.text
    assert "overlapping atoms" in done.text
    steps = done.thermo()[0]["Step"] if "Loop time" in done.text else [
        int(line.split()[0]) for line in done.text.splitlines() if line.split()[:1] and line.split()[0].isdigit()
    ]  # fmt: skip
    assert 10 <= max(steps) < 20, "it ran until the atoms met"
