"""Findings for a report, and what else it is made of: three potentials and their context."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusepot.validation.interface import Curve, Findings, Plot, Row, Subject
from fusepot.validation.report import Context

NAN = float("nan")
NAMES = ("dft", "<sequential> & co", "fused")
SOURCE = "Souvatzis et al., PRL 99 <2007>"
MELTED = "the crystal is hcp no more: 0 % fcc, 12 % hcp"


@dataclass(frozen=True)
class Section:
    """A check that needs no runs."""

    name: str
    title: str
    description: str = "NVT & <more>."

    def runs(self, subject):
        return []

    def findings(self, subjects, results):
        raise NotImplementedError


def subjects(folder: Path) -> list[Subject]:
    """With a file of one byte each."""
    for k, _ in enumerate(NAMES):
        (folder / f"{k}.fusepot").write_bytes(bytes([k]))
    return [Subject(name, folder / f"{k}.fusepot") for k, name in enumerate(NAMES)]


def lattice_rows(values: dict[str, list[float]], limit: float | None = 0.2) -> list[Row]:
    """A at 300 and 900 K; experiment has 2.95 and 2.96 Å. numpy's numbers, as checks have them."""
    return [
        Row(
            "a", f"{kelvin} K", name, "Å", np.float64(value), 4.2e-4, reference, SOURCE, limit,
            problem="" if np.isfinite(value) else MELTED,
        )
        for name, pair in values.items()
        for kelvin, reference, value in zip((300, 900), (2.95, 2.96), pair, strict=True)
    ]  # fmt: skip


def findings() -> list[tuple[Section, Findings]]:
    """Lattice constants one of which melted, two experiments for one condition, bands, and nothing at all."""
    rows = lattice_rows({NAMES[0]: [2.9622, NAN], NAMES[1]: [2.9506, 2.9611], NAMES[2]: [2.9524, 2.9640]})
    x = np.array([300.0, 900.0])
    curves = [
        Curve(NAMES[0], x, np.array([2.9622, NAN]), np.array([4e-4, NAN]), "points"),
        Curve(NAMES[1], x, np.array([2.9506, 2.9611]), np.array([4e-4, 4e-4]), "points"),
        Curve(NAMES[2], x, np.array([NAN, NAN]), np.array([NAN, NAN]), "points"),
        Curve("experiment", x, np.array([2.95, 2.96]), style="reference"),
    ]
    path = np.linspace(0, 2, 30)
    bands = [Curve(name, path, k * 3 + 2 * np.sin(path) - 0.1) for name in NAMES for k in range(2)]
    elastic = [
        Row("C44", "bcc 1273 K", name, "GPa", 37.512, 2.34, reference, source, None, problem="correlated blocks")
        for name in NAMES
        for reference, source in ((37.5, "Ledbetter"), (33.6, "Fisher"))
    ]
    static = [Row("energy", "hcp", NAMES[0], "eV/atom", -6.6333333), Row("modes", "hcp", NAMES[2], "", 0.0)]
    return [
        (Section("lattice", "Lattice constants"), Findings(rows, [Plot("a", "a of hcp", "T (K)", "a (Å)", curves)])),
        (Section("bcc", "Elastic constants"), Findings(elastic, (), ["Remark with <b>."])),
        (
            Section("phonons", "Phonons"),
            Findings(static, [Plot("A", "Bands", "", "THz", bands, [(0, "Γ"), (1.2, "M"), (2, "K")])]),
        ),
        (Section("none", "Nothing at all"), Findings(())),
    ]


def context(folder: Path) -> Context:
    experiment = folder / "ti.toml"
    experiment.write_text('element = "Ti"\n')
    return Context("Titanium <report>", "quick", experiment, {"LAMMPS": "2025", "fusepot": "0.1"}, "2026-01-02", "Ti")
