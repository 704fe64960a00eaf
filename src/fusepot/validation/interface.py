"""What a check of a validation is: LAMMPS runs it needs, and what it finds in them.

A check never evaluates a potential itself: numbers come from LAMMPS input decks that run with the served potential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from fusepot.errors import FusepotError
from fusepot.structure import FloatArray


class RunFailed(FusepotError):
    """A LAMMPS run ended with an error, or what it left is of no use (melted, another phase); never averaged."""


@dataclass(frozen=True)
class Subject:
    """A potential under validation.

    Attributes:
        name: in tables and as folder name; unique.
        file: the potential file.
    """

    name: str
    file: Path


@dataclass(frozen=True)
class Run:
    """One LAMMPS job.

    Attributes:
        name: its folder below the folder of all runs: ``POTENTIAL/CHECK/CONDITION``.
        subject: the potential.
        deck: file name of the input deck.
        variables: of the deck, beside ``potential``, ``element``, ``mass``, ``out`` and ``restart``, which all have.
        steps: number of time steps; for progress, and long runs start first.
        atoms: number of atoms.
        files: further files in the run's folder, by name.
    """

    name: str
    subject: Subject
    deck: str
    variables: Mapping[str, str | int | float]
    steps: int
    atoms: int
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One number of a report.

    Attributes:
        quantity: "a", "C44", "self-diffusion", ...
        condition: "300 K", "bcc 1273 K", ...
        subject: name of the potential.
        unit: of all numbers.
        value: NaN where there is none; then ``problem`` says why.
        error: standard error; NaN where there is none, for static quantities.
        reference: measured, or of labels where ``source`` says so; None where the project has none.
        source: of the reference.
        limit_percent: largest deviation that passes, in percent of the reference; None: nothing is judged.
        problem: what went wrong, or should be known besides.
    """

    quantity: str
    condition: str
    subject: str
    unit: str
    value: float
    error: float = float("nan")
    reference: float | None = None
    source: str = ""
    limit_percent: float | None = None
    problem: str = ""

    @property
    def deviation_percent(self) -> float | None:
        """From the reference; None without one, or where it is zero."""
        return 100 * (self.value / self.reference - 1) if self.reference else None

    @property
    def passed(self) -> bool | None:
        """Whether the deviation is within the limit; None where nothing is judged. No value never passes."""
        if self.limit_percent is None or self.reference is None:
            return None
        deviation = self.deviation_percent
        return deviation is not None and bool(np.isfinite(deviation) and abs(deviation) <= self.limit_percent)


@dataclass(frozen=True)
class Curve:
    """One line, or set of points, of a plot.

    Attributes:
        label: in the legend: a potential's name, or "experiment" with its source.
        x: (n,).
        y: (n,); NaN breaks a line.
        error: (n,) standard errors, or None.
        style: "line" and "points" of a potential, "reference" for experiment (all with error bars where there are
            errors), or "marks" for points of experiment that no line joins.
    """

    label: str
    x: FloatArray
    y: FloatArray
    error: FloatArray | None = None
    style: Literal["line", "points", "reference", "marks"] = "line"


@dataclass(frozen=True)
class Plot:
    """A figure.

    Attributes:
        name: of its PNG file.
        title: above it.
        x_label: with unit.
        y_label: with unit.
        curves: potentials in the order of the subjects, then references.
        ticks: positions and labels on the x axis where numbers mean nothing (a path through the Brillouin zone).
    """

    name: str
    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    ticks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Findings:
    """What a check found: ``rows`` of its table, ``plots``, and ``remarks``, sentences below the table."""

    rows: Sequence[Row]
    plots: Sequence[Plot] = ()
    remarks: Sequence[str] = ()


class Results(Protocol):
    """What became of the runs."""

    def folder(self, run: Run) -> Path:
        """Where a finished run left its files.

        Raises:
            RunFailed: it failed, or did not run.
        """
        ...


class Check(Protocol):
    """One section of the report."""

    @property
    def name(self) -> str:
        """As the command line and the validation file call it."""
        ...

    @property
    def title(self) -> str:
        """Heading in the report."""
        ...

    @property
    def description(self) -> str:
        """What was computed and how, a few sentences for the reader of the report."""
        ...

    def runs(self, subject: Subject) -> Sequence[Run]:
        """The LAMMPS runs that a potential needs; none for what is computed without dynamics."""
        ...

    def findings(self, subjects: Sequence[Subject], results: Results) -> Findings:
        """What the runs of all potentials say. Of a run that failed there is a row with the problem, never a number."""
        ...
