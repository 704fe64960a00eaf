"""Energy against volume of hcp, fcc and bcc (Röcken & Zavadlav 2024, figure 2), and what a fit of it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveFloat, model_validator
from scipy.interpolate import CubicSpline

from fusepot.data import load_dataset
from fusepot.data.crystals import table_path
from fusepot.data.experiment import load_measurements
from fusepot.toml_files import Section
from fusepot.validation.analysis.birch_murnaghan import LEAST, NEAR, Fit, Points, fit_or_reason
from fusepot.validation.interface import Curve, Findings, Plot, Results, Row, Run, RunFailed, Subject

CRYSTALS = ("hcp", "fcc", "bcc")
POINTS = 17
SMOOTH = 101  # points of the line through labels
SHIPPED = "ti_pbe"
LIMITED = ("volume", "bulk modulus")
ATOMS_IN_CELL = 4  # at most, in the deck


class EnergyVolumeSection(Section):
    """``[energy_volume]``: curves of three crystals."""

    volumes_A3: tuple[PositiveFloat, PositiveFloat] = Field(description="smallest and largest, per atom")  # noqa: N815
    data: str | None = Field(default=None, description="labelled set with config types hcp_ev, fcc_ev, bcc_ev")
    table: str | None = Field(default=None, description="measured a and c of hcp: a shipped table or a CSV file")
    limit_percent: float | None = Field(default=None, gt=0, description="largest deviation of volumes and bulk moduli")

    @model_validator(mode="after")
    def _ordered(self) -> EnergyVolumeSection:
        if self.volumes_A3[0] >= self.volumes_A3[1]:
            raise ValueError("volumes_A3: the smallest volume first")
        return self


Fits = Mapping[str, Fit | str]  # a string says why there is none


@dataclass(frozen=True)
class EnergyVolumeCheck:
    """The check of ``[energy_volume]``.

    Attributes:
        name: of the check.
        section: range and references.
        folder: of the validation file, for paths in it.
    """

    name: str
    section: EnergyVolumeSection
    folder: Path

    @property
    def title(self) -> str:
        """Heading."""
        return "Energy against volume"

    @property
    def description(self) -> str:
        """How it was done."""
        low, high = self.section.volumes_A3
        near, far = (f"{100 * fraction:g} %" for fraction in NEAR)
        return (
            f"hcp, fcc and bcc at 0 K, {POINTS} volumes from {low:g} to {high:g} Å^3 per atom, ideal sites (deck "
            "energy_volume.in). c/a of hcp is that of the crystal relaxed at zero pressure, at all volumes. Volume, "
            "energy and bulk modulus come from a third-order Birch-Murnaghan curve (ase.eos) through the points within "
            f"{near} of the volume of lowest energy ({far} where these are fewer than {LEAST})."
        )

    def runs(self, subject: Subject) -> Sequence[Run]:
        """One with all crystals."""
        return [self._run(subject)]

    def findings(self, subjects: Sequence[Subject], results: Results) -> Findings:
        """Fits of all potentials beside those of the labels, and curves relative to the hcp minimum of each."""
        labels = self._labels()
        expected = {crystal: fit_or_reason(points) for crystal, points in labels.items()}
        rows: list[Row] = []
        curves: dict[str, list[Curve]] = {crystal: [] for crystal in CRYSTALS}
        for subject in subjects:
            try:
                points = read_points(results.folder(self._run(subject)) / "run.energies")
            except RunFailed as failure:
                rows.append(Row("volume", "hcp", subject.name, "Å^3/atom", float("nan"), problem=str(failure)))
                continue
            fits = {crystal: fit_or_reason(points[crystal]) for crystal in CRYSTALS}
            rows += self._rows(subject, fits, expected)
            zero = fits["hcp"].energy if isinstance(fits["hcp"], Fit) else points["hcp"].energies.min()
            for crystal in CRYSTALS:
                own = points[crystal]
                curves[crystal].append(Curve(subject.name, own.volumes, 1e3 * (own.energies - zero)))
        # Without a fit of hcp, the label of lowest energy.
        hcp = expected.get("hcp")
        zero = hcp.energy if isinstance(hcp, Fit) else min((p.energies.min() for p in labels.values()), default=0.0)
        plots = []
        for crystal in CRYSTALS:
            drawn = [*curves[crystal]]
            if crystal in labels:
                drawn += _drawn(f"labels ({self.section.data})", labels[crystal], zero)
            title = f"Energy of {crystal} over that of hcp"
            plots.append(Plot(f"{self.name}_{crystal}", title, "volume (Å^3/atom)", "energy (meV/atom)", drawn))
        remarks = [f"No reference for {c}: {fit}." for c, fit in expected.items() if isinstance(fit, str)]
        return Findings(rows, plots if curves["hcp"] else [], remarks)

    def _run(self, subject: Subject) -> Run:
        low, high = self.section.volumes_A3
        variables = {"volume_min": low, "volume_max": high, "points": POINTS}
        name = f"{subject.name}/{self.name}/hcp_fcc_bcc"
        return Run(name, subject, "energy_volume.in", variables, POINTS * len(CRYSTALS), ATOMS_IN_CELL)

    def _rows(self, subject: Subject, fits: Fits, expected: Fits) -> list[Row]:
        labels = f"labels ({self.section.data}), fitted"

        def row(
            quantity: str, crystal: str, unit: str, value: float | str, reference: float | str, source: str = labels
        ) -> Row:
            known = reference if isinstance(reference, float) else None
            return Row(
                quantity, crystal, subject.name, unit,
                value if isinstance(value, float) else float("nan"),
                reference=known,
                source=source if known is not None else "",
                limit_percent=self.section.limit_percent if known is not None and quantity in LIMITED else None,
                problem=value if isinstance(value, str) else "",
            )  # fmt: skip

        rows = []
        for quantity, field, unit in (("volume", "volume", "Å^3/atom"), ("bulk modulus", "bulk_modulus", "GPa")):
            for crystal in CRYSTALS:
                rows.append(row(quantity, crystal, unit, _part(fits, crystal, field), _part(expected, crystal, field)))
        rows.append(row("energy", "hcp", "eV/atom", _part(fits, "hcp", "energy"), _part(expected, "hcp", "energy")))
        for crystal in CRYSTALS[1:]:
            rows.append(
                row("energy over hcp", crystal, "meV/atom", _over_hcp(fits, crystal), _over_hcp(expected, crystal))
            )
        measured = self._measured_volume()
        if measured is not None:
            value, condition, source = measured
            rows.append(row("volume", condition, "Å^3/atom", _part(fits, "hcp", "volume"), value, source))
        return rows

    def _labels(self) -> dict[str, Points]:
        """Of each crystal that the labelled set has."""
        if self.section.data is None:
            return {}
        dataset = load_dataset(SHIPPED if self.section.data == SHIPPED else self.folder / self.section.data)
        found = {}
        for crystal in CRYSTALS:
            own = [s for s in dataset.samples if s.config_type == f"{crystal}_ev" and s.has[0]]
            if own:
                pairs = sorted((s.structure.volume / len(s.structure), s.energy / len(s.structure)) for s in own)
                found[crystal] = Points(*np.array(pairs).T)
        return found

    def _measured_volume(self) -> tuple[float, str, str] | None:
        """Volume per atom at the lowest measured temperature, which that is, and who measured."""
        if self.section.table is None:
            return None
        table = load_measurements(table_path(self.section.table, self.folder))
        known = [m for m in table if m.quantity in ("a", "c") and not m.excluded]
        kelvin = min(m.temperature_K for m in known)
        first = {m.quantity: m for m in known if m.temperature_K == kelvin}
        volume = np.sqrt(3) / 4 * first["a"].value ** 2 * first["c"].value
        return float(volume), f"hcp, measured at {kelvin:g} K", first["a"].source


def read_points(path: Path) -> dict[str, Points]:
    """What energy_volume.in wrote, by crystal.

    Raises:
        RunFailed: the file is missing or cut short, or has numbers that are not finite.
    """
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()[1:]]
        found = {
            crystal: Points(*np.array([[float(row[1]), float(row[2])] for row in rows if row[0] == crystal]).T)
            for crystal in CRYSTALS
        }
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise RunFailed(f"energy_volume.in left no whole table: {error}") from error
    if not all(np.isfinite(points).all() for points in found.values()):
        raise RunFailed("energies that are not finite")
    return found


def _part(fits: Fits, crystal: str, field: str) -> float | str:
    """A number of a fit, or why there is none."""
    fit = fits.get(crystal, "no labels")
    return float(getattr(fit, field)) if isinstance(fit, Fit) else fit


def _over_hcp(fits: Fits, crystal: str) -> float | str:
    """Difference of minima in meV per atom, or why there is none."""
    other, hcp = (_part(fits, name, "energy") for name in (crystal, "hcp"))
    if isinstance(other, float) and isinstance(hcp, float):
        return 1e3 * (other - hcp)
    return other if isinstance(other, str) else f"hcp: {hcp}"


def _drawn(label: str, points: Points, zero: float) -> list[Curve]:
    """Labels as markers, and a cubic spline through them."""
    volumes = np.linspace(points.volumes[0], points.volumes[-1], SMOOTH)
    energies = 1e3 * (points.energies - zero)
    found = [Curve(label, points.volumes, energies, style="marks")]
    if len(points.volumes) > 2:
        spline = CubicSpline(points.volumes, energies)
        found.insert(0, Curve(label, volumes, spline(volumes), style="reference"))
    return found
