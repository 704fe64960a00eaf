"""The main job, end to end: train a titanium potential on PBE data, run NPT with it in LAMMPS, print a table.

    python examples/titanium/demo.py --out demo-run [--architecture dimenet++]

Interrupt it and run it again: training continues from its checkpoint, finished parts are not repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fusepot.data.experiment import interpolate, load_measurements
from fusepot.potential_file import load_potential

HERE = Path(__file__).resolve().parent
DECK = HERE.parents[1] / "lammps_interface" / "decks" / "npt_hcp.in"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Size:
    """How much of everything: training configuration, orthorhombic cells of 4 atoms, steps of 2 fs."""

    config: str
    cells: tuple[int, int, int]
    equilibration: int
    production: int


SIZES = {
    "nep": Size("dft.toml", (11, 7, 7), 2000, 8000),
    "dimenet++": Size("dft_dimenetpp.toml", (4, 3, 3), 500, 1500),
}
SMOKE = Size("dft_smoke.toml", (3, 2, 2), 10, 40)


def train(size: Size, out: Path) -> Path:
    """Train, or continue training; returns the potential file."""
    subprocess.run([BIN / "fusepot", "train", HERE / size.config, "--out", out], check=True)
    return out / "potential.fusepot"


def run_lammps(size: Size, potential: Path, out: Path, *, ranks: int, temperature: float) -> float:
    """Run the NPT deck; returns steps per second. Continues from the deck's own restart file where there is one."""
    log = out / "log.lammps"
    steps = size.equilibration + size.production
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
            follow(job, log, steps)
            assert job.stderr is not None
            trouble = job.stderr.read()
        if job.returncode != 0:
            raise SystemExit(f"LAMMPS ended with code {job.returncode}; see {log}\n{trouble}")
    return float(re.findall(r"([\d.]+) timesteps/s", log.read_text())[-1])


def follow(job: subprocess.Popen[str], log: Path, steps: int) -> None:
    """Show LAMMPS's progress from the thermo lines in its log."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("LAMMPS NPT", total=steps)
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.wait(timeout=1.0)
            lines = re.findall(r"^ +(\d+) +\d", log.read_text(), re.MULTILINE) if log.exists() else []
            if lines:
                progress.update(task, completed=int(lines[-1]))
            if job.returncode is not None:
                return


def averages(size: Size, path: Path) -> dict[str, tuple[float, float]]:
    """Mean and standard error (ten blocks) of a, c and temperature over the production part."""
    table = np.loadtxt(path)
    table = table[table[:, 0] > size.equilibration]
    blocks = np.array([block.mean(axis=0) for block in np.array_split(table, min(10, len(table)))])
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    return {name: (table[:, k].mean(), error[k]) for k, name in enumerate(("a", "c", "temperature"), start=1)}


def main() -> None:
    """Run the parts and print the table."""
    parser = argparse.ArgumentParser(description="train on PBE, run LAMMPS, compare with experiment")
    parser.add_argument("--out", type=Path, default=Path("demo-run"))
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--architecture", choices=SIZES, default="nep", help="what is trained")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: only shows that every part works")
    options = parser.parse_args()
    size, temperature = (SMOKE if options.smoke else SIZES[options.architecture]), 300.0
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    potential = train(size, out)
    speed = run_lammps(size, potential, out, ranks=options.ranks, temperature=temperature)
    found = averages(size, out / "npt.averages")
    errors = load_potential(potential).provenance["test_errors"]
    measured = load_measurements("hcp_titanium")

    atoms = 4 * int(np.prod(size.cells))
    table = Table(
        title=f"titanium: {potential.name} trained on PBE, LAMMPS NPT of {atoms} atoms at {temperature:.0f} K"
    )
    for heading in ("quantity", "fusepot", "reference", "deviation"):
        table.add_column(heading, justify="left" if heading == "quantity" else "right")
    table.add_row("test set: energy RMSE", f"{errors['energy']:.1f} meV/atom", "PBE", "")
    table.add_row("test set: forces RMSE", f"{errors['forces']:.0f} meV/Å", "PBE", "")
    table.add_row("test set: stress RMSE", f"{errors['stress']:.2f} GPa", "PBE", "")
    for name in ("a", "c"):
        reference = interpolate(measured, name, temperature)
        value, error = found[name]
        deviation = 100 * (value / reference - 1)
        table.add_row(
            f"{name} at 300 K", f"{value:.4f} ± {error:.4f} Å", f"{reference:.4f} Å (exp.)", f"{deviation:+.2f} %"
        )
    table.add_row("temperature", f"{found['temperature'][0]:.0f} ± {found['temperature'][1]:.0f} K", "300 K", "")
    table.add_row(f"LAMMPS, {options.ranks} ranks", f"{speed:.1f} steps/s", "", "")
    Console().print(table)


if __name__ == "__main__":
    main()
