"""The README's blocks, executed: what a stranger copies must run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fusepot.training.config import load_config

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def run(command: list[str | Path], folder: Path) -> str:
    """Standard output of a command that must succeed."""
    job = subprocess.run(
        [str(word) for word in command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert job.returncode == 0, f"{command} failed:\n{job.stdout[-3000:]}\n{job.stderr[-3000:]}"
    return job.stdout


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a checkout to the README's commands."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("potentials", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (deck,) = blocks("lammps")
    (folder / "in.titanium").write_text(deck)
    return folder


def test_python_block(workplace: Path) -> None:
    (code,) = blocks("python")
    printed = run([sys.executable, "-c", code], workplace)
    assert "BFGS" in printed


def lammps_commands() -> list[str]:
    """The commands that run LAMMPS."""
    (lines, _, _) = blocks("bash")
    return [line.split("#")[0].strip() for line in lines.splitlines() if line.strip()]


@pytest.mark.parametrize("command", lammps_commands())
def test_lammps_block(workplace: Path, command: str) -> None:
    printed = run(["bash", "-c", command], workplace)
    assert "Loop time" in printed
    assert "ERROR" not in printed


def test_training_commands_name_what_exists(workplace: Path) -> None:
    """The commands with a trained file in place of the training, which test_training and test_demo cover."""
    (_, lines, _) = blocks("bash")
    commands = [line.split("#")[0].strip() for line in lines.splitlines() if line.strip()]
    trainings = [command for command in commands if command.startswith("fusepot train")]
    others = [command for command in commands if command not in trainings]
    assert len(trainings) == 2
    for command in trainings:
        load_config(ROOT / command.split()[2])
    (workplace / "my-run").mkdir()
    shutil.copy(ROOT / "potentials/ti-pbe-nep/potential.fusepot", workplace / "my-run/potential.fusepot")
    for command in others:
        run(["bash", "-c", command], workplace)


def test_validation_command(workplace: Path) -> None:
    """With one of its checks only: the others have tests of their own."""
    (_, _, command) = blocks("bash")
    run(["bash", "-c", f"{command.rstrip()} --only lattice"], workplace)
    page = (workplace / "report/report.html").read_text()
    assert "ti-fused-nep" in page
    asked = tomllib.loads((ROOT / "examples/titanium/validation.toml").read_text())["lattice"][0]["temperatures_K"]
    assert f"{asked[-1]} K" in page


def test_first_screen_names_both_commands() -> None:
    first = "".join((ROOT / "README.md").read_text().splitlines(keepends=True)[:20])
    assert "make demo" in first
    assert "make test" in first
