"""Tables that LAMMPS's ``fix ave/time`` wrote, also over several restarts, and the numbers in them with error bars."""

from __future__ import annotations

from pathlib import Path
from statistics import mode
from typing import NamedTuple

import numpy as np

from fusepot.observables.statistics import BLOCKS, block_error, correlated_error
from fusepot.structure import FloatArray
from fusepot.validation.interface import RunFailed


class Mean(NamedTuple):
    """A mean and its standard error."""

    value: float
    error: float


def read_averages(path: Path, *, after: int = 0) -> FloatArray:
    """(rows, columns) of a file of global scalars; the first column is the step.

    A run that was killed and continues from its last restart file writes some steps twice: the last one counts.

    Args:
        path: the file.
        after: rows up to this step are equilibration, and are left out.

    Raises:
        RunFailed: there is no such file, something in it is no number or not finite, or nothing is left.
    """
    rows: dict[int, list[float]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RunFailed(f"{path.name} is missing: {error}") from error
    words_of_lines = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    # A run that was killed may leave half a line, and the next one appends to it.
    width = mode(len(words) for words in words_of_lines) if words_of_lines else 0
    for words in words_of_lines:
        if len(words) != width:
            continue
        try:
            rows[int(words[0])] = [float(word) for word in words]
        except ValueError as error:
            raise RunFailed(f"{path.name} has a line that is no row of numbers: {' '.join(words)[:80]}") from error
    table = np.array([rows[step] for step in sorted(rows) if step > after])
    if not len(table):
        raise RunFailed(f"{path.name} has no row after step {after}")
    if not np.isfinite(table).all():
        raise RunFailed(f"{path.name} has numbers that are not finite")
    return table


def mean_of(series: FloatArray, *, blocks: int = BLOCKS) -> Mean:
    """Mean of a (rows,) series; the larger one of the errors by blocks and by autocorrelation."""
    blocks = min(blocks, len(series))
    error = max(float(block_error(series, blocks)), correlated_error(series)) if blocks > 1 else float("nan")
    return Mean(float(np.mean(series)), error)
