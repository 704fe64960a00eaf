"""Lattice constants of an hcp metal against temperature and pressure (Röcken & Zavadlav 2024, figures 3d, 3e and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from pydantic import Field, model_validator

from fusepot.data.crystals import table_path
from fusepot.data.experiment import Measurement, interpolate, load_measurements
from fusepot.errors import InputError
from fusepot.toml_files import Section
from fusepot.validation.analysis.averages import mean_of, read_averages
from fusepot.validation.analysis.phases import require_phase
from fusepot.validation.interface import Curve, Findings, Plot, Results, Row, Run, RunFailed, Subject
from fusepot.validation.presets import Preset, few

BAR_PER_GPA = 1e4
QUANTITIES = ("a", "c")


class LatticeSection(Section):
    """``[lattice]``: NPT at temperatures and pressures; all pressures at each temperature."""

    table: str = Field(description="measured a and c at zero pressure: a shipped table or a CSV file")
    temperatures_K: tuple[float, ...] = Field(min_length=1)  # noqa: N815
    pressures_GPa: tuple[float, ...] = (0.0,)  # noqa: N815
    limit_percent: float | None = Field(default=None, gt=0, description="largest deviation at zero pressure")

    @model_validator(mode="after")
    def _positive(self) -> LatticeSection:
        if any(kelvin <= 0 for kelvin in self.temperatures_K):
            raise ValueError("temperatures above 0 K")
        return self


@dataclass(frozen=True)
class Length:
    """Orthorhombic cells of 4 atoms, and steps."""

    cells: tuple[int, int, int]
    timestep_fs: float
    equilibration: int
    production: int


LENGTHS: Mapping[Preset, Length] = MappingProxyType(
    {
        "quick": Length((5, 3, 3), 2.0, 500, 2000),
        "standard": Length((8, 5, 5), 2.0, 10_000, 25_000),
        "paper": Length((4, 4, 4), 0.5, 200_000, 200_000),
    }
)


@dataclass(frozen=True)
class LatticeCheck:
    """The check of one ``[[lattice]]`` table.

    Attributes:
        name: of the check.
        section: conditions and experiment.
        preset: how long.
        folder: of the validation file, for paths in it.
    """

    name: str
    section: LatticeSection
    preset: Preset
    folder: Path

    @property
    def title(self) -> str:
        """Heading."""
        return f"Lattice constants against {'temperature' if self._by_temperature else 'pressure'}"

    @property
    def description(self) -> str:
        """How it was done."""
        size = LENGTHS[self.preset]
        steps = size.equilibration, size.production
        times = " and ".join(f"{step * size.timestep_fs / 1000:g} ps" for step in steps)
        return (
            f"NPT with {4 * int(np.prod(size.cells))} atoms, a and c free (deck npt_hcp.in): {times} of equilibration "
            "and production. Errors from ten blocks or the autocorrelation, whichever is larger."
        )

    @property
    def _by_temperature(self) -> bool:
        return len(self.section.temperatures_K) > 1

    @property
    def _conditions(self) -> list[tuple[float, float]]:
        section = self.section
        return [
            (t, p) for t in few(section.temperatures_K, self.preset) for p in few(section.pressures_GPa, self.preset)
        ]

    @property
    def _table(self) -> tuple[Measurement, ...]:
        return load_measurements(table_path(self.section.table, self.folder))

    def runs(self, subject: Subject) -> Sequence[Run]:
        """One for every condition."""
        return [self._run(subject, kelvin, pressure) for kelvin, pressure in self._conditions]

    def findings(self, subjects: Sequence[Subject], results: Results) -> Findings:
        """Both constants of every potential and condition."""
        rows = [
            row
            for subject in subjects
            for kelvin, pressure in self._conditions
            for row in self._rows(subject, kelvin, pressure, results)
        ]
        return Findings(rows, [self._plot(quantity, subjects, rows) for quantity in QUANTITIES])

    def _run(self, subject: Subject, kelvin: float, pressure: float) -> Run:
        size = LENGTHS[self.preset]
        variables: dict[str, float] = {
            "temperature": kelvin,
            "pressure": pressure * BAR_PER_GPA,
            **{quantity: self._start(quantity, kelvin) for quantity in QUANTITIES},
            **dict(zip(("nx", "ny", "nz"), size.cells, strict=True)),
            "timestep_fs": size.timestep_fs,
            "equilibration": size.equilibration,
            "production": size.production,
        }
        name = f"{subject.name}/{self.name}/{kelvin:g}K_{pressure:g}GPa"
        steps = size.equilibration + size.production
        return Run(name, subject, "npt_hcp.in", variables, steps, 4 * int(np.prod(size.cells)))

    def _rows(self, subject: Subject, kelvin: float, pressure: float, results: Results) -> list[Row]:
        condition = f"{kelvin:g} K, {pressure:g} GPa" if self._by_pressure else f"{kelvin:g} K"
        rows = []
        try:
            folder = results.folder(self._run(subject, kelvin, pressure))
            require_phase(folder / "run.phase", "hcp")
            table = read_averages(folder / "run.averages", after=LENGTHS[self.preset].equilibration)
            means, problem = [mean_of(table[:, column]) for column in (1, 2)], ""
        except RunFailed as failure:
            means, problem = [], str(failure)
        for k, quantity in enumerate(QUANTITIES):
            value, error = means[k] if means else (float("nan"), float("nan"))
            reference = self._measured(quantity, kelvin) if pressure == 0 else None
            limit = self.section.limit_percent if reference is not None else None
            source = self._table[0].source if reference is not None else ""
            rows.append(
                Row(quantity, condition, subject.name, "Å", value, error, reference, source, limit, problem=problem)
            )
        return rows

    @property
    def _by_pressure(self) -> bool:
        return len(self.section.pressures_GPa) > 1

    def _measured(self, quantity: str, kelvin: float) -> float | None:
        try:
            return interpolate(self._table, quantity, kelvin)
        except InputError:  # outside of what was measured
            return None

    def _start(self, quantity: str, kelvin: float) -> float:
        """The measured value at the nearest temperature."""
        known = [m.temperature_K for m in self._table if m.quantity == quantity and not m.excluded]
        return interpolate(self._table, quantity, float(np.clip(kelvin, min(known), max(known))))

    def _plot(self, quantity: str, subjects: Sequence[Subject], rows: Sequence[Row]) -> Plot:
        conditions = self._conditions
        by_pressure = self._by_pressure and not self._by_temperature
        x = np.array([pressure if by_pressure else kelvin for kelvin, pressure in conditions])
        curves = []
        for subject in subjects:
            own = [row for row in rows if row.subject == subject.name and row.quantity == quantity]
            values, errors = (np.array([getattr(row, key) for row in own]) for key in ("value", "error"))
            curves.append(Curve(subject.name, x, values, errors, "points"))
        measured = [m for m in self._table if m.quantity == quantity and not m.excluded]
        if not by_pressure:
            axis, values = np.array(sorted((m.temperature_K, m.value) for m in measured)).T
            curves.append(Curve("experiment", axis, values, style="reference"))
        label = "pressure (GPa)" if by_pressure else "temperature (K)"
        return Plot(f"{self.name}_{quantity}", f"{quantity} of hcp", label, f"{quantity} (Å)", curves)
