"""Running the LAMMPS jobs of a validation, several at a time. What is finished is not repeated."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from fusepot.errors import FusepotError, InputError
from fusepot.validation.interface import Run
from fusepot.validation.running.folders import Folders

POLL_S = 0.2
GRACE_S = 10.0  # between the request to end and the end by force
Report = Callable[[Run, str], None]


class ValidationInterrupted(FusepotError):
    """Asked to stop: the same command goes on from the last restart files."""

    exit_code = 130


def run_all(
    runs: Sequence[Run],
    folders: Folders,
    *,
    jobs: int,
    ranks: int,
    stopped: Callable[[], bool] = lambda: False,
    report: Report = lambda run, what: None,
) -> None:
    """Run what is neither finished nor failed, the longest first.

    Args:
        runs: of all checks; names are unique.
        folders: where.
        jobs: at a time.
        ranks: MPI processes of each.
        stopped: whether to give up; asked all the time.
        report: told "finished", "failed: WHY" or "ended by ..., to be continued" of each.

    Raises:
        InputError: jobs or ranks are not positive, or there is no ``mpiexec`` for several ranks.
        ValidationInterrupted: ``stopped`` said so; LAMMPS was ended.
    """
    for name, value in (("jobs", jobs), ("ranks", ranks)):
        if value < 1:
            raise InputError(name, got=value, expected="a positive whole number")
    launcher = launch_command(ranks)
    waiting = [run for run in runs if folders.state(run) in ("new", "begun")]
    waiting.sort(key=lambda run: run.steps * run.atoms, reverse=True)
    give_up = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        started = [pool.submit(run_one, run, folders, launcher, give_up.is_set) for run in waiting]
        try:
            for run, future in _as_finished(list(zip(waiting, started, strict=True)), stopped):
                report(run, future.result())
        except BaseException:
            give_up.set()
            pool.shutdown(cancel_futures=True)
            raise


def run_one(run: Run, folders: Folders, launcher: Sequence[str], stopped: Callable[[], bool]) -> str:
    """Run LAMMPS to its end; returns what became of it, in words.

    Raises:
        ValidationInterrupted: ``stopped`` said so.
    """
    if stopped():
        raise ValidationInterrupted("stopped before a run began")
    with folders.claim(run) as claim:
        if claim is None:
            return "left alone: it runs already, started by another command"
        state = folders.state(run)
        if state in ("finished", "failed"):  # by another command, in the meantime
            return state
        return _run_claimed(run, folders, launcher, stopped, claim)


def _run_claimed(run: Run, folders: Folders, launcher: Sequence[str], stopped: Callable[[], bool], claim: int) -> str:
    command, folder, start = folders.prepare(run), folders.path(run), time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = (folder / "messages").stat().st_size if (folder / "messages").exists() else 0
    with (folder / "messages").open("ab") as messages:
        job = subprocess.Popen(
            [*launcher, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            start_new_session=True,
            pass_fds=[claim],
        )
        try:
            while job.poll() is None:
                if stopped():
                    raise ValidationInterrupted("stopped; the same command goes on where this one ended")
                time.sleep(POLL_S)
        finally:
            if job.poll() is None:
                _end(job)
    if job.returncode == 0:
        folders.finish(run, seconds=time.monotonic() - start)
        return "finished"
    reason = error_in(folder / "log.lammps") or error_in(folder / "messages", after=said)
    if reason is None:  # killed, by a batch system or for its memory: that may go better the next time
        return f"ended with code {job.returncode}, to be continued; see {folder / 'messages'}"
    folders.fail(run, reason)
    return f"failed: {reason}"


def _end(job: subprocess.Popen) -> None:
    """End a program and those it started, mpiexec its ranks: all are in a session of their own."""
    job.terminate()
    try:
        job.wait(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()


def launch_command(ranks: int) -> list[str]:
    """What comes before the command.

    Raises:
        InputError: several ranks, and no ``mpiexec`` beside this Python or on the path.
    """
    if ranks == 1:
        return []
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise InputError("ranks", got=ranks, expected="1, since there is no mpiexec", remedy="pip install mpich")
    return [found, "-n", str(ranks)]


def error_in(log: Path, *, after: int = 0) -> str | None:
    """The first error that LAMMPS reported, without the place in its source; ``after`` so many bytes."""
    text = log.read_bytes()[after:].decode(errors="replace") if log.exists() else ""
    found = re.search(r"^ERROR(?: on proc \d+)?: (.+?)(?: \(\S*\.cpp:\d+\))?$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _as_finished(
    pending: list[tuple[Run, Future[str]]], stopped: Callable[[], bool]
) -> Iterator[tuple[Run, Future[str]]]:
    """Pairs whose future is done, in that order."""
    while pending:
        if stopped():
            raise ValidationInterrupted("stopped; the same command goes on where this one ended")
        done = [pair for pair in pending if pair[1].done()]
        for pair in done:
            pending.remove(pair)
            yield pair
        if not done:
            time.sleep(POLL_S)
