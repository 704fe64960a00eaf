"""``report.html``, ``report.json`` and ``plots/*.png`` of a validation."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from fusepot.errors import InputError
from fusepot.files import write_atomically
from fusepot.validation.interface import Check, Findings, Plot, Subject
from fusepot.validation.report.plots import DPI, SIZE, describe, draw
from fusepot.validation.report.record import Context, as_json, sha256
from fusepot.validation.report.rounding import unsigned_percent
from fusepot.validation.report.styles import STYLES, Style
from fusepot.validation.report.tables import (
    Group,
    MeanDeviation,
    Tally,
    groups_of,
    mean_deviations,
    sources_of,
    tally,
    verdict,
)

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class Potential:
    """A potential as the page shows it: name, file, digest, style in plots, and sums."""

    name: str
    file: str
    sha256: str
    style: Style
    tally: Tally


@dataclass(frozen=True)
class Picture:
    """A plot as the page shows it. Attributes: ``file``, its name; ``data``, a URI of the PNG; ``alt``, in words."""

    file: str
    data: str
    alt: str


@dataclass(frozen=True)
class Part:
    """A check as the page shows it."""

    anchor: str
    title: str
    description: str
    groups: Sequence[Group]
    compared: bool  # with a reference value, at least once
    source: int | None  # number of the only source of reference values; None where there are several, or none
    limited: bool  # by a limit, at least once
    columns: int
    failed: int
    remarks: Sequence[str]
    pictures: Sequence[Picture]


def write_report(
    out: Path, *, subjects: Sequence[Subject], findings: Sequence[tuple[Check, Findings]], context: Context
) -> Path:
    """Write the three, each either whole or not at all; returns the page.

    Args:
        out: folder; made if it is missing.
        subjects: the potentials, in the order of the columns.
        findings: of the checks, in the order of the sections.
        context: what else the page says.

    Raises:
        InputError: no potentials, or a row that belongs to none of them.
        OSError: a potential file or the validation file is gone, or the folder is not writable.
    """
    if not subjects:
        raise InputError("subjects", got="none", expected="at least one potential")
    names = [subject.name for subject in subjects]
    found = [one for _, one in findings]
    tallies = [(subject, sha256(subject.file), tally(found, subject)) for subject in subjects]
    means, sources = mean_deviations(findings, subjects), sources_of(found)
    files_of_plots = _names_of_plots(findings)
    folder = out / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for check, one in findings:
        pictures = []
        for name, plot in files_of_plots[check.name]:
            image = draw(plot, names)
            write_atomically(folder / f"{name}.png", image)
            uri = f"data:image/png;base64,{base64.b64encode(image).decode()}"
            pictures.append(Picture(f"plots/{name}.png", uri, describe(plot)))
        parts.append(_part(check, one, subjects, sources, pictures))
    styles = [STYLES[k % len(STYLES)] for k in range(len(subjects))]
    potentials = [
        Potential(subject.name, subject.file.name, digest, style, sums)
        for (subject, digest, sums), style in zip(tallies, styles, strict=True)
    ]
    record = as_json(context, findings, tallies, means, files_of_plots)
    write_atomically(out / "report.json", record.encode())
    page = out / "report.html"
    write_atomically(page, render(context, potentials, means, parts, list(sources)).encode())
    return page


def render(
    context: Context,
    potentials: Sequence[Potential],
    means: Sequence[MeanDeviation],
    parts: Sequence[Part],
    sources: Sequence[str],
) -> str:
    """The page. All text is escaped; an unknown name in the template is an error."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["spread"] = unsigned_percent
    template = environment.from_string(files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    width, height = (round(DPI * inches) for inches in SIZE)
    return template.render(
        context=context, potentials=potentials, means=means, parts=parts, sources=sources, width=width, height=height
    )


def _part(
    check: Check,
    findings: Findings,
    subjects: Sequence[Subject],
    sources: dict[str, int],
    pictures: Sequence[Picture],
) -> Part:
    compared = any(row.reference is not None for row in findings.rows)
    cited = {row.source for row in findings.rows if row.reference is not None}
    limited = any(row.limit_percent is not None for row in findings.rows)
    return Part(
        anchor=f"check-{_file_name(check.name)}",
        title=check.title,
        description=check.description,
        groups=groups_of(findings.rows, subjects, sources),
        compared=compared,
        source=sources.get(cited.pop()) if len(cited) == 1 else None,
        limited=limited,
        columns=1 + compared + limited + len(subjects) * (1 + compared),
        failed=sum(verdict(row) is False for row in findings.rows),
        remarks=findings.remarks,
        pictures=pictures,
    )


def _names_of_plots(findings: Sequence[tuple[Check, Findings]]) -> dict[str, list[tuple[str, Plot]]]:
    """A file name for every plot, by checks; no two are the same."""
    taken: set[str] = set()
    result: dict[str, list[tuple[str, Plot]]] = {}
    for check, one in findings:
        for plot in one.plots:
            stem = _file_name(plot.name)
            name, count = stem, 1
            while name.lower() in taken:  # some file systems do not tell A from a
                count += 1
                name = f"{stem}_{count}"
            taken.add(name.lower())
            result.setdefault(check.name, []).append((name, plot))
        result.setdefault(check.name, [])
    return result


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
