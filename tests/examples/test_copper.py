"""Copper labelled with a classical potential: labels against finite differences, and what the README says of it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms

from fusepot.data import load_dataset
from fusepot.testing.derivatives import COMPONENTS, slope

FOLDER = Path(__file__).parents[2] / "examples" / "copper"
SCRIPT = FOLDER / "make_data.py"
COUNT = 31  # more than one period of the kinds: all of them occur


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("make_data", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_data"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def first(script: ModuleType) -> dict[str, Atoms]:
    """The first structure of each kind, labelled."""
    found: dict[str, Atoms] = {}
    for atoms in script.structures(COUNT, seed=3):
        if atoms.info["config_type"] not in found:
            found[atoms.info["config_type"]] = script.labelled(atoms)
    assert set(found) == {kind.name for kind in script.KINDS}
    return found


def test_forces_are_derivatives_of_the_energy(script: ModuleType, first: dict[str, Atoms]) -> None:
    for kind, atoms in first.items():
        for atom, axis in ((0, 0), (len(atoms) - 1, 1), (len(atoms) // 2, 2)):

            def energy(step: float, atoms: Atoms = atoms, atom: int = atom, axis: int = axis) -> float:
                moved = atoms.copy()
                moved.positions[atom, axis] += step
                return script.labelled(moved).get_potential_energy()

            # The potential is a table joined by cubic splines, so that third derivatives jump.
            assert atoms.get_forces()[atom, axis] == pytest.approx(-slope(energy, 1e-3), abs=2e-5), kind


def test_stress_is_the_derivative_by_strain(script: ModuleType, first: dict[str, Atoms]) -> None:
    for kind, atoms in first.items():
        stress = atoms.get_stress(voigt=False)
        np.testing.assert_array_equal(stress, stress.T)
        for i, j in COMPONENTS:

            def energy(step: float, atoms: Atoms = atoms, i: int = i, j: int = j) -> float:
                strain = np.zeros((3, 3))
                strain[i, j] += step / 2
                strain[j, i] += step / 2
                moved = atoms.copy()
                moved.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
                return script.labelled(moved).get_potential_energy()

            expected = slope(energy, 2e-4) / atoms.get_volume()
            assert stress[i, j] == pytest.approx(expected, abs=1e-6), (kind, i, j)


def test_a_data_set_that_fusepot_reads_and_that_is_the_same_again(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.extxyz" for name in ("first", "again", "shorter", "other")]
    for path, count, seed in zip(paths, (COUNT, COUNT, 7, 7), (0, 0, 0, 1), strict=True):
        job = run("--out", path, "--count", count, "--seed", seed)
        assert job.returncode == 0, job.stderr
        assert f"{count} structures" in job.stdout
    content = [path.read_text() for path in paths]
    assert content[0] == content[1]
    assert content[0].startswith(content[2])
    assert not content[0].startswith(content[3])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)

    samples = load_dataset(paths[0]).samples  # which checks for absurd labels
    assert len(samples) == COUNT
    assert {sample.structure.symbols[0] for sample in samples} == {"Cu"}
    assert {2, 32} <= {len(sample.structure) for sample in samples} <= set(range(2, 33))
    assert all(sample.has == (True, True, True) for sample in samples)


def test_the_readme_says_what_the_potential_is() -> None:
    job = run("--constants")
    assert job.returncode == 0, job.stderr
    text = (FOLDER / "README.md").read_text()
    for line in job.stdout.splitlines():
        name, value, _ = line.split()
        (row,) = re.findall(rf"^\| {name}\b.*?\| *(-?[\d.]+)", text, re.MULTILINE)
        digits = len(row.partition(".")[2])
        assert float(value) == pytest.approx(float(row), abs=0.51 * 10**-digits), name


def test_mistakes_are_named(tmp_path: Path) -> None:
    for arguments, message in ((("--count", 0), "--count: got 0"), (("--seed", -1), "--seed: got -1")):
        job = run("--out", tmp_path / "x.extxyz", *arguments)
        assert job.returncode == 2
        assert message in job.stderr
    assert not list(tmp_path.iterdir())
