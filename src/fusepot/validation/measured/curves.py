"""Measured curves that a user has digitised: CSV files of two columns, named in a validation file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusepot.errors import DataError, InputError
from fusepot.structure import FloatArray


def load_curve(path: Path, *, columns: tuple[str, str], argument: str) -> tuple[FloatArray, FloatArray, str]:
    """Both columns, (n,) each, in the order of the first one, and what the comments (lines that start with #) say.

    Args:
        path: the file; its first line that is no comment names the columns.
        columns: their names.
        argument: the key of the validation file that names it.

    Raises:
        InputError: there is no such file.
        DataError: other columns, fewer than two rows, or an entry that is no finite number.
    """
    if not path.is_file():
        raise InputError(argument, got=str(path), expected="an existing CSV file")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    source = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    header, *rows = [line for line in lines if not line.startswith("#")] or [""]
    if tuple(header.split(",")) != columns:
        raise DataError(str(path), got=header, expected=",".join(columns))
    try:
        values = np.array([row.split(",") for row in rows], float)
    except ValueError as error:
        raise DataError(str(path), got=str(error), expected="two numbers in each row") from error
    if values.ndim != 2 or len(values) < 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise DataError(str(path), got=f"values of shape {values.shape}", expected="two rows or more of finite numbers")
    x, y = values[np.argsort(values[:, 0], kind="stable")].T
    return x, y, source
