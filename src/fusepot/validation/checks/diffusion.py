"""Self-diffusion of a liquid metal against temperature (Röcken & Zavadlav 2024, figure 5c)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveFloat

from fusepot.data.crystals import table_path
from fusepot.data.experiment import Measurement, interpolate, load_measurements
from fusepot.errors import InputError
from fusepot.observables.statistics import BLOCKS, block_error
from fusepot.structure import FloatArray
from fusepot.validation.analysis.averages import Mean, mean_of
from fusepot.validation.analysis.windows import Windows
from fusepot.validation.checks.liquid_run import DIFFUSION, MeltSection, liquid_run, read_liquid
from fusepot.validation.interface import Curve, Findings, Plot, Results, Row, Run, RunFailed, Subject
from fusepot.validation.presets import Preset, few

GREEN_KUBO, EINSTEIN = "D, Green-Kubo", "D, mean square displacement"
MOST_APART = 3.0  # standard errors between the two, before it is said in the table


class DiffusionSection(MeltSection):
    """``[[diffusion]]``: one run at each temperature, at zero pressure."""

    table: str = Field(description="measured D: a shipped table or a CSV file")
    temperatures_K: tuple[PositiveFloat, ...] = Field(min_length=1)  # noqa: N815
    limit_percent: float | None = Field(default=None, gt=0, description="largest deviation")


@dataclass(frozen=True)
class DiffusionCheck:
    """The check of one ``[[diffusion]]`` table.

    Attributes:
        name: of the check.
        section: conditions and experiment.
        preset: how long.
        folder: of the validation file, for paths in it.
    """

    name: str
    section: DiffusionSection
    preset: Preset
    folder: Path

    @property
    def title(self) -> str:
        """Heading."""
        return "Self-diffusion of the liquid"

    @property
    def description(self) -> str:
        """How it was done."""
        size = DIFFUSION[self.preset]
        origins = size.production // size.origin - size.window // size.origin + 1
        half = size.picoseconds(size.window // 2)
        return (
            f"NVT with {size.atoms} atoms in the mean volume of NPT at zero pressure, "
            f"{size.picoseconds(size.production)} sampled every {size.picoseconds(size.fine)} (deck liquid.in). D by "
            f"Green and Kubo is a third of the integral of the velocity autocorrelation up to {half}, averaged over "
            f"{origins} origins {size.picoseconds(size.origin)} apart; as a check, a sixth of the slope of the mean "
            f"square displacement from {half} to {size.picoseconds(size.window)}. Errors from ten blocks of origins or "
            "their autocorrelation, whichever is larger. Periodic boundaries make D too small by 2.837 kT / (6 π η L) "
            "with the viscosity η and the length L of the box (Yeh & Hummer, J. Phys. Chem. B 108, 15873 (2004)); this "
            "is not corrected."
        )

    @property
    def _temperatures(self) -> tuple[float, ...]:
        return few(self.section.temperatures_K, self.preset)

    @property
    def _table(self) -> tuple[Measurement, ...]:
        return load_measurements(table_path(self.section.table, self.folder))

    def runs(self, subject: Subject) -> Sequence[Run]:
        """One for every temperature."""
        return [self._run(subject, kelvin) for kelvin in self._temperatures]

    def findings(self, subjects: Sequence[Subject], results: Results) -> Findings:
        """D of every potential and temperature by both ways."""
        rows, remarks = [], []
        found: dict[tuple[str, float], Windows] = {}
        for subject in subjects:
            for kelvin in self._temperatures:
                windows, problem = None, ""
                try:
                    folder = results.folder(self._run(subject, kelvin))
                    windows = read_liquid(folder, self.section, DIFFUSION[self.preset]).windows
                except RunFailed as failure:
                    problem = str(failure)
                if windows is not None:
                    found[subject.name, kelvin] = windows
                    apart = f"both ways differ by {windows.disagreement:.1f} standard errors"
                    remarks.append(f"{subject.name}, {kelvin:g} K: {apart}.")
                    problem = apart if windows.disagreement > MOST_APART else ""
                rows += self._rows(subject, kelvin, windows, problem)
        return Findings(rows, [self._against_temperature(subjects, rows), *self._functions(found)], remarks)

    def _run(self, subject: Subject, kelvin: float) -> Run:
        return liquid_run(
            f"{subject.name}/{self.name}/{kelvin:g}K", subject, self.section, kelvin, DIFFUSION[self.preset]
        )

    def _rows(self, subject: Subject, kelvin: float, windows: Windows | None, problem: str) -> list[Row]:
        try:
            reference, source = interpolate(self._table, "D", kelvin), self._table[0].source
        except InputError:  # outside of what was measured
            reference, source = None, ""
        limit = self.section.limit_percent if reference is not None else None
        rows = []
        for quantity in (GREEN_KUBO, EINSTEIN):
            value = Mean(float("nan"), float("nan"))
            if windows is not None:
                value = mean_of(windows.green_kubo if quantity == GREEN_KUBO else windows.einstein)
            rows.append(
                Row(quantity, f"{kelvin:g} K", subject.name, "m^2/s", *value, reference, source, limit, problem=problem)
            )
        return rows

    def _against_temperature(self, subjects: Sequence[Subject], rows: Sequence[Row]) -> Plot:
        kelvins = np.array(self._temperatures)
        curves = []
        for subject in subjects:
            for quantity, label in ((GREEN_KUBO, subject.name), (EINSTEIN, f"{subject.name}, displacement")):
                own = [row for row in rows if row.subject == subject.name and row.quantity == quantity]
                values, errors = (np.array([getattr(row, key) for row in own]) for key in ("value", "error"))
                curves.append(Curve(label, kelvins, values, errors, "points"))
        measured = sorted((m.temperature_K, m.value) for m in self._table if m.quantity == "D" and not m.excluded)
        axis, values = np.array(measured).T
        curves.append(Curve("experiment", axis, values, style="reference"))
        return Plot(f"{self.name}_D", "Self-diffusion", "temperature (K)", "D (m^2/s)", curves)

    def _functions(self, found: Mapping[tuple[str, float], Windows]) -> list[Plot]:
        """The autocorrelation, and its integral, whose plateau shows whether it was long enough."""
        correlations, integrals = [], []
        for (subject, kelvin), windows in found.items():
            label = f"{subject}, {kelvin:g} K"
            scale = windows.vacf[:, 0].mean()
            correlations.append(_curve(label, windows.times, windows.vacf / scale))
            integrals.append(_curve(label, windows.times, windows.integrals))
        time = "time (ps)"
        return [
            Plot(f"{self.name}_vacf", "Velocity autocorrelation", time, "C(t) / C(0)", correlations),
            Plot(f"{self.name}_integral", "Integral of the autocorrelation", time, "D(t) (m^2/s)", integrals),
        ]


def _curve(label: str, times: FloatArray, series: FloatArray) -> Curve:
    """Mean over windows with errors by blocks."""
    return Curve(label, times, series.mean(axis=0), block_error(series, min(BLOCKS, len(series))))
