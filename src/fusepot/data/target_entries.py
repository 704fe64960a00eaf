"""Targets as a file states them: one value, or a table's quantity by temperature; as ``[[targets]]`` or as CSV rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, PositiveFloat, model_validator

from fusepot.data.experiment import Measurement, interpolate
from fusepot.errors import ConfigError, DataError, InputError
from fusepot.toml_files import Section, parse_section

COLUMNS = ("temperature_K", "observable", "value", "uncertainty", "unit", "source", "weight")
Tables = Mapping[str, tuple[Measurement, ...]]


@dataclass(frozen=True)
class Target:
    """A value that an average over a simulation should have.

    Attributes:
        observable: its name in ``fusepot.observables``.
        value: in ``unit``.
        weight: of the squared deviation in the loss, 1/unit^2, positive.
        unit: "GPa", ...
        source: who measured it, and whether it was interpolated.
        uncertainty: of the value, in ``unit``, positive; None where nobody says.
    """

    observable: str
    value: float
    weight: float
    unit: str
    source: str
    uncertainty: float | None


class TargetSection(Section):
    """``[[targets]]``, or a row of a long table."""

    observable: str = Field(min_length=1, description="as fusepot.observables calls it")
    table: str | None = Field(default=None, description="values by temperature: a shipped table or a CSV file")
    quantity: str | None = Field(default=None, description="the table's column, if it is not called as the observable")
    value: float | None = Field(default=None, description="instead of a table")
    temperature_K: PositiveFloat | None = Field(default=None, description="of the value; all, if not given")  # noqa: N815
    unit: str | None = Field(default=None, min_length=1, description="of the value")
    source: str | None = Field(default=None, min_length=1, description="of the value")
    uncertainty: PositiveFloat | None = Field(default=None, description="standard error")
    weight: PositiveFloat | None = Field(default=None, description="per unit^2; 1 / uncertainty^2 if not given")

    @model_validator(mode="after")
    def _complete(self) -> TargetSection:
        if (self.table is None) == (self.value is None):
            raise ValueError("either a table or a value")
        if self.value is not None and (self.unit is None or self.source is None):
            raise ValueError("a value with its unit and source")
        if self.value is not None and self.quantity is not None:
            raise ValueError("a quantity only with a table")
        if self.table is not None and self.source is not None:
            raise ValueError("no source besides a table, which names its own")
        if self.weight is None and self.uncertainty is None:
            raise ValueError("a weight or an uncertainty")
        return self


@dataclass(frozen=True)
class Entry:
    """What a file says of an observable, at one or at all temperatures, and the place that messages name."""

    section: TargetSection
    where: str

    def at(self, temperature_K: float) -> bool:
        """Whether it is about this temperature."""
        return self.section.temperature_K in (None, temperature_K)


def read_rows(path: Path) -> Iterator[Entry]:
    """The targets of a long table: a CSV file with the columns ``COLUMNS``, of which ``weight`` may be absent.

    Raises:
        ConfigError: an unusable or missing entry; names file, line and column.
        DataError: another header, a row of another length or without temperature.
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError("rows", got=str(path), expected="an existing CSV file")
    lines = path.read_text(encoding="utf-8").splitlines()
    numbered = [(k, line) for k, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    cells = [_cells(line, f"{path}, line {number}") for number, line in numbered]
    header = cells[0] if cells else []
    if sorted({*header, "weight"}) != sorted(COLUMNS) or len(set(header)) < len(header):
        raise DataError(str(path), got=f"the header {','.join(header)}", expected=f"{','.join(COLUMNS[:-1])}[,weight]")
    for (number, line), row in zip(numbered[1:], cells[1:], strict=True):
        where = f"{path}, line {number}"
        if len(row) != len(header):
            raise DataError(where, got=line, expected=f"{len(header)} entries", remedy="Quote a source with commas.")
        known = {name: cell for name, cell in zip(header, row, strict=True) if cell}
        if "temperature_K" not in known:
            raise DataError(where, got="no temperature_K", expected="a temperature")
        yield Entry(parse_section(known, TargetSection, prefix=f"{where}: "), where)


def _cells(line: str, where: str) -> list[str]:
    """The entries of one line: a quoted one ends on it, or else the numbers of later lines would be wrong."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True))]
    except csv.Error as error:
        raise DataError(where, got=f"{line} ({error})", expected="comma-separated entries") from error


def target_at(entry: Entry, temperature_K: float, tables: Tables) -> Target:
    """The target that an entry stands for.

    Args:
        entry: one that is about this temperature.
        temperature_K: temperature.
        tables: those that entries name.

    Raises:
        ConfigError: the table has no such quantity, not at this temperature, more than once, or in another unit.
    """
    section = entry.section
    if section.table is not None:
        value, unit, source = _from_table(entry, section.table, temperature_K, tables[section.table])
    else:
        value, unit, source = float(section.value or 0.0), str(section.unit), str(section.source)
    # Sections without both are refused when they are read.
    weight = section.weight if section.weight is not None else float(section.uncertainty or 0.0) ** -2
    return Target(section.observable, value, weight, unit, source, section.uncertainty)


def _from_table(
    entry: Entry, name: str, temperature_K: float, table: tuple[Measurement, ...]
) -> tuple[float, str, str]:
    """Value, unit and source of a quantity at a temperature."""
    quantity = entry.section.quantity or entry.section.observable
    points = [m for m in table if m.quantity == quantity and not m.excluded]
    try:
        value = interpolate(table, quantity, temperature_K)
    except InputError as error:
        expected = f"a table with {quantity} at {temperature_K:g} K"
        remedy = "" if points else "The key quantity names the column where it is not called what the observable is."
        raise ConfigError(entry.where, got=f"{name} ({error})", expected=expected, remedy=remedy) from error
    below = max(m.temperature_K for m in points if m.temperature_K <= temperature_K)
    above = min(m.temperature_K for m in points if m.temperature_K >= temperature_K)
    used = [m for m in points if m.temperature_K in (below, above)]
    if len(used) > len({below, above}):
        raise ConfigError(
            entry.where,
            got=f"several values of {quantity} near {temperature_K:g} K in {name}",
            expected="one for each temperature",
            remedy="Choose one, and give it as a value.",
        )
    unit = used[0].unit
    if entry.section.unit not in (None, unit):
        raise ConfigError(f"{entry.where}, unit", got=entry.section.unit, expected=f"{unit}, as in {name}")
    source = "; ".join(dict.fromkeys(m.source for m in used))
    return value, unit, source if below == above else f"{source} (interpolated between {below:g} and {above:g} K)"
