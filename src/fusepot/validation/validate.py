"""A whole validation: which potentials, which checks, which runs; and what is left to do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusepot.errors import InputError
from fusepot.potential_file import load_potential
from fusepot.validation.interface import Check, Findings, Run, Subject
from fusepot.validation.plan import checks_of, load_plan
from fusepot.validation.presets import Preset
from fusepot.validation.running.folders import Folders

RUNS = "runs"  # the folder of all runs, below that of the report


@dataclass(frozen=True)
class Validation:
    """What is validated against what.

    Attributes:
        subjects: the potentials.
        checks: in the order of the report.
        folders: where runs are.
        experiment: the validation file.
        preset: how much is computed.
    """

    subjects: tuple[Subject, ...]
    checks: tuple[Check, ...]
    folders: Folders
    experiment: Path
    preset: Preset

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs that the checks need."""
        return tuple(run for subject in self.subjects for check in self.checks for run in check.runs(subject))

    def findings(self) -> list[tuple[Check, Findings]]:
        """What every check finds in the runs that are finished."""
        return [(check, check.findings(self.subjects, self.folders)) for check in self.checks]


def plan_validation(
    files: Sequence[Path], experiment: Path, out: Path, *, preset: Preset, only: Sequence[str] = ()
) -> Validation:
    """What ``fusepot validate`` does; runs nothing.

    Args:
        files: potential files.
        experiment: the validation file.
        out: folder of the report, and of the runs.
        preset: how much is computed.
        only: names of checks; all, if empty.

    Raises:
        InputError: no files, one that does not know the element, or no such check.
        ConfigError: an unusable validation file.
        PotentialFileError: an unusable potential file.
    """
    plan = load_plan(experiment)
    subjects = subjects_of(files)
    for subject in subjects:
        elements = load_potential(subject.file).elements
        if plan.element not in elements:
            raise InputError(
                str(subject.file),
                got=f"a potential of {', '.join(elements)}",
                expected=f"one that knows {plan.element}",
            )
    checks = checks_of(plan, preset, folder=experiment.parent)
    known = [check.name for check in checks]
    for name in only:
        if name not in known:
            raise InputError("only", got=name, expected=f"names among {', '.join(known)}")
    digests = {subject.name: hashlib.sha256(subject.file.read_bytes()).hexdigest() for subject in subjects}
    chosen = tuple(check for check in checks if not only or check.name in only)
    return Validation(subjects, chosen, Folders(out / RUNS, plan.element, digests), experiment, preset)


def subjects_of(files: Sequence[Path]) -> tuple[Subject, ...]:
    """Potentials named after their files, or after the folder of a ``potential.fusepot``.

    Raises:
        InputError: there are none, one does not exist, or two have the same name.
    """
    if not files:
        raise InputError("files", got="none", expected="at least one potential file")
    subjects: list[Subject] = []
    for file in files:
        if not file.is_file():
            raise InputError("files", got=str(file), expected="an existing potential file")
        path = file.resolve()
        name = path.parent.name if path.stem == "potential" else path.stem
        if name in {subject.name for subject in subjects}:
            raise InputError(
                "files", got=f"two potentials named {name}", expected="one name for each", remedy="Rename one."
            )
        subjects.append(Subject(name, path))
    return tuple(subjects)
