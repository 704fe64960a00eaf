"""LAMMPS runs of a validation that are killed or stopped: nothing works on, and the same command continues them."""

from __future__ import annotations

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

from fusepot.validation.analysis.averages import read_averages
from fusepot.validation.analysis.phases import require_phase
from fusepot.validation.interface import Run, RunFailed, Subject
from fusepot.validation.running.execute import ValidationInterrupted, run_all, run_one
from fusepot.validation.running.folders import deck_path, newest_restart
from lammps_runs import folders_at, hcp, subject_in

ENDLESS = 2_000_000  # steps: minutes, whatever the machine


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Subject:
    return subject_in(tmp_path_factory.mktemp("potentials"))


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
