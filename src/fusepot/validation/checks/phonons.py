"""Phonon dispersion and density of states of hcp (Röcken & Zavadlav 2024, figure 4), imaginary modes flagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from ase.build import bulk
from pydantic import Field, PositiveFloat

from fusepot.structure import Structure
from fusepot.toml_files import Section
from fusepot.validation.analysis.lammps_data import data_file, dump_file, relaxed, served_predictions, stretched
from fusepot.validation.analysis.lattice_dynamics import (
    DISTANCE,
    PATH,
    Density,
    Dispersion,
    Repeat,
    branches,
    density,
    dispersion,
    force_constants,
    hcp,
    supercells,
)
from fusepot.validation.interface import Curve, Findings, Plot, Results, Row, Run, RunFailed, Subject
from fusepot.validation.measured.phonons import Measured, place, read_measured
from fusepot.validation.presets import Preset

SUPERCELLS: Mapping[Preset, Repeat] = MappingProxyType({"quick": (3, 3, 2), "standard": (5, 5, 3), "paper": (5, 5, 3)})
MESH: Mapping[Preset, Repeat] = MappingProxyType(
    {"quick": (12, 12, 8), "standard": (30, 30, 18), "paper": (30, 30, 18)}
)
STRUCTURES, CRYSTAL = "structures.dump", "crystal.data"
IMAGINARY = -0.05  # THz: below it is no rounding of a mode that does not move
PRESSURE = 10.0  # bar: more of it is left only where relaxation did not end


class PhononsSection(Section):
    """``[phonons]``: of hcp at 0 K."""

    a: PositiveFloat = Field(description="lattice constants where relaxation begins, Å")
    c: PositiveFloat
    relax: bool = Field(default=True, description="false: phonons of the crystal with these lattice constants")
    experiment: str | None = Field(
        default=None,
        description="CSV with columns q (K, or K-M 0.25), frequency_THz, and branch (a quantity of the table)",
    )
    source: str = Field(default="experiment", description="of the measured frequencies")
    limit_percent: float | None = Field(default=None, gt=0, description="largest deviation from experiment")


class Phonons(NamedTuple):
    """What was found for one potential."""

    named: Mapping[str, float]
    along: Dispersion
    states: Density


@dataclass(frozen=True)
class PhononsCheck:
    """The check of ``[phonons]``.

    Attributes:
        name: of the check.
        section: crystal and experiment.
        preset: how large the supercell is.
        folder: of the validation file, for paths in it.
        element: of the crystal.
    """

    name: str
    section: PhononsSection
    preset: Preset
    folder: Path
    element: str

    @property
    def title(self) -> str:
        """Heading."""
        return "Phonons of hcp"

    @property
    def description(self) -> str:
        """How it was done."""
        cell = "relaxed at zero pressure" if self.section.relax else "as given"
        size = "x".join(map(str, SUPERCELLS[self.preset]))
        mesh = "x".join(map(str, MESH[self.preset]))
        return (
            f"Finite displacements of {DISTANCE:g} Å in a {size} supercell of the crystal {cell}, forces from LAMMPS "
            "(deck forces.in), force constants, dispersion and density of states from phonopy (tetrahedron method, "
            f"{mesh} points); 0 K. Negative frequencies are imaginary. Branches at Γ and A are told apart by their "
            "polarisation, at K and M only the lowest and the highest one is listed."
        )

    def runs(self, subject: Subject) -> Sequence[Run]:
        """One with all displacements."""
        return [self._run(subject)]

    def findings(self, subjects: Sequence[Subject], results: Results) -> Findings:
        """Named frequencies, dispersion and density of all potentials."""
        rows: list[Row] = []
        remarks: list[str] = []
        found: dict[str, Phonons] = {}
        measured = self._measured()
        for subject in subjects:
            try:
                found[subject.name] = self._phonons(subject, results)
            except RunFailed as failure:
                rows.append(Row("frequencies", "0 K", subject.name, "THz", float("nan"), problem=str(failure)))
                continue
            rows += self._rows(subject, found[subject.name], measured)
            if rows[-1].problem:
                remarks.append(f"{subject.name}: hcp is not stable at 0 K, {rows[-1].problem}.")
        plots = [self._dispersion_plot(found, measured), self._density_plot(found)] if found else []
        return Findings(rows, plots, remarks)

    @property
    def _cell(self) -> Structure:
        return hcp(self.element, a=self.section.a, c=self.section.c)

    def _run(self, subject: Subject) -> Run:
        repeat = SUPERCELLS[self.preset]
        structures = supercells(self._cell, repeat)
        variables: dict[str, str | int | float] = {"structures": STRUCTURES, "count": len(structures)}
        files = {STRUCTURES: dump_file(structures, [self.element], gap=0.0)}
        if self.section.relax:
            variables["relax"] = CRYSTAL
            box = bulk(self.element, "hcp", a=self.section.a, c=self.section.c, orthorhombic=True)
            files[CRYSTAL] = data_file(Structure.from_ase(box), [self.element])
        name = f"{subject.name}/{self.name}/{'x'.join(map(str, repeat))}"
        return Run(name, subject, "forces.in", variables, len(structures), len(structures[0]), files)

    def _phonons(self, subject: Subject, results: Results) -> Phonons:
        folder = results.folder(self._run(subject))
        cell, repeat, stretch = self._cell, SUPERCELLS[self.preset], np.ones(3)
        if self.section.relax:
            rest = relaxed(folder)
            if np.abs(rest.pressure).max() > PRESSURE:
                raise RunFailed(f"relaxation left {np.abs(rest.pressure).max():.0f} bar")
            stretch = rest.stretch
        structures = [stretched(structure, stretch) for structure in supercells(cell, repeat)]
        forces = [prediction.forces for prediction in served_predictions(folder, structures, gap=0.0)]
        phonopy = force_constants(cell, repeat, stretch, forces)
        return Phonons(branches(phonopy), dispersion(phonopy), density(phonopy, MESH[self.preset]))

    def _rows(self, subject: Subject, found: Phonons, measured: Sequence[Measured]) -> list[Row]:
        """Of named branches, and last the lowest frequency."""
        known = {point.branch: point.frequency for point in measured if point.branch}
        rows = [
            Row(
                name, "0 K", subject.name, "THz", value,
                reference=known.get(name),
                source=self.section.source if name in known else "",
                limit_percent=self.section.limit_percent if name in known else None,
                problem="" if np.isfinite(value) else "no mode of this polarisation",
            )
            for name, value in found.named.items()
        ]  # fmt: skip
        lowest = float(min(found.along.frequencies.min(), found.states.modes.min()))
        problem = ""
        if lowest < IMAGINARY:
            part = float(np.average(found.states.modes < IMAGINARY, weights=found.states.weights))
            at = int(found.along.frequencies.min(axis=1).argmin())
            near = PATH[int(np.abs(found.along.ticks - found.along.distances[at]).argmin())]
            problem = f"imaginary modes: {100 * part:.1f} % of the mesh, on the path lowest near {near}"
        return [*rows, Row("lowest frequency", "path and mesh", subject.name, "THz", lowest, problem=problem)]

    def _dispersion_plot(self, found: Mapping[str, Phonons], measured: Sequence[Measured]) -> Plot:
        curves = []
        # The path's length depends a little on lattice constants: all are drawn on the first one.
        ticks = next(iter(found.values())).along.ticks
        for name, phonons in found.items():
            along = phonons.along
            # One curve for each potential: NaN lifts the pen between its six branches.
            x = np.tile(np.append(np.interp(along.distances, along.ticks, ticks), np.nan), 6)
            y = np.pad(along.frequencies, ((0, 1), (0, 0)), constant_values=np.nan).T.ravel()
            curves.append(Curve(name, x, y))
        if measured:
            x = np.array([place(point, ticks) for point in measured])
            curves.append(
                Curve(self.section.source, x, np.array([point.frequency for point in measured]), style="marks")
            )
        labels = list(zip(map(float, ticks), PATH, strict=True))
        return Plot(f"{self.name}_dispersion", "Phonon dispersion", "", "frequency (THz)", curves, labels)

    def _density_plot(self, found: Mapping[str, Phonons]) -> Plot:
        curves = [Curve(name, phonons.states.frequencies, phonons.states.states) for name, phonons in found.items()]
        return Plot(
            f"{self.name}_density", "Phonon density of states", "frequency (THz)", "states (1/THz per atom)", curves
        )

    def _measured(self) -> list[Measured]:
        return read_measured(self.folder / self.section.experiment) if self.section.experiment is not None else []
