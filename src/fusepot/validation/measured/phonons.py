"""Measured phonon frequencies, in tables that users give: none are shipped."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fusepot.errors import DataError
from fusepot.structure import FloatArray
from fusepot.validation.analysis.lattice_dynamics import PATH


class Measured(NamedTuple):
    """A measured frequency: ``start`` and ``end`` are labels of ``PATH``, ``fraction`` the way between them."""

    start: str
    end: str
    fraction: float
    frequency: float
    branch: str


def read_measured(path: Path) -> list[Measured]:
    """Read measured frequencies; lines that start with ``#`` are comments.

    Raises:
        DataError: there is no such file, or a line of it says something else; names it.
    """
    expected = f"q ({', '.join(dict.fromkeys(PATH))}, or K-M 0.25), frequency_THz and perhaps branch"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(str(path), got=f"no file to read ({error})", expected=expected) from error
    points = []
    for row in csv.DictReader(line for line in lines if line.strip() and not line.startswith("#")):
        try:
            label, _, fraction = row["q"].strip().partition(" ")
            start, _, end = label.partition("-")
            point = Measured(
                start,
                end or start,
                float(fraction or 0),
                float(row["frequency_THz"]),
                (row.get("branch") or "").strip(),
            )
            place(point, np.arange(len(PATH), dtype=float))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise DataError(str(path), got=str(dict(row)), expected=expected) from error
        points.append(point)
    return points


def place(point: Measured, ticks: FloatArray) -> float:
    """Where on a path whose ``PATH`` points lie at ``ticks``; ValueError where it is not on it."""
    if point.start == point.end:
        return float(ticks[PATH.index(point.start)])
    for k, ends in enumerate(pairwise(PATH)):
        if {point.start, point.end} == set(ends):
            fraction = point.fraction if point.start == ends[0] else 1 - point.fraction
            return float(ticks[k] + fraction * (ticks[k + 1] - ticks[k]))
    raise ValueError(f"{point.start}-{point.end} is no part of the path")
