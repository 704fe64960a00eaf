"""The main job, end to end: a titanium potential from PBE data and experiment, LAMMPS with it, and a table.

    python examples/titanium/demo.py --out demo-run [--architecture dimenet++]

The DFT trainer first, then DFT and EXP trainer in turns (demo.toml); NPT in LAMMPS with the potential before and after;
a table of both beside experiment. With ``--architecture dimenet++`` the DFT trainer alone, with the paper's network.

Interrupt it and run it again: training continues from its checkpoint, finished parts are not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lammps_npt import BIN, Npt, averages, run_lammps
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fusepot.data.experiment import interpolate, load_measurements
from fusepot.potential_file import load_potential

HERE = Path(__file__).resolve().parent
DFT, FUSED = "DFT only", "fused"
TEMPERATURE = 300.0
ERRORS = {"energy": ("meV/atom", 1), "forces": ("meV/Å", 0), "stress": ("GPa", 2)}


@dataclass(frozen=True)
class Job:
    """How much of everything.

    Attributes:
        config: of the training.
        potentials: the files it leaves in the folder of results.
        npt: of LAMMPS.
    """

    config: str
    potentials: dict[str, str]
    npt: Npt


BOTH = {DFT: "dft/potential.fusepot", FUSED: "potential.fusepot"}
JOBS = {
    "nep": Job("demo.toml", BOTH, Npt((11, 7, 7), 2000, 8000)),
    "dimenet++": Job("dft_dimenetpp.toml", {DFT: "potential.fusepot"}, Npt((4, 3, 3), 500, 1500)),
}
SMOKE = Job("demo_smoke.toml", BOTH, Npt((3, 2, 2), 10, 40))


def observables(out: Path, potentials: dict[str, Path]) -> dict[str, list[dict[str, Any]]]:
    """What the EXP trainer found at its state points: with the potential it began with, and with the one it left."""
    if FUSED not in potentials:
        return {}
    with (out / "metrics.jsonl").open(encoding="utf-8") as lines:
        first = json.loads(next(lines))
    assert first["epoch"] == 0
    return {DFT: first["points"], FUSED: load_potential(potentials[FUSED]).provenance["experiment"]["points"]}


class Comparison:
    """A table with the potentials side by side, each with its deviation from experiment."""

    def __init__(self, names: list[str], title: str) -> None:
        self.names = names
        self.table = Table(title=title, box=SIMPLE_HEAD, padding=0, pad_edge=False)
        self.table.add_column("quantity")
        for heading in [part for name in names for part in (name, "")] + ["exp."]:
            self.table.add_column(heading, justify="right")

    def plain(self, quantity: str, values: dict[str, str]) -> None:
        """Numbers that no experiment tells."""
        self.table.add_row(quantity, *(part for name in self.names for part in (values[name], "")))

    def against(self, quantity: str, values: dict[str, tuple[float, float]], reference: float, digits: int) -> None:
        """Values with standard errors, beside an experimental value."""
        cells = []
        for name in self.names:
            value, error = values[name]
            deviation = f"{100 * (value / reference - 1):+.{max(0, digits - 2)}f} %" if reference else ""
            cells += [f"{value:.{digits}f} ± {error:.{digits}f}", deviation]
        self.table.add_row(quantity, *cells, f"{reference:.{digits}f}")


def compare(job: Job, out: Path, potentials: dict[str, Path], speeds: dict[str, float], ranks: int) -> Table:
    """The table."""
    title = f"titanium: RMSE on the PBE test set; experiment; LAMMPS, {job.npt.atoms} atoms, {ranks} ranks"
    comparison = Comparison(list(potentials), title)
    test = {name: load_potential(path).provenance["test_errors"] for name, path in potentials.items()}
    for name, (unit, digits) in ERRORS.items():
        values = {who: f"{found[name]:.{digits}f}" for who, found in test.items()}
        comparison.plain(f"{name} RMSE {unit}", values)
    points = observables(out, potentials)
    for rows in zip(*(points[who] for who in points), strict=True):
        kelvin = rows[0]["temperature_K"]
        for name, (_, _, target) in rows[0]["observables"].items():
            short = name.removesuffix("_adiabatic").replace("pressure_", "p ")
            label = f"{short} {kelvin:.0f} K, GPa"
            values = {who: row["observables"][name][:2] for who, row in zip(points, rows, strict=True)}
            comparison.against(label, values, target, 1 if target else 2)
    measured = load_measurements("hcp_titanium")
    lattice = {who: averages(job.npt, folder_of(out, who) / "npt.averages") for who in potentials}
    for name in ("a", "c"):
        reference = interpolate(measured, name, TEMPERATURE)
        values = {who: found[name] for who, found in lattice.items()}
        comparison.against(f"{name} {TEMPERATURE:.0f} K, Å", values, reference, 4)
    comparison.plain("LAMMPS, steps/s", {who: f"{speed:.0f}" for who, speed in speeds.items()})
    return comparison.table


def folder_of(out: Path, name: str) -> Path:
    """Where LAMMPS runs with a potential."""
    return out / f"lammps-{name.replace(' ', '-').lower()}"


def main() -> None:
    """Run the parts and print the table."""
    parser = argparse.ArgumentParser(description="train on PBE and experiment, run LAMMPS, compare with experiment")
    parser.add_argument("--out", type=Path, default=Path("demo-run"))
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--architecture", choices=JOBS, default="nep", help="what is trained")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: only shows that every part works")
    options = parser.parse_args()
    job = SMOKE if options.smoke else JOBS[options.architecture]
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run([BIN / "fusepot", "train", HERE / job.config, "--out", out], check=True)
    potentials = {name: out / file for name, file in job.potentials.items()}
    speeds = {
        name: run_lammps(
            job.npt,
            potential,
            folder_of(out, name),
            ranks=options.ranks,
            temperature=TEMPERATURE,
            title=f"LAMMPS NPT, {name}",
        )
        for name, potential in potentials.items()
    }
    Console().print(compare(job, out, potentials, speeds, options.ranks))


if __name__ == "__main__":
    main()
