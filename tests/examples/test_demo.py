"""The main job, small: both trainings, LAMMPS on two ranks, the table; and again, which must repeat nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from fusepot.training.config import load_config

ROOT = Path(__file__).parents[2]


def demo(out: Path) -> str:
    job = subprocess.run(
        [sys.executable, str(ROOT / "examples/titanium/demo.py"), "--smoke", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"COLUMNS": "120"},
    )
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr[-3000:]
    return job.stdout


def test_demo_smoke(tmp_path: Path) -> None:
    out = tmp_path / "run"
    rows = {cells[0]: cells[1:] for cells in map(cells_of, demo(out).splitlines()) if len(cells) > 1}
    assert rows["quantity"] == ["DFT only", "fused", "exp."]
    for name in ("energy RMSE meV/atom", "forces RMSE meV/Å", "stress RMSE GPa", "LAMMPS, steps/s"):
        assert len(rows[name]) == 2, name
    for name, experiment in (("a 300 K, Å", 2.9506), ("c 300 K, Å", 4.6788), ("C44 323 K, GPa", 46.2)):
        # Value, deviation in per cent, value, deviation, experiment.
        assert [float(rows[name][-1])] == [experiment]
        for value, deviation in (rows[name][0:2], rows[name][2:4]):
            expected = 100 * (float(value.split()[0]) / experiment - 1)
            assert abs(float(deviation.removesuffix(" %")) - expected) < 0.6 + 0.002 * abs(expected), name
    # The first state point's observables of epochs 0 and 1: of the DFT-only and of the fused potential.
    first, last = (json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines())
    assert (first["epoch"], last["epoch"]) == (0, 1)
    pressures = [record["points"][0]["observables"]["pressure_basal"] for record in (first, last)]
    assert rows["p basal 323 K, GPa"] == [*(f"{v:.2f} ± {e:.2f}" for v, e, _ in pressures), "0.00"]

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    names = {str(path.relative_to(out)) for path in before}
    assert {
        "potential.fusepot",
        "dft/potential.fusepot",
        "lammps-fused/log.lammps",
        "lammps-dft-only/npt.restart",
    } < names
    demo(out)
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert not {"potential.fusepot", "metrics.jsonl", "log.lammps", "npt.averages"} & changed


def test_the_demo_begins_with_the_potential_that_ships() -> None:
    folder = ROOT / "examples/titanium"
    assert load_config(folder / "demo.toml").pretraining() == load_config(folder / "dft.toml")


def cells_of(line: str) -> list[str]:
    """The cells of a printed row: two blanks apart, or one before a deviation and after its percent sign."""
    return re.split(r" {2,}|(?<=\d) (?=[+-]\d)|(?<=%) ", line.strip())
