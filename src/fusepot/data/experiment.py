"""Tables of experimental values: typed rows with unit and source."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusepot.data.extxyz import shipped
from fusepot.errors import DataError, InputError

UNITS = {"A": "Å", "GPa": "GPa", "K": "K", "m2_per_s": "m^2/s", "eV": "eV"}


@dataclass(frozen=True)
class Measurement:
    """One measured value.

    Attributes:
        quantity: "a", "c", "C11", "D", ...
        value: in ``unit``.
        unit: "Å", "GPa", "m^2/s", ...
        temperature_K: of the sample.
        source: who measured it.
        excluded: known to be wrong or inconsistent; comparisons leave it out.
    """

    quantity: str
    value: float
    unit: str
    temperature_K: float  # noqa: N815
    source: str
    excluded: bool = False


def load_measurements(name: str | Path) -> tuple[Measurement, ...]:
    """Read a table: a CSV file by path, or by its name one that ships with fusepot (``"hcp_titanium"``).

    The header is ``temperature_K,QUANTITY_UNIT,...[,source]``; lines that start with ``#`` are comments, of which
    ``# exclude: TEMPERATURE COLUMN ...`` marks values, and the others name the source unless a row does.

    Raises:
        DataError: unknown unit, or an entry that is no number; names file and line.
        InputError: there is no such table.
    """
    path = Path(name) if Path(name).suffix == ".csv" else shipped(f"{name}.csv")
    if not path.is_file():
        raise InputError("table", got=str(path), expected="an existing CSV file")
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    excluded = set()
    for comment in comments:
        if comment.startswith("exclude:"):
            temperature, *columns = comment.removeprefix("exclude:").split()
            excluded |= {(float(temperature), column) for column in columns}
    source = " ".join(comment for comment in comments if not comment.startswith("exclude:"))
    numbered = [(k, line) for k, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    rows = csv.DictReader([line for _, line in numbered])
    measurements = []
    for (number, _), row in zip(numbered[1:], rows, strict=True):
        for column, text in row.items():
            if column in ("temperature_K", "source"):
                continue
            quantity, _, suffix = str(column).partition("_")
            try:
                kelvin, value, unit = float(row["temperature_K"]), float(text), UNITS[suffix]
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{path}, line {number}, column {column}",
                    got=repr(text),
                    expected=f"a number, a column temperature_K, and a unit among {', '.join(UNITS)}",
                ) from error
            flag = (kelvin, column) in excluded
            measurements.append(Measurement(quantity, value, unit, kelvin, row.get("source") or source, flag))
    return tuple(measurements)


def interpolate(measurements: tuple[Measurement, ...], quantity: str, temperature_K: float) -> float:
    """A quantity at a temperature, linear between the neighbouring measurements; excluded values are left out.

    Raises:
        InputError: the quantity is not in the table, or the temperature lies outside what was measured.
    """
    points = sorted((m.temperature_K, m.value) for m in measurements if m.quantity == quantity and not m.excluded)
    if not points:
        known = sorted({m.quantity for m in measurements})
        raise InputError("quantity", got=quantity, expected=f"one of {', '.join(known)}")
    temperatures, values = np.array(points).T
    if not temperatures[0] <= temperature_K <= temperatures[-1]:
        raise InputError(
            "temperature_K", got=temperature_K, expected=f"between {temperatures[0]:g} and {temperatures[-1]:g} K"
        )
    return float(np.interp(temperature_K, temperatures, values))
