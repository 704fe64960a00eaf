"""Runs of elastic constants through LAMMPS: in the measured cell or in one that they find, also over kills."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from elastic_checks import BCC, FILE, HCP, TINY, check_of
from fusepot.data import load_measurements
from fusepot.errors import ConfigError, FusepotError
from fusepot.validation.analysis.elastic_series import read_samples
from fusepot.validation.checks import elastic
from fusepot.validation.interface import Run, Subject
from fusepot.validation.measured.elastic import measured_at
from fusepot.validation.running.execute import run_all
from fusepot.validation.running.folders import Folders


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter runs than "quick"."""
    monkeypatch.setattr(elastic, "LENGTHS", {"quick": TINY})


def kill_when(folders: Folders, run: Run, ready: Callable[[Path], bool]) -> None:
    """Begin or continue a run and kill it -9 once it is that far."""
    command, folder = folders.prepare(run), folders.path(run)
    with (folder / "messages").open("ab") as messages:
        job = subprocess.Popen(
            command, cwd=folder, stdout=messages, stderr=messages, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    deadline = time.monotonic() + 100
    while not ready(folder):
        assert job.poll() is None, (folder / "messages").read_text() + (folder / "log.lammps").read_text()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()


def steps_in(path: Path) -> list[int]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def edges(path: Path) -> dict[str, float]:
    """Variables of run.cell; LAMMPS keeps the first value of each."""
    known: dict[str, float] = {}
    for name, value in re.findall(r"^variable (\S+) index (\S+)$", path.read_text(), re.MULTILINE):
        known.setdefault(name, float(value))
    return known


@pytest.mark.usefixtures("tiny")
def test_bcc_killed_in_both_stages(tmp_path: Path) -> None:
    """NPT finds the cell, also over an interruption, and the tables have every step that they should have."""
    check, subject = check_of(BCC, tmp_path), Subject("nep", FILE)
    folders = Folders(tmp_path / "runs", "Ti", {"nep": "0"})
    (run,) = check.runs(subject)
    folder = folders.path(run)
    kill_when(folders, run, lambda folder: (folder / "run.restart.2").exists() and "lz_3" in edges(folder / "run.cell"))
    assert not steps_in(folder / "run.stress")
    first = edges(folder / "run.cell")
    start, end = TINY.npt + TINY.equilibration, run.steps
    kill_when(folders, run, lambda folder: max(steps_in(folder / "run.stress"), default=0) > start + 2500)
    kept = steps_in(folder / "run.stress")
    run_all([run], folders, jobs=1, ranks=1)
    logs = [path.read_text() for path in sorted(folder.glob("log.lammps*"), key=lambda path: path.stat().st_mtime)]
    assert len(logs) == 3
    found = edges(folder / "run.cell")
    assert len(found) == 20
    assert first.items() <= found.items()

    sampled = read_samples(folder, "run", symmetry="cubic", after=start)
    written = steps_in(folder / "run.stress")
    assert len(written) > len(set(written)), "it went on from before the last sample"
    assert set(kept) <= set(written)
    assert sorted(set(written)) == list(range(start, end + 1, TINY.sample_every))
    between = TINY.sample_every * TINY.born_every
    assert sorted(set(steps_in(folder / "run.born"))) == [s for s in range(start, end + 1) if s % between == 0]
    edge = np.mean([found[f"lx_{part}"] for part in range(6, 11)])
    assert sampled.volume == pytest.approx(edge**3, rel=1e-8)
    assert edge / 4 == pytest.approx(3.30, abs=0.05)
    # Other random numbers after the interruption.
    seeds = [word for log in logs for word in re.findall(r"^fix +noise all langevin .* (\d+) zero yes", log, re.M)]
    assert len(set(seeds)) == len(seeds) == 2, seeds

    rows = {row.quantity: row for row in check.findings([subject], folders).rows}
    assert list(rows) == ["C11", "C12", "C44", "K", "G", "Poisson's ratio", "pressure"]
    assert all(row.problem == "" and np.isfinite(row.value) and row.error > 0 for row in rows.values())
    assert rows["C11"].value == pytest.approx(98, abs=5 * rows["C11"].error + 10)  # the paper's DFT model
    assert rows["C44"].value == pytest.approx(27.4, abs=5 * rows["C44"].error + 4)
    assert rows["K"].value == pytest.approx((rows["C11"].value + 2 * rows["C12"].value) / 3, rel=1e-9)
    assert abs(rows["pressure"].value) < 0.5
    assert rows["C11"].reference == 97.7
    assert rows["C11"].source == "Ledbetter"
    assert rows["K"].reference == pytest.approx((97.7 + 2 * 82.7) / 3)
    assert rows["K"].passed


@pytest.mark.usefixtures("tiny")
def test_runs_have_the_measured_cell(tmp_path: Path) -> None:
    check = check_of(HCP, tmp_path)
    runs = check.runs(Subject("nep", FILE))
    assert [run.name for run in runs] == ["nep/elastic/300K", "nep/elastic/600K"]
    assert runs[0].variables["a"] == pytest.approx(2.95059 + (2.95125 - 2.95059) * 2 / 25)
    assert runs[0].variables["npt"] == 0
    assert runs[0].atoms == 48
    assert check_of(HCP | {"cells": [2, 3, 4]}, tmp_path).runs(Subject("nep", FILE))[0].atoms == 96
    with pytest.raises(ConfigError, match="has none"):
        check_of({name: value for name, value in BCC.items() if name != "a"}, tmp_path).runs(Subject("nep", FILE))
    with pytest.raises(FusepotError, match="between 4 and 973 K"):
        check_of(HCP | {"temperatures_K": [1273.0]}, tmp_path).runs(Subject("nep", FILE))
    with pytest.raises(ConfigError, match="a and c for hcp"):
        check_of(HCP | {"a": 2.9}, tmp_path)


def test_measured_constants() -> None:
    hcp, bcc = load_measurements("hcp_titanium"), load_measurements("bcc_titanium_elastic")
    (at,) = measured_at(hcp, "hexagonal", 310.5)
    assert at.values["C44"] == pytest.approx((46.7 + 46.2) / 2)
    c = at.values
    assert c["K"] == pytest.approx(2 / 9 * (c["C11"] + c["C12"] + 2 * c["C13"] + c["C33"] / 2))
    shear = (12 * c["C44"] + 7 * c["C11"] - 5 * c["C12"] + 2 * c["C33"] - 4 * c["C13"]) / 30
    assert c["G"] == pytest.approx(shear)
    assert c["Poisson's ratio"] == pytest.approx((3 * c["K"] - 2 * shear) / (6 * c["K"] + 2 * shear))
    assert [one.source for one in measured_at(bcc, "cubic", 1273)] == ["Ledbetter", "Fisher"]
    assert [one.source for one in measured_at(bcc, "cubic", 1293)] == ["Petry"]
    assert measured_at(bcc, "cubic", 1280) == []
