"""Committees in LAMMPS: the mean moves the atoms, and what its members' disagreement does to a run."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase.io import read as read_ase

import committees
from fusepot.committee import deviation
from fusepot.potential import predict, predict_members
from fusepot.potential_file import save_potential
from fusepot.structure import Structure
from seam import cells
from seam.harness import Run, run

STEPS, EVERY = 12, 4
# Lennard-Jones comes through the arrays of XLA as well, and compiles faster on two ranks.
CASES = [("kernel", 1), ("kernel", 2), ("xla", 1), ("lennard-jones", 1), ("lennard-jones", 2)]
DECK = """
units metal
boundary p p p
read_data {data}
{style}
mass * 30.0
velocity all create 900 4711
neighbor 0.5 bin
neigh_modify delay 0 every 2 check no
fix 1 all nve
timestep 0.002
compute pe all pe
compute spread all pair fusepot
thermo_style custom step pe c_spread[1] c_spread[2] c_spread[3]
thermo_modify format float %20.14g
thermo 4
dump 1 all custom 4 frames.dump id type x y z fx fy fz
dump_modify 1 format float %20.14g sort id
run {steps}
print "AFTER $(step)"
"""


@pytest.fixture(scope="module")
def files(compiled: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("committees")
    made = {
        "nep": committees.nep(3),
        "lennard-jones": committees.lennard_jones(2),
        "single": committees.nep_parts(1)[0],
    }
    for name, potential in made.items():
        save_potential(potential, folder / f"{name}.fusepot")
    return {name: folder / f"{name}.fusepot" for name in made}


def deck(folder: Path, files: dict[str, Path], kind: str, *, words: str = "", steps: int = STEPS) -> str:
    """A short run of the two-element beam, with the committee's keywords."""
    folder.mkdir(parents=True, exist_ok=True)
    cells.write_data(folder / "beam.data", cells.oriented(cells.beam()))
    file = files["lennard-jones" if kind == "lennard-jones" else "nep"]
    engine = "xla" if kind == "xla" else "auto"
    style = f"pair_style fusepot precision float64 engine {engine} {words}\npair_coeff * * {file} Al Ti"
    return DECK.format(data="beam.data", style=style, steps=steps)


def potential_of(kind: str):
    return committees.lennard_jones(2) if kind == "lennard-jones" else committees.nep(3)


@pytest.fixture(scope="module")
def runs(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Run]:
    folder = tmp_path_factory.mktemp("runs")
    words = f"committee spread.txt {EVERY}"
    return {
        (kind, ranks): run(
            folder / f"{kind}{ranks}", deck(folder / f"{kind}{ranks}", files, kind, words=words), ranks=ranks
        ).ok()
        for kind, ranks in CASES
    }


@pytest.mark.parametrize(("kind", "ranks"), CASES)
def test_members_spread_and_mean_force_are_those_of_predict(runs, kind, ranks):
    done = runs[kind, ranks]
    table = np.loadtxt(done.folder / "spread.txt")
    np.testing.assert_array_equal(table[:, 0], np.arange(0, STEPS + 1, EVERY))
    frames = read_ase(done.folder / "frames.dump", index=":", format="lammps-dump-text")
    potential, cell = potential_of(kind), cells.oriented(cells.beam()).cell
    numbers = cells.oriented(cells.beam()).numbers
    (thermo,) = done.thermo()
    for frame, row, energy, printed in zip(frames, table, thermo["PotEng"], thermo["c_spread[1]"], strict=True):
        structure = Structure(frame.positions, numbers, cell, np.ones(3, dtype=bool))
        expected = predict(potential, structure)
        scale = np.abs(expected.forces).max()
        assert scale > 0.1
        assert np.abs(frame.get_forces() - expected.forces).max() < 1e-9 * scale
        assert abs(energy - expected.energy) < 1e-9 * abs(expected.energy)
        (members,), _ = predict_members(potential, [structure])
        spread = deviation(members).forces
        assert spread.max() > 0.05 * scale
        np.testing.assert_allclose(row[1:4], [spread.max(), spread.mean(), spread.min()], rtol=1e-6)
        assert int(row[4]) == int(spread.argmax()) + 1
        assert printed == pytest.approx(spread.max(), rel=1e-9)


def test_asking_for_the_spread_changes_no_trajectory(files, runs, tmp_path):
    quiet = run(tmp_path, deck(tmp_path, files, "kernel").replace(
        "compute spread all pair fusepot", "variable c_spread equal 0").replace(
        "c_spread[1] c_spread[2] c_spread[3]", ""), ranks=1).ok()  # fmt: skip
    frames = [(folder / "frames.dump").read_text() for folder in (quiet.folder, runs["kernel", 1].folder)]
    assert frames[0] == frames[1]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_ends_above_the_limit_and_the_deck_goes_on(files, runs, tmp_path, ranks):
    table = np.loadtxt(runs["kernel", 1].folder / "spread.txt")
    limit = next((a + b) / 2 for a, b in pairwise(np.maximum.accumulate(table[:, 1])) if b > a)
    first = int(table[table[:, 1] > limit][0, 0])
    text = deck(tmp_path, files, "kernel", words=f"committee spread.txt {EVERY} stop {limit}", steps=100)
    done = run(tmp_path, text, ranks=ranks).ok()
    assert first > 0
    assert re.search(rf"step {first}: the committee's force deviation on atom \d+ is", done.text)
    assert done.numbers("AFTER") == first
    assert np.loadtxt(tmp_path / "spread.txt")[-1, 0] == first


@pytest.mark.parametrize(
    ("words", "single", "message"),
    [
        ("committee spread.txt", False, "committee: got 1 values"),
        ("committee spread.txt 0", False, "got 0 steps"),
        ("committee spread.txt ten", False, "ten"),
        ("committee spread.txt 5 stop -1", False, "above 0"),
        ("committee nowhere/spread.txt 5", False, "cannot write nowhere/spread.txt"),
        ("committee spread.txt 5", True, "got a single potential"),
    ],
)
def test_mistakes_end_the_run(files, tmp_path, words, single, message):
    text = deck(tmp_path, files | ({"nep": files["single"]} if single else {}), "kernel", words=words)
    done = run(tmp_path, text)
    assert done.code != 0
    assert message in done.text


def test_single_potentials_are_unchanged_members(files):
    """What the committee of the tests disagrees about is worth measuring: members differ."""
    parts = committees.nep_parts(3)
    structure = cells.oriented(cells.beam())
    forces = [predict(replace(part), structure).forces for part in parts]
    assert np.abs(forces[0] - forces[1]).max() > 0.1
