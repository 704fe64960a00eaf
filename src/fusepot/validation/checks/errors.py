"""Errors on a test set (Röcken & Zavadlav 2024, table 1), overall and by kind of structure, of what LAMMPS computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from fusepot.data import load_dataset
from fusepot.potential_file import read_header
from fusepot.structure import FloatArray
from fusepot.toml_files import Section
from fusepot.validation.analysis.held_out import HeldOut, held_out
from fusepot.validation.analysis.lammps_data import dump_file, served_predictions
from fusepot.validation.analysis.parity import QUANTITIES, Errors, errors
from fusepot.validation.interface import Curve, Findings, Plot, Results, Row, Run, RunFailed, Subject

SHIPPED = "ti_pbe"
FILE = "structures.dump"
MARGIN = 1.0  # Å of vacuum beyond the cutoff
MOST_POINTS = 2000  # of a plot, by potential


class ErrorsSection(Section):
    """``[errors]``: the served potential against labelled structures."""

    data: str | None = Field(
        default=None, description="ti_pbe, an extended XYZ file or a folder; by default each potential's own test set"
    )


@dataclass(frozen=True)
class ErrorsCheck:
    """The check of ``[errors]``.

    Attributes:
        name: of the check.
        section: which structures.
        folder: of the validation file, for paths in it.
    """

    name: str
    section: ErrorsSection
    folder: Path

    @property
    def title(self) -> str:
        """Heading."""
        return "Errors on a test set"

    @property
    def description(self) -> str:
        """How it was done."""
        return (
            "Energy, forces and stress of labelled structures as LAMMPS computes them with the potential (deck "
            "forces.in): root mean square and mean absolute error, overall and by kind of structure. Forces, stress "
            "and virial count by component; the virial is dE/d(strain)."
        )

    def runs(self, subject: Subject) -> Sequence[Run]:
        """One with all structures."""
        return [self._run(subject, self._held_out(subject))]

    def findings(self, subjects: Sequence[Subject], results: Results) -> Findings:
        """Errors of all potentials."""
        rows: list[Row] = []
        energies, forces = [], []
        sets = {subject.name: self._held_out(subject) for subject in subjects}
        for subject in subjects:
            samples = sets[subject.name].dataset.samples
            try:
                folder = results.folder(self._run(subject, sets[subject.name]))
                found = served_predictions(folder, [s.structure for s in samples], gap=_gap(subject))
            except RunFailed as failure:
                rows += [
                    Row(f"{name} RMSE", f"all {len(samples)}", subject.name, unit, float("nan"), problem=str(failure))
                    for name, unit in QUANTITIES.items()
                ]
                continue
            rows += _rows(subject, errors(samples, found))
            atoms = np.array([len(s.structure) for s in samples])
            energies.append(_parity(subject, [s.energy for s in samples] / atoms, [p.energy for p in found] / atoms))
            labelled = np.concatenate([s.forces.ravel() for s in samples])
            forces.append(_parity(subject, labelled, np.concatenate([p.forces.ravel() for p in found])))
        plots = [
            _plot(f"{self.name}_energy", "energy (eV/atom)", energies),
            _plot(f"{self.name}_forces", "force component (eV/Å)", forces),
        ]
        return Findings(rows, plots if energies else [], _remarks(subjects, sets))

    def _held_out(self, subject: Subject) -> HeldOut:
        if self.section.data is None:
            remedy = "Name labelled structures in the validation file: [errors] data = ..."
            return held_out(_origins(subject), remedy=f"{remedy} (of {subject.file})")
        path = self.section.data if self.section.data == SHIPPED else self.folder / self.section.data
        return HeldOut(load_dataset(path), self.section.data)

    def _run(self, subject: Subject, data: HeldOut) -> Run:
        structures = [sample.structure for sample in data.dataset.samples]
        elements = data.dataset.elements
        variables: dict[str, str | int | float] = {
            "structures": FILE,
            "count": len(structures),
            "elements": " ".join(elements),
            "types": len(elements),
        }
        files = {FILE: dump_file(structures, elements, gap=_gap(subject))}
        largest = max(map(len, structures))
        name = f"{subject.name}/{self.name}/structures"
        return Run(name, subject, "forces.in", variables, len(structures), largest, files)


def _gap(subject: Subject) -> float:
    return float(read_header(subject.file)["cutoff"]) + MARGIN


def _origins(subject: Subject) -> list[Mapping[str, Any]]:
    """Provenance of each member, without a self-test: that takes seconds, and LAMMPS does it."""
    header = read_header(subject.file)
    members = header.get("members", 1)
    if members == 1:
        return [header["provenance"]]
    return list(header["provenance"].get("members", [{}] * members))


def _rows(subject: Subject, found: Errors) -> list[Row]:
    rows = []
    for kind, part in {"all": found, **(found.config_types if len(found.config_types) > 1 else {})}.items():
        for name in QUANTITIES:
            error = getattr(part, name)
            if not error.count:  # no labels
                continue
            for measure, value in (("RMSE", error.rmse), ("MAE", error.mae)):
                rows.append(Row(f"{name} {measure}", f"{kind} {part.structures}", subject.name, error.unit, value))
    return rows


def _parity(subject: Subject, labelled: FloatArray, served: FloatArray) -> Curve:
    """Every so many of the numbers that have a label."""
    known = np.flatnonzero(np.isfinite(labelled))
    known = known[:: max(1, -(-len(known) // MOST_POINTS))]
    return Curve(subject.name, labelled[known], np.asarray(served)[known], style="points")


def _plot(name: str, quantity: str, curves: Sequence[Curve]) -> Plot:
    labels = np.concatenate([curve.x for curve in curves]) if curves else np.zeros(0)
    ends = np.array([labels.min(), labels.max()]) if len(labels) else np.zeros(0)
    exact = Curve("labels", ends, ends, style="reference")
    return Plot(name, f"Test set: {quantity}", f"labelled {quantity}", f"served {quantity}", [*curves, exact])


def _remarks(subjects: Sequence[Subject], sets: Mapping[str, HeldOut]) -> list[str]:
    remarks = [f"{subject.name}: {sets[subject.name].title}." for subject in subjects]
    if len({data.dataset.content_hash() for data in sets.values()}) > 1:
        remarks.append("The potentials were compared with different structures: their errors are not comparable.")
    for subject in subjects:
        shifts = _origins(subject)[0].get("energy_shift_eV_per_atom")
        if shifts:
            numbers = ", ".join(f"{shift:.4f}" for shift in shifts)
            remarks.append(
                f"Energies of {subject.name} include a shift of {numbers} eV per atom, by which labelled energies lay "
                "above predicted ones on its training set: experiments leave the zero of energy undetermined."
            )
    return remarks
