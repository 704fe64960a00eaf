"""Rows of a check side by side: one line for each quantity and condition, a column for each potential; and sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusepot.errors import InputError
from fusepot.validation.interface import Check, Findings, Row, Subject
from fusepot.validation.report.rounding import decimals_of, is_number, percent, plain, with_error


@dataclass(frozen=True)
class Cell:
    """A potential's number, ready to be printed.

    Attributes:
        value: with its error; "" where there is none.
        deviation: in percent, or a dash.
        passed: of the limit; None where nothing is judged.
        problem: what went wrong, or should be known besides.
    """

    value: str
    deviation: str
    passed: bool | None
    problem: str


@dataclass(frozen=True)
class Line:
    """One condition.

    Attributes:
        condition: "300 K".
        reference: value to compare with, or a dash.
        source: its number in the list of sources, or None.
        limit: in percent, or a dash.
        cells: of the potentials; None where it was not computed.
    """

    condition: str
    reference: str
    source: int | None
    limit: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Group:
    """All conditions of a quantity. Attributes: ``quantity``, ``unit``, ``lines``."""

    quantity: str
    unit: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Tally:
    """What became of a potential's numbers.

    Attributes:
        passed: within their limits.
        failed: outside of them, or there is no number to compare.
        unjudged: without a limit or a reference value.
        without_result: conditions of a check that have none: runs that failed, melted, or are not finished.
    """

    passed: int
    failed: int
    unjudged: int
    without_result: int


@dataclass(frozen=True)
class MeanDeviation:
    """Mean absolute deviation of one quantity from its reference, over conditions (supplementary table 5 of the paper).

    Attributes:
        check: its title.
        quantity: "a", ...
        percent: of each potential; None where it has no number.
        counts: over how many conditions, of each potential.
        conditions: how many have a reference value.
    """

    check: str
    quantity: str
    percent: tuple[float | None, ...]
    counts: tuple[int, ...]
    conditions: int


def verdict(row: Row) -> bool | None:
    """Whether a row passed, as Python's own bool also where numbers are numpy's; None where nothing is judged."""
    return None if row.passed is None else bool(row.passed)


def sources_of(findings: Sequence[Findings]) -> dict[str, int]:
    """Numbers from 1 of all sources of reference values, in the order in which they appear."""
    named = [row.source for one in findings for row in one.rows if row.source and row.reference is not None]
    return {source: k for k, source in enumerate(dict.fromkeys(named), start=1)}


def groups_of(rows: Sequence[Row], subjects: Sequence[Subject], sources: Mapping[str, int]) -> list[Group]:
    """The table of a check.

    Raises:
        InputError: a row belongs to none of the potentials.
    """
    names = [subject.name for subject in subjects]
    places: dict[tuple[str, str], dict[tuple[str, int], dict[str, Row]]] = {}
    for row in rows:
        if row.subject not in names:
            raise InputError("rows", got=f"a row of {row.subject}", expected=f"one of {', '.join(names)}")
        lines = places.setdefault((row.quantity, row.unit), {})
        place = 0  # a condition has several lines where several experiments are compared with
        while row.subject in lines.get((row.condition, place), {}):
            place += 1
        lines.setdefault((row.condition, place), {})[row.subject] = row
    return [
        Group(quantity, unit, tuple(_line(condition, own, names, sources) for (condition, _), own in lines.items()))
        for (quantity, unit), lines in places.items()
    ]


def tally(findings: Sequence[Findings], subject: Subject) -> Tally:
    """Counts over all checks."""
    own = [(k, row) for k, one in enumerate(findings) for row in one.rows if row.subject == subject.name]
    verdicts = [verdict(row) for _, row in own]
    empty = {(k, row.condition, row.problem) for k, row in own if not is_number(row.value)}
    return Tally(verdicts.count(True), verdicts.count(False), verdicts.count(None), len(empty))


def mean_deviations(checks: Sequence[tuple[Check, Findings]], subjects: Sequence[Subject]) -> list[MeanDeviation]:
    """For every check and quantity with reference values."""
    result = []
    for check, findings in checks:
        compared = [row for row in findings.rows if row.reference]
        for quantity in dict.fromkeys(row.quantity for row in compared):
            own = [row for row in compared if row.quantity == quantity]
            values = [
                [
                    abs(row.deviation_percent or 0.0)
                    for row in own
                    if row.subject == subject.name and is_number(row.value)
                ]
                for subject in subjects
            ]
            most = max(sum(row.subject == subject.name for row in own) for subject in subjects)
            means = tuple(float(np.mean(numbers)) if numbers else None for numbers in values)
            result.append(MeanDeviation(check.title, quantity, means, tuple(map(len, values)), most))
    return result


def _line(condition: str, own: Mapping[str, Row], names: Sequence[str], sources: Mapping[str, int]) -> Line:
    rows = list(own.values())
    measured = next((row for row in rows if row.reference is not None), rows[0])
    limit = next((row.limit_percent for row in rows if row.limit_percent is not None), None)
    places = [decimals_of(row.value, row.error) + 1 for row in rows if is_number(row.value) and is_number(row.error)]
    return Line(
        condition,
        plain(measured.reference, max(places) if places else None),
        sources.get(measured.source) if measured.reference is not None else None,
        "–" if limit is None else f"± {limit:g} %",
        tuple(_cell(own[name]) if name in own else None for name in names),
    )


def _cell(row: Row) -> Cell:
    if not is_number(row.value):
        return Cell("", "", verdict(row), row.problem or "no number, and no reason given")
    return Cell(with_error(row.value, row.error), percent(row.deviation_percent), verdict(row), row.problem)
