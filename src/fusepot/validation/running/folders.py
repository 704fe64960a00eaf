"""Runs on disk: a folder for each, which says what it is and how far it is.

It holds a copy of the deck, a link to the potential, ``run.json`` (everything the result depends on), what LAMMPS
writes (``run.*``, logs), and, at the end, ``finished.json`` or ``failed.json``. If what it depends on has changed, it
is emptied and begun anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ase.data import atomic_masses, atomic_numbers

from fusepot.errors import InputError
from fusepot.files import write_atomically
from fusepot.validation.interface import Run, RunFailed

PREFIX = "run"  # of all files a deck writes
LONGEST_LINE = 2**16  # bytes, and then some
RESTART_END = b"LammpS RestartT\x00"  # LAMMPS writes it last
State = Literal["new", "begun", "finished", "failed"]


def deck_path(name: str) -> Path:
    """An input deck of ``lammps_interface/decks``, from a checkout or as installed.

    Raises:
        InputError: there is no such deck.
    """
    spec = find_spec("fusepot")
    packages = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    folders = [package.parents[1] / "lammps_interface" / "decks" for package in packages]
    folders += [package / "decks" for package in packages]
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise InputError("deck", got=name, expected=f"a file in one of {', '.join(map(str, folders))}")
    return path


@dataclass(frozen=True)
class Folders:
    """The folder of all runs.

    Attributes:
        root: it.
        element: of the crystal.
        digests: SHA-256 of the potential files, by the subjects' names.
    """

    root: Path
    element: str
    digests: Mapping[str, str]

    def path(self, run: Run) -> Path:
        """A run's folder.

        Raises:
            InputError: it would not be below the folder of all runs; it is going to be emptied.
        """
        path = self.root / run.name
        if Path(os.path.abspath(self.root)) not in Path(os.path.abspath(path)).parents:
            raise InputError("run", got=repr(run.name), expected="the name of a folder below that of all runs")
        return path

    @contextmanager
    def claim(self, run: Run) -> Iterator[int | None]:
        """Keep others away from a run: gives a file descriptor that the program has to inherit, None if another has it.

        The claim lasts until this process and every one that inherited the descriptor has ended, so that LAMMPS that
        goes on after its parent was killed is not joined by a second one in the same folder.
        """
        path = self.path(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield lock.fileno()

    def folder(self, run: Run) -> Path:
        """Where a finished run left its files.

        Raises:
            RunFailed: it failed, or did not run.
        """
        state = self.state(run)
        if state == "failed":
            raise RunFailed(json.loads((self.path(run) / "failed.json").read_text(encoding="utf-8"))["reason"])
        if state != "finished":
            raise RunFailed("not finished" if state == "begun" else "did not run")
        return self.path(run)

    def state(self, run: Run) -> State:
        """How far a run is; "new" also where it was of something else."""
        folder = self.path(run)
        try:
            known = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "new"
        if known != self._identity(run):
            return "new"
        return next((name for name in ("finished", "failed") if (folder / f"{name}.json").exists()), "begun")

    def prepare(self, run: Run) -> list[str]:
        """Make the folder ready to begin or to go on; returns the command to run in it, without ``mpiexec``."""
        folder, potential = self.path(run), f"potential{run.subject.file.suffix}"
        if self.state(run) != "begun":
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            shutil.copyfile(deck_path(run.deck), folder / run.deck)
            for name, content in run.files.items():
                (folder / name).write_text(content, encoding="utf-8")
            # Decks get a name without blanks, which LAMMPS would take for several words.
            (folder / potential).symlink_to(run.subject.file.resolve())
            write_atomically(folder / "run.json", _json(self._identity(run)))
        drop_half_lines(folder)
        log = folder / "log.lammps"
        if log.exists():  # of the part before the interruption
            log.rename(folder / f"log.lammps.{len(list(folder.glob('log.lammps*')))}")
        variables = {
            **run.variables,
            "potential": potential,
            "element": self.element,
            "mass": atomic_masses[atomic_numbers[self.element]],
            "out": PREFIX,
        }
        restart = newest_restart(folder)
        if restart is not None:
            variables["restart"] = restart.name
        words = [sys.executable, "-m", "fusepot.lmp", "-in", run.deck, "-log", log.name, "-screen", "none"]
        for name, value in variables.items():
            words += ["-var", name, str(value)]
        return words

    def finish(self, run: Run, *, seconds: float) -> None:
        """Note that a run came to its end."""
        write_atomically(self.path(run) / "finished.json", _json({"seconds": round(seconds, 1)}))

    def fail(self, run: Run, reason: str) -> None:
        """Note that a run ended with an error, which would come again."""
        write_atomically(self.path(run) / "failed.json", _json({"reason": reason}))

    def _identity(self, run: Run) -> dict[str, Any]:
        return {
            "deck": hashlib.sha256(deck_path(run.deck).read_bytes()).hexdigest(),
            "potential": self.digests[run.subject.name],
            "element": self.element,
            "variables": {name: str(value) for name, value in run.variables.items()},
            "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in run.files.items()},
        }


def newest_restart(folder: Path) -> Path | None:
    """The newest whole one of the two restart files that a deck writes in turns; None before the first."""
    found = sorted(folder.glob(f"{PREFIX}.restart.[12]"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return next((path for path in found if _end_of(path, len(RESTART_END)) == RESTART_END), None)


def drop_half_lines(folder: Path) -> None:
    """Cut what a killed run left of its last line in text files: the next run appends to them."""
    for path in folder.glob(f"{PREFIX}.*"):
        if not path.is_file() or ".restart" in path.name:
            continue
        tail = _end_of(path, LONGEST_LINE)
        if tail and not tail.endswith(b"\n") and b"\0" not in tail:
            os.truncate(path, path.stat().st_size - len(tail) + tail.rfind(b"\n") + 1)


def _end_of(path: Path, count: int) -> bytes:
    """The last bytes of a file."""
    with path.open("rb") as content:
        content.seek(max(0, path.stat().st_size - count))
        return content.read()


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
