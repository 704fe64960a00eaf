"""Copper labelled with a classical potential: labels, the whole chain in small, and what the README says of it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms

from fusepot.data import load_dataset
from fusepot.potential_file import load_potential
from fusepot.testing.derivatives import COMPONENTS, slope
from fusepot.training.config import load_config

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
    text = (FOLDER / "README.md").read_text().split("What the two commands gave")[0]
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


def overridden(text: str, changes: dict[str, dict[str, object]]) -> str:
    """The text of a TOML file with other values of some keys, by table; each of them has to be there."""
    left, section, lines = {(table, key) for table, keys in changes.items() for key in keys}, "", []
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        key = line.split(" = ")[0]
        if (section, key) in left:
            left.remove((section, key))
            line = f"{key} = {json.dumps(changes[section][key])}"
        lines.append(line)
    assert not left
    return "\n".join(lines) + "\n"


TINY: dict[str, dict[str, object]] = {
    "model.settings": {"n_max_radial": 2, "n_max_angular": 1, "l_max": 2, "neurons": 6},
    "training": {"epochs": 4, "batch_size": 4},
    "experiment": {"epochs": 1, "born_every": 1, "choice": "last"},
    "experiment.sampling": {"timestep_fs": 1.0, "equilibration": 0, "relaxation": 0, "steps": 20, "sample_every": 2},
    "experiment.optimizer": {"learning_rate": 1e-5},
}


def test_from_labels_to_a_fused_potential(tmp_path: Path) -> None:
    """The README's two commands, in small: they fit together, whatever comes out."""
    assert load_config(FOLDER / "fused.toml").strategy == "fused"
    assert run("--out", tmp_path / "copper.extxyz", "--count", COUNT).returncode == 0
    (tmp_path / "fused.toml").write_text(overridden((FOLDER / "fused.toml").read_text(), TINY))
    small = {"crystal": {"repeat": [2, 2, 2]}}
    experiment = re.sub(r" +#.*", "", (FOLDER / "experiment.toml").read_text())
    (tmp_path / "experiment.toml").write_text(overridden(experiment, small))
    job = subprocess.run(
        [sys.executable, "-m", "fusepot.cli", "train", "fused.toml", "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr[-3000:]
    records = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "event" not in record] == [0, 1]
    before, after = (load_potential(tmp_path / "run" / name) for name in ("dft/potential.fusepot", "potential.fusepot"))
    assert before.elements == after.elements == ("Cu",)
    (point,) = after.provenance["experiment"]["points"]
    assert point["temperature_K"] == 300
    targets = {name: target for name, (_, _, target) in point["observables"].items()}
    assert targets == {"C11_adiabatic": 168.4, "C12_adiabatic": 121.4, "C44_adiabatic": 75.4, "pressure": 0.0}
