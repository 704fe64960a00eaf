"""Runs a check of a validation as `fusepot validate` does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fusepot.validation.execute import run_all
from fusepot.validation.folders import Folders
from fusepot.validation.interface import Check, Subject


def checked(folder: Path, check: Check, subjects: Sequence[Subject], *, element: str = "Ti") -> Folders:
    """LAMMPS runs of a check for all potentials; some may have failed."""
    digests = {subject.name: hashlib.sha256(subject.file.read_bytes()).hexdigest() for subject in subjects}
    folders = Folders(folder, element, digests)
    run_all([run for subject in subjects for run in check.runs(subject)], folders, jobs=1, ranks=1)
    return folders
