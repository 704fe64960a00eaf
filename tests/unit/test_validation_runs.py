"""LAMMPS runs of a validation: run once, the longest first, and refused where they are of no use."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fusepot.errors import InputError
from fusepot.validation.analysis.averages import mean_of, read_averages
from fusepot.validation.analysis.phases import require_phase
from fusepot.validation.checks import lattice
from fusepot.validation.interface import Run, RunFailed, Subject
from fusepot.validation.running import execute
from fusepot.validation.running.execute import launch_command, run_all, run_one
from fusepot.validation.running.folders import RESTART_END, Folders, deck_path
from lammps_runs import folders_at, hcp, subject_in


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Subject:
    return subject_in(tmp_path_factory.mktemp("potentials"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, subject) -> tuple[Folders, Run]:
    """A run that came to its end, in a folder whose path has blanks."""
    folders, run = folders_at(tmp_path_factory.mktemp("all runs") / "of today"), hcp(subject)
    told: list = []
    run_all([run], folders, jobs=1, ranks=1, report=lambda one, what: told.append((one.name, what)))
    assert told == [("ti/lattice/300K", "finished")], (folders.path(run) / "messages").read_text()
    return folders, run


def test_a_finished_run_has_its_numbers(finished):
    folders, run = finished
    folder = folders.folder(run)
    table = read_averages(folder / "run.averages", after=100)
    np.testing.assert_array_equal(table[:, 0], np.arange(105, 501, 5))
    a = mean_of(table[:, 1])
    assert a.value == pytest.approx(2.93, abs=0.06)
    assert 0 < a.error < 0.02
    assert require_phase(folder / "run.phase", "hcp") > 0.9
    with pytest.raises(RunFailed, match="bcc no more: 0 % fcc, 100 % hcp, 0 % bcc, 0 % disordered"):
        require_phase(folder / "run.phase", "bcc")
    assert (folder / "npt_hcp.in").read_bytes() == deck_path("npt_hcp.in").read_bytes()


def test_a_finished_run_is_not_repeated(finished):
    folders, run = finished
    before = {path: path.stat().st_mtime_ns for path in folders.path(run).iterdir()}
    told: list = []
    run_all([run], folders, jobs=2, ranks=1, report=lambda one, what: told.append(what))
    assert run_one(run, folders, [], lambda: False) == "finished"  # as if another command had just finished it
    assert {path: path.stat().st_mtime_ns for path in folders.path(run).iterdir()} == before
    assert not told


def test_what_a_result_depends_on(finished, monkeypatch, tmp_path):
    folders, run = finished
    assert folders.state(run) == "finished"
    assert folders.state(hcp(run.subject, temperature=301)) == "new"
    assert Folders(folders.root, "Ti", {"ti": "another"}).state(run) == "new"
    assert Folders(folders.root, "Zr", folders.digests).state(run) == "new"
    assert folders.state(Run(run.name, run.subject, run.deck, run.variables, 500, 48, {"cells": "1 2"})) == "new"
    with pytest.raises(RunFailed, match="did not run"):
        folders.folder(hcp(run.subject, temperature=301))
    deck = tmp_path / "npt_hcp.in"
    deck.write_bytes(deck_path("npt_hcp.in").read_bytes() + b"# edited\n")
    monkeypatch.setattr("fusepot.validation.running.folders.deck_path", lambda name: tmp_path / name)
    assert folders.state(run) == "new"


def test_changed_variables_begin_anew(tmp_path, subject):
    folders = folders_at(tmp_path)
    old, new = hcp(subject), hcp(subject, pressure=1e4)
    folders.prepare(old)
    for name in ("run.restart.1", "run.averages", "finished.json"):
        (folders.path(old) / name).write_bytes(b"of the old one " + RESTART_END)
    assert not any("restart" in word for word in folders.prepare(new))
    assert folders.state(new) == "begun"
    assert folders.state(old) == "new"
    assert sorted(path.name for path in folders.path(new).iterdir()) == ["npt_hcp.in", "potential.fusepot", "run.json"]


def test_errors_are_failures_and_are_not_tried_again(tmp_path, subject):
    folders = folders_at(tmp_path)
    bad, lost = hcp(subject, "bad", temperature="warm"), hcp(subject, "lost", timestep_fs=300)
    told: dict = {}
    run_all([bad, lost], folders, jobs=1, ranks=1, report=lambda one, what: told.update({one.name: what}))
    assert told["ti/lattice/bad"].startswith("failed: Variable temperature: Non-numeric")
    assert told["ti/lattice/lost"].startswith("failed: ")
    for run in (bad, lost):
        assert folders.state(run) == "failed"
        with pytest.raises(RunFailed) as caught:
            folders.folder(run)
        assert told[run.name] == f"failed: {caught.value}"
        assert ".cpp" not in str(caught.value)
    told.clear()
    run_all([bad, lost], folders, jobs=1, ranks=1, report=lambda one, what: told.update({one.name: what}))
    assert not told


def test_what_melted_or_failed_has_no_number(tmp_path, subject, monkeypatch):
    """300 K gives numbers; at 6000 K nothing is left of hcp after two picoseconds."""
    lengths = {"quick": lattice.Length((4, 3, 3), 2.0, 200, 800)}
    monkeypatch.setattr(lattice, "LENGTHS", lengths)
    section = lattice.LatticeSection(table="hcp_titanium", temperatures_K=(300, 6000), limit_percent=5)
    check = lattice.LatticeCheck("lattice", section, "quick", tmp_path)
    folders, runs = folders_at(tmp_path / "runs"), check.runs(subject)
    told: list = []
    run_all(runs, folders, jobs=1, ranks=1, report=lambda one, what: told.append(what))
    assert told == ["finished", "finished"]
    rows = {(row.quantity, row.condition): row for row in check.findings([subject], folders).rows}
    assert rows["a", "300 K"].value == pytest.approx(2.95, abs=0.05)
    assert rows["a", "300 K"].passed
    assert not rows["a", "300 K"].problem
    melted = rows["a", "6000 K"]
    assert np.isnan(melted.value)
    assert np.isnan(melted.error)
    assert melted.problem.startswith("the crystal is hcp no more")

    folders.fail(runs[0], "Lost atoms: original 144 current 143")
    (folders.path(runs[0]) / "finished.json").unlink()
    row = check.findings([subject], folders).rows[0]
    assert np.isnan(row.value)
    assert (row.problem, row.passed) == ("Lost atoms: original 144 current 143", False)


def test_two_jobs_at_a_time_the_longest_first(tmp_path, subject, monkeypatch):
    """The order, with a program that only notes when it began and ended in place of LAMMPS."""
    steps = {"short": 10, "long": 1000, "middle": 100, "longer": 5000}
    note = "import time; print(time.monotonic(), flush=True); time.sleep({}); print(time.monotonic())"

    def prepare(self: Folders, run: Run) -> list[str]:
        self.path(run).mkdir(parents=True)
        return [sys.executable, "-c", note.format(6 if run.steps == 5000 else 0.5)]

    monkeypatch.setattr(Folders, "prepare", prepare)
    runs = [Run(f"ti/{name}", subject, "npt_hcp.in", {}, count, 4) for name, count in steps.items()]
    folders, told = folders_at(tmp_path), []
    run_all(runs, folders, jobs=2, ranks=1, report=lambda one, what: told.append(what))
    assert told == ["finished"] * 4
    times = {name: [float(x) for x in (tmp_path / "ti" / name / "messages").read_text().split()] for name in steps}
    order = [name for name in sorted(times, key=lambda name: times[name][0]) if name != "longer"]
    assert order == ["long", "middle", "short"]  # one after the other beside the longest
    assert times["longer"][0] < times["middle"][0]
    assert max(sum(a <= start < b for a, b in times.values()) for start, _ in times.values()) == 2


@pytest.mark.parametrize("name", ["", ".", "..", "../elsewhere", "ti/../../elsewhere", "/tmp/elsewhere"])
def test_only_folders_below_that_of_all_runs_are_emptied(tmp_path, subject, name):
    run = Run(name, subject, "npt_hcp.in", {}, 1, 1)
    with pytest.raises(InputError, match="below that of all runs"):
        folders_at(tmp_path / "runs").prepare(run)


def test_jobs_and_ranks(tmp_path, monkeypatch):
    for jobs, ranks in ((0, 1), (1, 0)):
        with pytest.raises(InputError, match="a positive whole number"):
            run_all([], folders_at(tmp_path), jobs=jobs, ranks=ranks)
    assert launch_command(1) == []
    assert launch_command(2)[1:] == ["-n", "2"]
    monkeypatch.setattr(execute.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="pip install mpich"):
        launch_command(2)


def test_unknown_decks_are_named(tmp_path, subject):
    run = Run("ti/x", subject, "no_such_deck.in", {}, 1, 1)
    with pytest.raises(InputError, match=r"deck: got no_such_deck\.in"):
        run_all([run], folders_at(tmp_path), jobs=1, ranks=1)
