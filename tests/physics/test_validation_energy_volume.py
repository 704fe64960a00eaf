"""Energies against volume as LAMMPS computes them, against ``predict``; the fit against its own equation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from scipy.optimize import minimize, minimize_scalar

from checked import checked
from fusepot.data import load_dataset, load_measurements
from fusepot.errors import ConfigError
from fusepot.potential import Potential, predict
from fusepot.potential_file import load_potential
from fusepot.structure import Structure
from fusepot.toml_files import parse_section
from fusepot.units import GPA_PER_EV_PER_A3
from fusepot.validation.analysis.birch_murnaghan import Points, fit_minimum
from fusepot.validation.checks.energy_volume import (
    CRYSTALS,
    POINTS,
    EnergyVolumeCheck,
    EnergyVolumeSection,
    read_points,
)
from fusepot.validation.interface import RunFailed, Subject

FILE = Path(__file__).parents[2] / "potentials/ti-pbe-nep/potential.fusepot"
LABELLED = EnergyVolumeSection(volumes_A3=(14, 22), data="ti_pbe", table="hcp_titanium", limit_percent=3)


@pytest.fixture(scope="module")
def nep() -> Potential:
    return load_potential(FILE, dtype="float64")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The shipped potential, and a file that is none."""
    folder = tmp_path_factory.mktemp("energy_volume")
    (folder / "broken.fusepot").write_text("nothing")
    subjects = [Subject("ours", FILE), Subject("broken", folder / "broken.fusepot")]
    check = EnergyVolumeCheck("energy_volume", LABELLED, folder)
    folders = checked(folder / "runs", check, subjects)
    path = folders.folder(check.runs(subjects[0])[0]) / "run.energies"
    return {"check": check, "path": path, "findings": check.findings(subjects, folders)}


def cell(crystal: str, volume: float, ratio: float) -> Structure:
    """A primitive cell, other than that of the deck."""
    if crystal == "hcp":
        a = (4 * volume / (np.sqrt(3) * ratio)) ** (1 / 3)
        return Structure.from_ase(bulk("Ti", "hcp", a=a, c=ratio * a))
    return Structure.from_ase(bulk("Ti", crystal, a=((4 if crystal == "fcc" else 2) * volume) ** (1 / 3)))


def energy(potential: Potential, crystal: str, volume: float, ratio: float = 1.0) -> float:
    found = cell(crystal, volume, ratio)
    return predict(potential, found).energy / len(found)


def test_lammps_says_what_predict_says(ours, nep):
    lines = [line.split() for line in ours["path"].read_text().splitlines()[1:]]
    assert [line[0] for line in lines] == [crystal for crystal in ("hcp", "fcc", "bcc") for _ in range(POINTS)]
    for name in CRYSTALS:
        rows = np.array([line[1:] for line in lines if line[0] == name], dtype=float)
        np.testing.assert_allclose(rows[:, 0], np.linspace(14, 22, POINTS), rtol=1e-12)
        for volume, found, ratio, pressure in rows:
            structure = cell(name, volume, ratio)
            expected = predict(nep, structure)
            assert structure.volume / len(structure) == pytest.approx(volume)
            assert found == pytest.approx(expected.energy / len(structure), rel=1e-6)
            own = -np.trace(expected.stress) / 3 * GPA_PER_EV_PER_A3
            assert pressure / 1e4 == pytest.approx(own, abs=1e-3), (name, volume)


def test_hcp_has_the_ratio_of_the_relaxed_crystal(ours, nep):
    """And its energy is the lowest one with respect to both lattice constants."""
    ratio = float(ours["path"].read_text().splitlines()[1].split()[3])
    best = minimize(lambda x: energy(nep, "hcp", x[0], x[1]), [17.5, 1.6], method="Nelder-Mead", tol=1e-10)
    assert ratio == pytest.approx(best.x[1], abs=1e-4)
    relaxed = minimize_scalar(lambda v: energy(nep, "hcp", v, ratio), bounds=(16, 19), method="bounded")
    assert relaxed.fun == pytest.approx(best.fun, abs=1e-6)


def test_rows(ours, nep):
    findings = ours["findings"]
    rows = {(row.quantity, row.condition): row for row in findings.rows if row.subject == "ours"}
    ratio = float(ours["path"].read_text().splitlines()[1].split()[3])
    for crystal in CRYSTALS:
        found = minimize_scalar(lambda v, c=crystal: energy(nep, c, v, ratio), bounds=(16, 19), method="bounded")
        assert rows["volume", crystal].value == pytest.approx(found.x, rel=1e-3)
        step = 0.02  # the curvature there, without any equation of state
        second = sum(
            w * energy(nep, crystal, found.x + k * step, ratio) for k, w in ((-1, 1), (0, -2), (1, 1))
        ) / step**2  # fmt: skip
        assert rows["bulk modulus", crystal].value == pytest.approx(found.x * second * GPA_PER_EV_PER_A3, rel=0.03)
        if crystal != "hcp":
            hcp = minimize_scalar(lambda v: energy(nep, "hcp", v, ratio), bounds=(16, 19), method="bounded")
            assert rows["energy over hcp", crystal].value == pytest.approx(1e3 * (found.fun - hcp.fun), abs=0.2)
    assert rows["volume", "bcc"].passed
    assert rows["volume", "fcc"].reference is None  # three labels, all on one side
    assert rows["energy", "hcp"].reference == pytest.approx(-6.657, abs=1e-3)
    table = {m.quantity: m.value for m in load_measurements("hcp_titanium") if m.temperature_K == 4}
    measured = rows["volume", "hcp, measured at 4 K"]
    assert measured.reference == pytest.approx(bulk("Ti", "hcp", a=table["a"], c=table["c"]).get_volume() / 2)
    assert any("fcc" in remark for remark in findings.remarks)


def test_plots(ours):
    plots = {plot.name: plot for plot in ours["findings"].plots}
    labels = [s for s in load_dataset("ti_pbe").samples if s.config_type == "bcc_ev"]
    own, reference, marked = plots["energy_volume_bcc"].curves
    assert (own.label, reference.style, marked.style) == ("ours", "reference", "marks")
    assert np.isfinite(marked.y).sum() == len(labels)
    np.testing.assert_allclose(np.interp(marked.x, reference.x, reference.y), marked.y, atol=0.5)
    # Both relative to their own hcp minimum: about 67 meV/atom at the lowest point.
    assert own.y.min() == pytest.approx(reference.y.min(), abs=3)
    assert plots["energy_volume_hcp"].curves[0].y.min() == pytest.approx(0, abs=1)


def test_a_run_that_failed_has_no_number(ours):
    (row,) = [row for row in ours["findings"].rows if row.subject == "broken"]
    assert np.isnan(row.value)
    assert "is not a potential file" in row.problem


def birch_murnaghan(volumes: np.ndarray) -> np.ndarray:
    """Third order, as in Phys. Rev. 71, 809 (1947): V0 = 17 Å^3, E0 = -5 eV, B0 = 0.7 eV/Å^3, B0' = 3.5."""
    x = (17 / volumes) ** (2 / 3)
    return -5 + 9 * 17 * 0.7 / 16 * ((x - 1) ** 3 * 3.5 + (x - 1) ** 2 * (6 - 4 * x))


def test_fit_finds_the_curve_it_is_given():
    volumes = np.linspace(14, 21, 9)
    found = fit_minimum(Points(volumes, birch_murnaghan(volumes)))
    assert found == pytest.approx((17, -5, 0.7 * GPA_PER_EV_PER_A3), rel=1e-5)


@pytest.mark.parametrize(
    ("volumes", "reason"),
    [
        (np.linspace(18, 22, 9), "no minimum"),
        (np.linspace(14, 16.5, 9), "no minimum"),
        (np.array([13.0, 17, 21]), "few"),
    ],
)
def test_no_fit_without_a_minimum(volumes, reason):
    with pytest.raises(RunFailed, match=reason):
        fit_minimum(Points(volumes, birch_murnaghan(volumes)))


def test_tables_that_are_cut_short(tmp_path):
    (tmp_path / "run.energies").write_text("# crystal\nhcp 14 -6.3 1.58 3\n")
    with pytest.raises(RunFailed, match="no whole table"):
        read_points(tmp_path / "run.energies")
    with pytest.raises(RunFailed, match="no whole table"):
        read_points(tmp_path / "nothing")


def test_volumes_in_order():
    with pytest.raises(ConfigError, match="smallest volume first"):
        parse_section({"volumes_A3": [22, 14]}, EnergyVolumeSection)
