"""Structure of a liquid metal: g(r) and the angles between neighbours (Röcken & Zavadlav 2024, figures 5a and 5b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveFloat

from fusepot.toml_files import Section
from fusepot.validation.analysis.averages import Mean, mean_of
from fusepot.validation.analysis.histograms import averaged, first_shell, jackknifed
from fusepot.validation.checks.liquid_run import R_MAX, STRUCTURE, Liquid, MeltSection, liquid_run, read_liquid
from fusepot.validation.interface import Curve, Findings, Plot, Results, Row, Run, RunFailed, Subject
from fusepot.validation.measured.curves import load_curve
from fusepot.validation.presets import Preset

QUANTITIES = {
    "first maximum of g(r), position": "Å",
    "first maximum of g(r), height": "1",
    "first minimum of g(r), position": "Å",
    "neighbours up to the first minimum": "1",
    "density": "g/cm^3",
}


class PeakSection(Section):
    """``first_peak = {...}``: the measured first maximum of g(r)."""

    r_A: PositiveFloat  # noqa: N815
    g: PositiveFloat
    source: str = ""


class LiquidSection(MeltSection):
    """``[[liquid]]``: the structure at one temperature and zero pressure."""

    temperature_K: PositiveFloat  # noqa: N815
    rdf_reference: str | None = Field(default=None, description="CSV file r_A,g")
    adf_reference: str | None = Field(default=None, description="CSV file cos_theta,adf")
    first_peak: PeakSection | None = None
    limit_percent: float | None = Field(default=None, gt=0, description="largest deviation from first_peak")


@dataclass(frozen=True)
class LiquidCheck:
    """The check of one ``[[liquid]]`` table.

    Attributes:
        name: of the check.
        section: conditions and experiment.
        preset: how long.
        folder: of the validation file, for paths in it.

    Raises:
        InputError, DataError: a file with a measured curve is missing or unusable.
    """

    name: str
    section: LiquidSection
    preset: Preset
    folder: Path

    def __post_init__(self) -> None:
        """Read references before hours of dynamics, not after."""
        self._references()

    @property
    def title(self) -> str:
        """Heading."""
        return f"Structure of the liquid at {self.section.temperature_K:g} K"

    @property
    def description(self) -> str:
        """How it was done."""
        size, section = STRUCTURE[self.preset], self.section
        hold = f", {size.picoseconds(size.holding)} of NVT" if size.holding else ""
        return (
            f"A crystal of {size.atoms} atoms is melted ({size.picoseconds(size.superheating)} at "
            f"{section.superheat_K:g} K, {size.picoseconds(size.melting)} of NPT at {section.melt_K:g} K), cooled "
            f"({size.picoseconds(size.cooling)} of NPT at zero pressure{hold}), and sampled over "
            f"{size.picoseconds(size.production)} of NVT in its mean volume (deck liquid.in). Angles are those of all "
            f"triplets within {section.triplet_cutoff_A:g} Å. Extrema of g(r) by parabolas. Errors from ten blocks, by "
            "jackknife for what is read off a curve. A run that is crystalline in the end, or evaporates, is refused."
        )

    def runs(self, subject: Subject) -> Sequence[Run]:
        """One."""
        return [self._run(subject)]

    def findings(self, subjects: Sequence[Subject], results: Results) -> Findings:
        """First shell and density of every potential; g(r) and angles."""
        liquids, problems = {}, {}
        for subject in subjects:
            try:
                liquid = read_liquid(results.folder(self._run(subject)), self.section, STRUCTURE[self.preset])
                liquids[subject.name] = liquid, _numbers(liquid)
            except RunFailed as failure:
                problems[subject.name] = str(failure)
        rows = []
        for subject in subjects:
            known = liquids.get(subject.name)
            numbers = known[1] if known else [Mean(float("nan"), float("nan"))] * len(QUANTITIES)
            rows += self._rows(subject, numbers, problems.get(subject.name, ""))
        references = self._references()
        plots = [
            _plot(f"{self.name}_rdf", "g(r)", "r (Å)", {n: k.rdf for n, (k, _) in liquids.items()}, references["rdf"]),
            _plot(
                f"{self.name}_adf",
                f"Angles between neighbours within {self.section.triplet_cutoff_A:g} Å",
                "cos θ",
                {n: k.adf for n, (k, _) in liquids.items()},
                references["adf"],
            ),
        ]
        remarks = ["Measured angles are scaled to the same area."] if references["adf"] else []
        return Findings(rows, plots, remarks)

    def _run(self, subject: Subject) -> Run:
        kelvin = self.section.temperature_K
        name = f"{subject.name}/{self.name}/{kelvin:g}K"
        return liquid_run(name, subject, self.section, kelvin, STRUCTURE[self.preset])

    def _rows(self, subject: Subject, numbers: Sequence[Mean], problem: str) -> list[Row]:
        peak, condition = self.section.first_peak, f"{self.section.temperature_K:g} K"
        measured = (peak.r_A, peak.g) if peak else (None, None)
        references = (*measured, *[None] * (len(QUANTITIES) - 2))
        rows = []
        for (quantity, unit), (value, error), reference in zip(QUANTITIES.items(), numbers, references, strict=True):
            source = peak.source if peak and reference is not None else ""
            limit = self.section.limit_percent if reference is not None else None
            rows.append(
                Row(quantity, condition, subject.name, unit, value, error, reference, source, limit, problem=problem)
            )
        return rows

    def _references(self) -> Mapping[str, Curve | None]:
        """The measured curves by the name of what they are compared with."""
        curves: dict[str, Curve | None] = {"rdf": None, "adf": None}
        wanted = {
            "rdf": (self.section.rdf_reference, ("r_A", "g")),
            "adf": (self.section.adf_reference, ("cos_theta", "adf")),
        }
        for key, (file, columns) in wanted.items():
            if file is not None:
                x, y, source = load_curve(self.folder / file, columns=columns, argument=f"liquid.{key}_reference")
                inside = x <= R_MAX if key == "rdf" else np.abs(x) <= 1
                area = float(np.trapezoid(y, x)) if key == "adf" else 1.0
                curves[key] = Curve(source or "experiment", x[inside], y[inside] / area, style="reference")
        return curves


def _numbers(liquid: Liquid) -> list[Mean]:
    """In the order of the quantities."""
    return [*jackknifed(liquid.rdf, lambda histogram: np.array(first_shell(histogram))), mean_of(liquid.free_density)]


def _plot(name: str, title: str, x_label: str, histograms: Mapping[str, np.ndarray], reference: Curve | None) -> Plot:
    curves = []
    for subject, segments in histograms.items():
        mean, error = averaged(segments)
        curves.append(Curve(subject, mean[:, 0], mean[:, 1], error[:, 1]))
    y_label = "g(r)" if name.endswith("_rdf") else "density"
    return Plot(name, title, x_label, y_label, [*curves, *([reference] if reference else [])])
