"""A check of a validation as `fusepot validate` runs it, without any runs, and correlations the plain way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusepot.validation.analysis.windows import Windows
from fusepot.validation.interface import Check, Results, Run, RunFailed, Subject
from fusepot.validation.running.execute import run_all
from fusepot.validation.running.folders import Folders


def checked(folder: Path, check: Check, subjects: Sequence[Subject], *, element: str = "Ti") -> Folders:
    """LAMMPS runs of a check for all potentials; some may have failed."""
    digests = {subject.name: hashlib.sha256(subject.file.read_bytes()).hexdigest() for subject in subjects}
    folders = Folders(folder, element, digests)
    run_all([run for subject in subjects for run in check.runs(subject)], folders, jobs=1, ranks=1)
    return folders


class NoRuns(Results):
    """Every run failed."""

    def folder(self, run: Run) -> Path:
        raise RunFailed("no luck")


def windows_of(v: np.ndarray, x: np.ndarray, *, step_ps: float, origin: int, window: int) -> Windows:
    """From (steps, atoms, 3), the plain way."""
    starts = np.arange(0, len(v) - window, origin)
    lags = range(window + 1)
    vacf = [(v[starts] * v[starts + lag]).sum(-1).mean(-1) for lag in lags]
    msd = [((x[starts + lag] - x[starts]) ** 2).sum(-1).mean(-1) for lag in lags]
    return Windows(np.arange(window + 1) * step_ps, np.array(vacf).T, np.array(msd).T)
