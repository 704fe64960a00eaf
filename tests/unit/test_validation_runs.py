"""LAMMPS runs of a validation: run once, continued after a kill, refused where they are of no use."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from fusepot.errors import InputError
from fusepot.validation.analysis.averages import mean_of, read_averages
from fusepot.validation.analysis.phases import require_phase
from fusepot.validation.checks import lattice
from fusepot.validation.interface import Run, RunFailed, Subject
from fusepot.validation.running import execute
from fusepot.validation.running.execute import ValidationInterrupted, error_in, launch_command, run_all, run_one
from fusepot.validation.running.folders import RESTART_END, Folders, deck_path, drop_half_lines, newest_restart

POTENTIAL = Path(__file__).parents[2] / "potentials" / "ti-pbe-nep" / "potential.fusepot"
ENDLESS = 2_000_000  # steps: minutes, whatever the machine


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Subject:
    """A potential whose path has blanks, which LAMMPS takes for the end of a word."""
    file = tmp_path_factory.mktemp("potentials") / "ti of the people.fusepot"
    shutil.copyfile(POTENTIAL, file)
    return Subject("ti", file)


def folders_at(root: Path) -> Folders:
    return Folders(root, "Ti", {"ti": "digest"})


def hcp(subject: Subject, condition: str = "300K", **changes: float | str) -> Run:
    """48 atoms of hcp titanium for 500 steps."""
    variables = {"temperature": 300, "nx": 3, "ny": 2, "nz": 2, "equilibration": 100, "production": 400} | changes
    return Run(f"ti/lattice/{condition}", subject, "npt_hcp.in", variables, steps=500, atoms=48)


def programs_in(folder: Path) -> list[psutil.Process]:
    """All processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue
    return found


def wait_until(happens: Callable[[], object], *, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, f"nothing after {seconds} s"
        time.sleep(0.05)


def at_work(folder: Path) -> bool:
    """Whether a run has written its first restart file."""
    return newest_restart(folder) is not None


@pytest.fixture
def in_thread() -> Iterator[Callable]:
    """Run something in another thread; gives its result. Whatever happens, it is stopped at the end."""
    give_up, threads = threading.Event(), []

    def begin(action: Callable[[Callable[[], bool]], str]) -> Callable[[], str]:
        results: list = []

        def body() -> None:
            try:
                results.append(action(give_up.is_set))
            except ValidationInterrupted as stop:
                results.append(stop)

        threads.append(threading.Thread(target=body))
        threads[-1].start()

        def result() -> str:
            threads[-1].join(timeout=240)
            return results[0]

        return result

    yield begin
    give_up.set()
    for thread in threads:
        thread.join(timeout=60)


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


def test_kill_9_then_to_the_end(tmp_path, subject, in_thread):
    # More steps than can pass between the first restart file and the kill.
    run = hcp(subject, equilibration=500, production=20_000)
    folders = folders_at(tmp_path)
    folder = folders.path(run)
    result = in_thread(lambda stopped: run_one(run, folders, [], stopped))
    wait_until(lambda: at_work(folder))
    for process in programs_in(folder):
        process.kill()
    assert result().startswith("ended with code -9, to be continued")
    assert folders.state(run) == "begun"
    with pytest.raises(RunFailed, match="not finished"):
        folders.folder(run)
    early = read_averages(folder / "run.averages")
    reached = early[-1, 0]
    assert 500 <= reached < 20_500
    with (folder / "run.averages").open("a") as table:
        table.write("20495 2.9")  # as if it had been killed while it wrote a line

    told: list = []
    run_all([run], folders, jobs=1, ranks=1, report=lambda one, what: told.append(what))
    assert told == ["finished"], (folder / "messages").read_text()
    log = (folder / "log.lammps").read_text()
    assert "Reading restart file" in log
    assert "Created 48 atoms" not in log
    assert "Created 48 atoms" in (folder / "log.lammps.1").read_text()
    restarted = int(next(line.split()[0] for line in log.splitlines() if re.match(r" +\d+ +\S+ +-\d", line)))
    assert restarted in (reached // 500 * 500, reached // 500 * 500 - 500)  # the last one may have been half written
    assert restarted >= 500
    table = read_averages(folders.folder(run) / "run.averages")
    np.testing.assert_array_equal(table[:, 0], np.arange(5, 20_501, 5))
    np.testing.assert_array_equal(table[: restarted // 5], early[: restarted // 5])
    assert require_phase(folder / "run.phase", "hcp") > 0.9


@pytest.mark.parametrize("place", ["", "of.yesterday/"])
def test_the_deck_continues_from_any_path(tmp_path, subject, place):
    words = [sys.executable, "-m", "fusepot.lmp", "-in", str(deck_path("npt_hcp.in")), "-screen", "none"]
    shutil.copyfile(subject.file, tmp_path / "ti.fusepot")
    (tmp_path / place).mkdir(exist_ok=True)
    variables = {"potential": "ti.fusepot", "nx": "3", "ny": "2", "nz": "2", "equilibration": "100"}

    def lammps(**more: str) -> str:
        pairs = [word for name, value in (variables | more).items() for word in ("-var", name, value)]
        done = subprocess.run([*words, *pairs], cwd=tmp_path, capture_output=True, text=True, check=False)
        log = (tmp_path / "log.lammps").read_text()
        assert done.returncode == 0, log[-2000:] + done.stderr
        return log

    out = f"{place}a.b-c"
    lammps(production="400", out=out)
    log = lammps(production="500", out=out, restart=f"{out}.restart.1")
    assert "Reading restart file" in log
    assert "Created" not in log
    assert read_averages(tmp_path / f"{out}.averages")[-1, 0] == 600


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


@pytest.mark.parametrize("ranks", [1, 2])
def test_stopping_ends_lammps(tmp_path, subject, ranks):
    folders, runs = folders_at(tmp_path), [hcp(subject, f"{k}", production=ENDLESS) for k in range(3)]
    working: list = []

    def stopped() -> bool:
        if not all(at_work(folders.path(run)) for run in runs[: 2 // ranks]):
            return False
        working.append(len([one for one in programs_in(tmp_path) if "fusepot.lmp" in " ".join(one.cmdline())]))
        return True

    with pytest.raises(ValidationInterrupted, match="the same command goes on"):
        run_all(runs, folders, jobs=2 // ranks, ranks=ranks, stopped=stopped)
    assert working[0] >= 2  # two runs, or two ranks of one
    wait_until(lambda: not programs_in(tmp_path), seconds=15)
    states = [folders.state(run) for run in runs]
    assert states == (["begun", "begun", "new"] if ranks == 1 else ["begun", "new", "new"])
    log = (folders.path(runs[0]) / "log.lammps").read_text()
    assert f"{ranks} by 1 by 1 MPI processor grid" in log or f"1 by {ranks} by 1 MPI processor grid" in log
    assert newest_restart(folders.path(runs[0])) is not None


SCRIPT = """
import signal
import sys
from pathlib import Path
from fusepot.validation.running.execute import run_all
from fusepot.validation.running.folders import Folders
from fusepot.validation.interface import Run, Subject

# What runs in the background of a shell, as these tests may, has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
variables = {"nx": 3, "ny": 2, "nz": 2, "production": 2_000_000}
run = Run("ti/lattice/300K", Subject("ti", Path(sys.argv[1])), "npt_hcp.in", variables, 500, 48)
run_all([run], Folders(Path(sys.argv[2]), "Ti", {"ti": "digest"}), jobs=1, ranks=1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signals_to_the_command(tmp_path, subject, number):
    """Control-C ends LAMMPS too. After a kill it goes on, and is not joined by a second one in its folder."""
    words = [sys.executable, "-c", SCRIPT, str(subject.file), str(tmp_path)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as job:
        folder = tmp_path / "ti" / "lattice" / "300K"
        wait_until(lambda: folder.exists() and at_work(folder))
        job.send_signal(number)
        job.wait(timeout=60)
    left = programs_in(tmp_path)
    try:
        if number == signal.SIGINT:
            assert not left
            return
        assert left
        variables = {"nx": 3, "ny": 2, "nz": 2, "production": 2_000_000}
        run = Run("ti/lattice/300K", subject, "npt_hcp.in", variables, 500, 48)
        folders = folders_at(tmp_path)
        assert folders.state(run) == "begun"
        assert run_one(run, folders, [], lambda: False) == "left alone: it runs already, started by another command"
    finally:
        for process in left:
            process.kill()
    psutil.wait_procs(left, timeout=30)
    with folders.claim(run) as claim:
        assert claim is not None


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


def test_restart_files_that_were_being_written_do_not_count(tmp_path):
    old, new = tmp_path / "run.restart.1", tmp_path / "run.restart.2"
    assert newest_restart(tmp_path) is None
    new.write_bytes(b"LammpS RestartT\0 and half of the rest")
    assert newest_restart(tmp_path) is None
    old.write_bytes(b"LammpS RestartT\0 all of it" + RESTART_END)
    os.utime(old, ns=(1, 1))
    assert newest_restart(tmp_path) == old
    new.write_bytes(b"shorter" + RESTART_END)
    assert newest_restart(tmp_path) == new


def test_half_lines_are_cut(tmp_path):
    contents = {
        "run.averages": (b"# Step a\n0 2.95\n5 2.9", b"# Step a\n0 2.95\n"),
        "run.whole": (b"0 2.95\n", b"0 2.95\n"),
        "run.empty": (b"", b""),
        "run.one": (b"# St", b""),
        "run.restart.1": (b"a\nb\0c", b"a\nb\0c"),
        "run.dump.bin": (b"a\nb\0c", b"a\nb\0c"),
        "log.lammps": (b"a\nb", b"a\nb"),
    }
    for name, (before, _) in contents.items():
        (tmp_path / name).write_bytes(before)
    drop_half_lines(tmp_path)
    for name, (_, after) in contents.items():
        assert (tmp_path / name).read_bytes() == after, name


def test_tables_over_restarts(tmp_path):
    path = tmp_path / "run.averages"
    path.write_text("# TimeStep v_a\n0 1\n5 2.0\n10 99\n1\n# TimeStep v_a\n10 3.0\n15 4.0\n20 5 25 6\n\n")
    np.testing.assert_array_equal(read_averages(path), [[5, 2], [10, 3], [15, 4]])
    np.testing.assert_array_equal(read_averages(path, after=5), [[10, 3], [15, 4]])


@pytest.mark.parametrize(
    ("text", "after", "says"),
    [
        ("# only a head\n", 0, "no row after step 0"),
        ("", 0, "no row after step 0"),
        ("0 1\n5 2\n", 5, "no row after step 5"),
        ("5 1\n10 nan\n", 0, "not finite"),
        ("5 1\n10 inf\n", 0, "not finite"),
        ("5 1\nten 2\n", 0, "no row of numbers: ten 2"),
        (None, 0, "is missing"),
    ],
)
def test_tables_of_no_use(tmp_path, text, after, says):
    path = tmp_path / "run.averages"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunFailed, match=says):
        read_averages(path, after=after)


def test_errors_of_means():
    independent = np.random.default_rng(0).normal(size=1000)
    assert mean_of(independent).error == pytest.approx(1000**-0.5, rel=0.5)
    correlated = np.repeat(independent[:100], 10)  # ten rows count as one
    assert mean_of(correlated).error == pytest.approx(0.1, rel=0.5)
    assert np.isnan(mean_of(np.array([1.0])).error)
    assert mean_of(np.array([1.0, 3.0])).value == 2


@pytest.mark.parametrize("text", ["nan nan nan\n", "", "0.1 0.9\n", "a b c\n", None])
def test_phases_that_are_not_known_never_pass(tmp_path, text):
    path = tmp_path / "run.phase"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunFailed):
        require_phase(path, "hcp")


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("ERROR: Lost atoms: original 4 (src/thermo.cpp:494)\nLast input line: run 5\n", "Lost atoms: original 4"),
        ("LAMMPS\nERROR on proc 1: Neighbor list overflow (../npair.cpp:12)\n", "Neighbor list overflow"),
        ("ERROR: fusepot: no such file (a b.fusepot)\n", "fusepot: no such file (a b.fusepot)"),
        ("WARNING: ERROR is a word\nStep Temp\n", None),
    ],
)  # fmt: skip
def test_reasons(tmp_path, log, reason):
    path = tmp_path / "log.lammps"
    assert error_in(path) is None
    path.write_text(log)
    assert error_in(path) == reason
    assert error_in(path, after=len(log)) is None


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
