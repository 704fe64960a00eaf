"""A LAMMPS NPT run of an hcp metal as a subprocess: its speed, and its lattice constants with error bars."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

DECK = Path(__file__).resolve().parents[2] / "lammps_interface" / "decks" / "npt_hcp.in"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Npt:
    """Orthorhombic cells of 4 atoms, steps of 2 fs."""

    cells: tuple[int, int, int]
    equilibration: int
    production: int

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return 4 * int(np.prod(self.cells))


def run_lammps(size: Npt, potential: Path, out: Path, *, ranks: int, temperature: float, title: str) -> float:
    """Run the NPT deck in the folder ``out``, unless it is finished there; returns steps per second."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.lammps"
    if not (out / "npt.restart").exists():
        variables = {"potential": potential, "temperature": temperature, "out": out / "npt"}
        variables |= dict(zip(("nx", "ny", "nz"), size.cells, strict=True))
        variables |= {"equilibration": size.equilibration, "production": size.production}
        command = [BIN / "mpiexec", "-n", ranks, BIN / "lmp", "-in", DECK, "-log", log, "-screen", "none"]
        for name, value in variables.items():
            command += ["-var", name, value]
        environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        log.unlink(missing_ok=True)
        with subprocess.Popen(
            [str(word) for word in command], env=environment, stderr=subprocess.PIPE, text=True
        ) as job:
            follow(job, log, size.equilibration + size.production, title)
            assert job.stderr is not None
            trouble = job.stderr.read()
        if job.returncode != 0:
            raise SystemExit(f"LAMMPS ended with code {job.returncode}; see {log}\n{trouble}")
    # The first run of the deck is the long one; a short one follows, which finds out the phase.
    return float(re.findall(r"([\d.]+) timesteps/s", log.read_text())[0])


def follow(job: subprocess.Popen[str], log: Path, steps: int, title: str) -> None:
    """Show LAMMPS's progress from the thermo lines in its log."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task(title, total=steps)
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.wait(timeout=1.0)
            lines = re.findall(r"^ +(\d+) +\d", log.read_text(), re.MULTILINE) if log.exists() else []
            if lines:
                progress.update(task, completed=min(steps, int(lines[-1])))
            if job.returncode is not None:
                return


def averages(size: Npt, path: Path) -> dict[str, tuple[float, float]]:
    """Mean and standard error (ten blocks) of a, c and temperature over the production part."""
    table = np.loadtxt(path)
    table = table[table[:, 0] > size.equilibration]
    blocks = np.array([block.mean(axis=0) for block in np.array_split(table, min(10, len(table)))])
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    return {name: (table[:, k].mean(), error[k]) for k, name in enumerate(("a", "c", "temperature"), start=1)}
