"""Elastic constants by stress fluctuation: hcp against temperature, bcc (Röcken & Zavadlav 2024, figure 3, table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusepot.data.crystals import PROTOTYPES, table_path
from fusepot.data.experiment import Measurement, interpolate, load_measurements
from fusepot.errors import ConfigError
from fusepot.observables import Observable, find_observable
from fusepot.validation.analysis.averages import Mean
from fusepot.validation.analysis.elastic_series import estimates, read_samples
from fusepot.validation.analysis.phases import require_phase
from fusepot.validation.checks.elastic_section import LENGTHS, ElasticSection, Length
from fusepot.validation.interface import Curve, Findings, Plot, Results, Row, Run, RunFailed, Subject
from fusepot.validation.measured.elastic import MODULI, constants_of, measured_at, other_sources, reference_curves
from fusepot.validation.presets import Preset, few
from fusepot.validation.running.folders import PREFIX

PRESSURE = "pressure"


@dataclass(frozen=True)
class ElasticCheck:
    """The check of one ``[[elastic]]`` table.

    Attributes:
        name: of the check.
        section: conditions and experiment.
        preset: how long.
        folder: of the validation file, for paths in it.
    """

    name: str
    section: ElasticSection
    preset: Preset
    folder: Path

    @property
    def title(self) -> str:
        """Heading."""
        return f"Elastic constants of {self.section.structure}"

    @property
    def description(self) -> str:
        """How it was done."""
        size, section = LENGTHS[self.preset], self.section
        found = f"the mean one of {_ps(size, size.npt)} of NPT at zero pressure"
        return (
            f"Stress fluctuations at constant volume with {self._atoms} atoms (deck elastic.in, Langevin): "
            f"{_ps(size, size.equilibration)} of equilibration and {_ps(size, size.production)} of production; "
            f"the cell is {found if self._npt else 'the measured one'}. Constants are {section.kind}, moduli are "
            "Voigt's. Errors from ten blocks or the autocorrelation, whichever is larger."
        )

    @property
    def symmetry(self) -> str:
        """Of the crystal: "hexagonal" or "cubic"."""
        return PROTOTYPES[self.section.structure].symmetry

    @property
    def quantities(self) -> tuple[str, ...]:
        """All of them, in the order of the table."""
        return (*constants_of(self.symmetry), *MODULI, PRESSURE)

    def runs(self, subject: Subject) -> Sequence[Run]:
        """One for every temperature.

        Raises:
            ConfigError: no lattice constant to begin with.
            InputError: no such table, or a temperature at which it has no lattice constants.
        """
        return [self._run(subject, kelvin) for kelvin in self._temperatures]

    def findings(self, subjects: Sequence[Subject], results: Results) -> Findings:
        """All quantities of every potential and temperature."""
        rows = [
            row for subject in subjects for kelvin in self._temperatures for row in self._rows(subject, kelvin, results)
        ]
        remarks = [other_sources(self._table, self.symmetry, kelvin) for kelvin in self._temperatures]
        if self.section.kind == "adiabatic":
            remarks.append(
                "The adiabatic change is that of classical atoms, too large far below the Debye temperature."
            )
        plots = [self._plot(quantity, subjects, rows) for quantity in self.quantities]
        return Findings(rows, plots if len(self._temperatures) > 1 else [], [text for text in remarks if text])

    @property
    def _temperatures(self) -> tuple[float, ...]:
        return few(self.section.temperatures_K, self.preset)

    @property
    def _table(self) -> tuple[Measurement, ...]:
        return load_measurements(table_path(self.section.table, self.folder))

    @property
    def _cells(self) -> tuple[int, int, int]:
        return self.section.cells or LENGTHS[self.preset].cells[self.section.structure]

    @property
    def _atoms(self) -> int:
        return len(PROTOTYPES[self.section.structure].sites) * int(np.prod(self._cells))

    @property
    def _npt(self) -> int:
        return LENGTHS[self.preset].npt if self.section.a is not None else 0

    def _lattice(self, kelvin: float) -> dict[str, float]:
        section = self.section
        names = ("a", "c") if PROTOTYPES[section.structure].has_c else ("a",)
        given = {name: getattr(section, name) for name in names}
        if section.a is not None:
            return given
        if missing := sorted(set(names) - {m.quantity for m in self._table}):
            raise ConfigError(
                f"{self.name}.{missing[0]}",
                got="nothing",
                expected=f"a lattice constant in Å, since {section.table} has none",
                remedy="NPT begins from it and finds the cell.",
            )
        return {name: interpolate(self._table, name, kelvin) for name in names}

    def _run(self, subject: Subject, kelvin: float) -> Run:
        size = LENGTHS[self.preset]
        variables: dict[str, str | int | float] = {
            "structure": self.section.structure,
            "temperature": kelvin,
            **self._lattice(kelvin),
            **dict(zip(("nx", "ny", "nz"), self._cells, strict=True)),
            "timestep_fs": size.timestep_fs,
            "npt": self._npt,
            "equilibration": size.equilibration,
            "production": size.production,
            "sample_every": size.sample_every,
            "born_every": size.born_every,
        }
        steps = self._npt + size.equilibration + size.production
        return Run(f"{subject.name}/{self.name}/{kelvin:g}K", subject, "elastic.in", variables, steps, self._atoms)

    def _rows(self, subject: Subject, kelvin: float, results: Results) -> list[Row]:
        section = self.section
        nothing = Mean(float("nan"), float("nan"))
        try:
            means, problem = self._means(results.folder(self._run(subject, kelvin)), kelvin), ""
        except (RunFailed, OSError) as failure:
            means, problem = [nothing] * len(self.quantities), str(failure)
        measured = measured_at(self._table, self.symmetry, kelvin)
        rows = []
        for quantity, mean in zip(self.quantities, means, strict=True):
            reference, source, limit = None, "", None
            if quantity == PRESSURE:
                reference, source = 0.0, "as measured" if section.a is None else "as simulated first"
            elif measured:
                reference, source, limit = measured[0].values[quantity], measured[0].source, section.limit_percent
            condition = f"{section.structure} {kelvin:g} K"
            rows.append(
                Row(quantity, condition, subject.name, _unit(quantity), *mean, reference, source, limit, problem)
            )
        return rows

    def _means(self, folder: Path, kelvin: float) -> list[Mean]:
        size = LENGTHS[self.preset]
        require_phase(folder / f"{PREFIX}.phase", self.section.structure)
        sampled = read_samples(folder, PREFIX, symmetry=self.symmetry, after=self._npt + size.equilibration)
        observables = [self._observable(quantity) for quantity in self.quantities]
        return estimates(sampled, observables, temperature_K=kelvin, atoms=self._atoms)

    def _observable(self, quantity: str) -> Observable:
        name = MODULI.get(quantity, quantity)
        if quantity != PRESSURE and self.section.kind == "adiabatic":
            name += "_adiabatic"
        return find_observable(name, symmetry=self.symmetry)

    def _plot(self, quantity: str, subjects: Sequence[Subject], rows: Sequence[Row]) -> Plot:
        x = np.array(self._temperatures)
        curves = []
        for subject in subjects:
            own = [row for row in rows if row.subject == subject.name and row.quantity == quantity]
            values, errors = (np.array([getattr(row, key) for row in own]) for key in ("value", "error"))
            curves.append(Curve(subject.name, x, values, errors, "points"))
        if quantity != PRESSURE:
            curves += reference_curves(self._table, self.symmetry, quantity)
        label = quantity if _unit(quantity) == "1" else f"{quantity} (GPa)"
        name = f"{self.name}_{MODULI.get(quantity, quantity)}"
        return Plot(name, f"{quantity} of {self.section.structure}", "temperature (K)", label, curves)


def _unit(quantity: str) -> str:
    return "1" if quantity == "Poisson's ratio" else "GPa"


def _ps(size: Length, steps: int) -> str:
    return f"{steps * size.timestep_fs / 1000:g} ps"
