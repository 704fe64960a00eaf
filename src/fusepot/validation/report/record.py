"""The report as JSON: every number with its unit, error and experimental value, and what it was computed from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusepot.validation.interface import Check, Findings, Plot, Row, Subject
from fusepot.validation.report.tables import MeanDeviation, Tally, verdict


@dataclass(frozen=True)
class Context:
    """What a report is of, besides potentials and checks.

    Attributes:
        title: heading of the page.
        preset: how much was computed.
        experiment: the validation file.
        versions: of programs, by name.
        date: as it is to be printed.
        element: of the material.
    """

    title: str
    preset: str
    experiment: Path
    versions: Mapping[str, str]
    date: str
    element: str = ""


def sha256(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def as_json(
    context: Context,
    checks: Sequence[tuple[Check, Findings]],
    tallies: Sequence[tuple[Subject, str, Tally]],
    means: Sequence[MeanDeviation],
    plots: Mapping[str, Sequence[tuple[str, Plot]]],
) -> str:
    """The whole report; NaN becomes null, for it is not JSON.

    Args:
        context: what it is of.
        checks: with what they found.
        tallies: of every potential: itself, SHA-256 of its file, and the sums.
        means: mean deviations.
        plots: of every check by its name: names of their files, and the plots.
    """
    content = {
        "title": context.title,
        "date": context.date,
        "preset": context.preset,
        "element": context.element,
        "experiment": {"file": context.experiment.name, "sha256": sha256(context.experiment)},
        "versions": dict(context.versions),
        "potentials": [
            {"name": subject.name, "file": subject.file.name, "sha256": digest, **asdict(sums)}
            for subject, digest, sums in tallies
        ],
        "mean_absolute_deviations": [
            {
                "check": mean.check,
                "quantity": mean.quantity,
                "conditions": mean.conditions,
                "potentials": {
                    subject.name: {"percent": percent, "conditions": count}
                    for (subject, _, _), percent, count in zip(tallies, mean.percent, mean.counts, strict=True)
                },
            }
            for mean in means
        ],
        "checks": [
            {
                "name": check.name,
                "title": check.title,
                "description": check.description,
                "rows": [_row(row) for row in findings.rows],
                "remarks": list(findings.remarks),
                "plots": [_plot(file, plot) for file, plot in plots[check.name]],
            }
            for check, findings in checks
        ],
    }
    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _row(row: Row) -> dict[str, Any]:
    return {**asdict(row), "deviation_percent": row.deviation_percent, "passed": verdict(row)}


def _plot(file: str, plot: Plot) -> dict[str, Any]:
    return {**asdict(plot), "name": file}


def _plain(value: Any) -> Any:
    """Types of JSON; None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
