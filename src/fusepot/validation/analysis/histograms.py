"""Histograms that LAMMPS's ``fix ave/time mode vector`` wrote segment by segment: g(r) and what can be read off it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fusepot.observables.statistics import BLOCKS, block_means
from fusepot.structure import FloatArray
from fusepot.validation.analysis.averages import Mean
from fusepot.validation.interface import RunFailed

SECOND_SHELL = (
    1.7  # the first minimum lies closer than this many distances of the first maximum, the second maximum beyond
)


class Shell(NamedTuple):
    """The first shell of neighbours in g(r).

    Attributes:
        r: position of the first maximum, Å.
        g: its height.
        end: position of the first minimum, Å.
        neighbours: mean number of atoms up to there.
    """

    r: float
    g: float
    end: float
    neighbours: float


def read_segments(path: Path, *, count: int) -> FloatArray:
    """(segments, rows, columns) of the histograms, without the column that counts the rows, in the order of steps.

    A run that was killed and continues writes a segment anew: the last one that is complete counts.

    Args:
        path: the file.
        count: how many segments there have to be.

    Raises:
        RunFailed: there is no such file, or another number of complete segments.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RunFailed(f"{path.name} is missing: {error}") from error
    found = dict(_segments(lines))
    if len(found) != count or len({segment.shape for segment in found.values()}) != 1:
        raise RunFailed(f"{path.name} has {len(found)} complete segments, not {count}")
    return np.array([found[step] for step in sorted(found)])


def averaged(segments: FloatArray, *, blocks: int = BLOCKS) -> tuple[FloatArray, FloatArray]:
    """Mean and standard error, (rows, columns) each, of (segments, rows, columns), from consecutive blocks."""
    blocks = min(blocks, len(segments))
    means = block_means(segments, blocks)
    return segments.mean(axis=0), means.std(axis=0, ddof=1) / np.sqrt(blocks)


def jackknifed(
    segments: FloatArray, function: Callable[[FloatArray], FloatArray], *, blocks: int = BLOCKS
) -> list[Mean]:
    """Values (n,) of a function of the mean histogram, with their errors: each block of segments left out once."""
    blocks = min(blocks, len(segments))
    block_of = np.arange(len(segments)) * blocks // len(segments)
    left_out = np.array([function(segments[block_of != block].mean(axis=0)) for block in range(blocks)])
    errors = np.sqrt((blocks - 1) * left_out.var(axis=0))
    return [
        Mean(float(value), float(error)) for value, error in zip(function(segments.mean(axis=0)), errors, strict=True)
    ]


def first_shell(histogram: FloatArray) -> Shell:
    """The first maximum and minimum of g(r), each by a parabola through the bins around it.

    Args:
        histogram: (bins, 3): centre r of the bin (Å), g, and the mean number of neighbours up to the bin's outer edge.

    Raises:
        RunFailed: g(r) has no first shell that ends within its range.
    """
    r, g, neighbours = histogram.T
    width = r[1] - r[0]
    inner = r < r[int(g.argmax())] + width
    top, height = _vertex(r, g, int(g[inner].argmax()), reach=0.15)
    between = np.flatnonzero((r > top) & (r < SECOND_SHELL * top))
    if len(between) < 3 or r[-1] < SECOND_SHELL * top:
        raise RunFailed(f"g(r) has its first maximum at {top:.2f} Å, and ends at {r[-1]:.2f} Å")
    end, _ = _vertex(r, g, int(between[g[between].argmin()]), reach=0.2)
    return Shell(top, height, end, float(np.interp(end, r + width / 2, neighbours)))


def _vertex(x: FloatArray, y: FloatArray, index: int, *, reach: float) -> tuple[float, float]:
    """Position and value of the extremum of the parabola that fits all points within ``reach``, at least three.

    Which bin happens to be the highest is noise, so a first parabola says around which one the points are taken.
    """
    half = max(1, round(reach / float(x[1] - x[0])))
    shift, value = 0.0, float(y[index])
    for _ in range(2):
        index = int(np.abs(x - (x[index] + shift)).argmin())
        near = slice(max(0, index - half), index + half + 1)
        curvature, slope, _ = fit = np.polyfit(x[near] - x[index], y[near], 2)
        shift = float(np.clip(-slope / (2 * curvature), -reach, reach)) if curvature else 0.0
        value = float(np.polyval(fit, shift))
    return float(x[index]) + shift, value


def _segments(lines: list[str]) -> Iterator[tuple[int, FloatArray]]:
    """Step and rows of all segments that are complete."""
    step, expected = -1, 0
    rows: list[list[float]] = []
    for line in lines:
        words = line.split()
        whole = len(words) == (1 + len(rows[0]) if rows else max(3, len(words)))
        if len(words) == 2 and not line.startswith("#"):
            step, expected, rows = int(words[0]), int(words[1]), []
        elif expected and whole and words[0] == str(len(rows) + 1) and "#" not in line:
            rows.append([float(word) for word in words[1:]])
            if len(rows) == expected:
                yield step, np.array(rows)
                expected = 0
        else:  # a header, or a line that a killed run left unfinished
            expected = 0
