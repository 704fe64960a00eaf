"""Phonons through LAMMPS and phonopy against frozen phonons and elastic constants of ``predict`` on other supercells.

The crystal is Lennard-Jones hcp whose cutoff lies between the second and the third shell, so that the smallest
supercell of the check holds all force constants, and no interpolation blurs the comparison.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from phonopy import Phonopy

import potentials
from checked import checked
from fusepot.errors import DataError
from fusepot.potential import predict
from fusepot.potential_file import save_potential
from fusepot.structure import FloatArray, Structure
from fusepot.units import EV_FS2_PER_A2_AMU, GPA_PER_EV_PER_A3
from fusepot.validation.analysis.lammps_data import relaxed, served_predictions, stretched
from fusepot.validation.analysis.lattice_dynamics import force_constants, hcp, supercells
from fusepot.validation.checks.phonons import PhononsCheck, PhononsSection
from fusepot.validation.interface import Subject

POTENTIAL = potentials.lennard_jones(cutoff=4.35)  # Å; a is about 2.84
MASS = 47.867
THZ = np.sqrt(1e6 / EV_FS2_PER_A2_AMU) / (2 * np.pi)  # of sqrt(eV / (Å^2 amu)); 1e3 THz are 1/fs
REPEAT = (3, 3, 2)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A relaxed crystal, and the same potential with a crystal that is stretched until it is unstable."""
    folder = tmp_path_factory.mktemp("phonons")
    save_potential(POTENTIAL, folder / "lj.fusepot")
    subject = Subject("lj", folder / "lj.fusepot")
    (folder / "measured.csv").write_text(
        "# by nobody\nq,frequency_THz,branch\nK,5.0,K highest\nK-M 0.25,6.0,\nM-K 0.75,6.5,\nA,4.0,\n"
    )
    section = PhononsSection(a=2.80, c=4.70, experiment="measured.csv", source="nobody", limit_percent=1000)
    check = PhononsCheck("phonons", section, "quick", folder, "Ti")
    folders = checked(folder / "runs", check, [subject])
    path = folders.folder(check.runs(subject)[0])
    rest = relaxed(path)
    start = hcp("Ti", a=2.80, c=4.70)
    cells = [stretched(cell, rest.stretch) for cell in supercells(start, REPEAT)]
    served = served_predictions(path, cells, gap=0.0)
    return {
        "folder": folder, "subject": subject, "check": check, "rest": rest, "cells": cells, "served": served,
        "findings": check.findings([subject], folders), "cell": stretched(start, rest.stretch),
        "phonopy": force_constants(start, REPEAT, rest.stretch, [prediction.forces for prediction in served]),
    }  # fmt: skip


def frequencies_at(phonopy: Phonopy, q: tuple[float, float, float]) -> FloatArray:
    phonopy.run_qpoints([q])
    return np.asarray(phonopy.qpoints.frequencies[0])


def rows(ours: dict) -> dict[str, float]:
    return {row.quantity: row.value for row in ours["findings"].rows}


def frozen(cell: Structure, repeat: tuple[int, int, int], q: tuple[float, float, float]) -> FloatArray:
    """(6,) THz by central differences of ``predict``'s forces in a supercell that holds whole waves of q."""
    crystal = Structure.from_ase(cell.to_ase().repeat(repeat))
    whole = (crystal.positions - np.tile(cell.positions, (np.prod(repeat), 1))) @ np.linalg.inv(cell.cell)
    phases = np.exp(2j * np.pi * (np.round(whole) @ q))
    step, matrix = 1e-4, np.zeros((6, 6), dtype=complex)
    for atom, axis in product(range(2), range(3)):
        shift = np.zeros_like(crystal.positions)
        shift[atom, axis] = step
        ahead, behind = (
            predict(POTENTIAL, Structure(crystal.positions + s, crystal.numbers, crystal.cell, crystal.pbc)).forces
            for s in (shift, -shift)
        )
        constants = (behind - ahead) / (2 * step)
        for other in range(2):
            matrix[3 * atom + axis, 3 * other : 3 * other + 3] = phases[other::2] @ constants[other::2]
    assert np.abs(matrix - matrix.conj().T).max() < 1e-5 * np.abs(matrix).max()
    squares = np.linalg.eigvalsh(matrix) / MASS
    return np.sign(squares) * np.sqrt(np.abs(squares)) * THZ


def test_lammps_says_what_predict_says(ours):
    assert len(ours["cells"]) == 3
    moved = ours["cells"][1].positions - ours["cells"][0].positions
    assert np.abs(moved).max() == pytest.approx(0.01, rel=0.05)  # stretched with the box
    for cell, found in zip(ours["cells"], ours["served"], strict=True):
        expected = predict(POTENTIAL, cell)
        assert found.energy == pytest.approx(expected.energy, rel=1e-11)
        np.testing.assert_allclose(found.forces, expected.forces, atol=1e-9)
    assert np.abs(predict(POTENTIAL, ours["cell"]).stress).max() * GPA_PER_EV_PER_A3 < 1e-4


@pytest.mark.parametrize(
    ("q", "repeat"), [((1 / 3, 1 / 3, 0), (3, 3, 1)), ((0, 0, 1 / 2), (1, 1, 2)), ((1 / 2, 0, 0), (2, 1, 1))]
)
def test_frequencies_are_those_of_frozen_phonons(ours, q, repeat):
    phonopy: Phonopy = ours["phonopy"]
    expected = frozen(ours["cell"], repeat, q)
    assert expected.min() > 1
    np.testing.assert_allclose(frequencies_at(phonopy, q), expected, rtol=5e-4)
    found = rows(ours)
    if q[2]:
        assert found["A transverse"] == pytest.approx(expected[:4].mean(), rel=5e-4)
        assert found["A longitudinal"] == pytest.approx(expected[4:].mean(), rel=5e-4)
    else:
        name = "M" if q[0] == 1 / 2 else "K"
        assert found[f"{name} lowest"] == pytest.approx(expected[0], rel=5e-4)
        assert found[f"{name} highest"] == pytest.approx(expected[-1], rel=5e-4)


def test_optical_modes(ours):
    """At Γ the two sublattices move against each other: one force constant along c, one in the plane."""
    shift = np.zeros((2, 3))
    found = rows(ours)
    for axis, name in ((0, "Γ optical, in plane"), (2, "Γ optical, along c")):
        shift[:] = 0
        shift[:, axis] = 1e-4, -1e-4
        cell = ours["cell"]
        pushed = Structure(cell.positions + shift, cell.numbers, cell.cell, cell.pbc)
        pulled = Structure(cell.positions - shift, cell.numbers, cell.cell, cell.pbc)
        constant = (predict(POTENTIAL, pulled).forces - predict(POTENTIAL, pushed).forces)[0, axis] / 2e-4
        assert found[name] == pytest.approx(np.sqrt(constant / MASS) * THZ, rel=5e-4)


def test_sound_is_as_fast_as_elastic_constants_say(ours):
    """Along c, without relaxation of sublattices: C33 = rho v^2 of the longitudinal, C44 of the transverse branches."""
    density = 2 * MASS / ours["cell"].volume * EV_FS2_PER_A2_AMU  # eV fs^2 / Å^5
    q = 0.02
    wave = q / ours["cell"].cell[2, 2]
    slow, fast, high = frequencies_at(ours["phonopy"], (0, 0, q))[:3] / wave * 1e-3  # Å/fs
    assert slow == pytest.approx(fast)
    for speed, (a, b) in ((high, (2, 2)), (slow, (0, 2))):
        strain, step = np.zeros((3, 3)), 1e-4
        strain[a, b] += step / 2
        strain[b, a] += step / 2
        ahead, behind = (predict(POTENTIAL, ours["cell"].strained(s * strain)).stress[a, b] for s in (1, -1))
        assert density * speed**2 == pytest.approx((ahead - behind) / (2 * step), rel=5e-3)


def test_acoustic_sum_rule_and_density(ours):
    constants = ours["phonopy"].force_constants
    assert np.abs(constants.sum(axis=1)).max() < 1e-8 * np.abs(constants).max()
    assert np.abs(frequencies_at(ours["phonopy"], (0, 0, 0))[:3]).max() < 1e-3
    density = ours["findings"].plots[1].curves[0]
    assert np.trapezoid(density.y, density.x) == pytest.approx(3, rel=0.02)
    assert rows(ours)["lowest frequency"] > -1e-3
    assert not ours["findings"].remarks


def test_dispersion_plot(ours):
    plot = ours["findings"].plots[0]
    assert [label for _, label in plot.ticks] == ["Γ", "K", "M", "Γ", "A"]
    curve, measured = plot.curves
    at = {label: place for place, label in plot.ticks}  # the second Γ
    frequencies = curve.y[np.isclose(curve.x, at["A"])]
    np.testing.assert_allclose(np.sort(frequencies), frequencies_at(ours["phonopy"], (0, 0, 0.5)), atol=1e-6)
    assert np.isnan(curve.y).sum() == 6
    quarter = at["K"] + 0.25 * (at["M"] - at["K"])
    np.testing.assert_allclose(measured.x, [at["K"], quarter, quarter, at["A"]])
    assert (measured.style, measured.label) == ("marks", "nobody")
    judged = [row for row in ours["findings"].rows if row.reference is not None]
    assert [(row.quantity, row.reference, row.source, row.passed) for row in judged] == [
        ("K highest", 5.0, "nobody", True)
    ]


def test_imaginary_modes_are_flagged(ours):
    check = PhononsCheck("stretched", PhononsSection(a=3.35, c=5.47, relax=False), "quick", ours["folder"], "Ti")
    folders = checked(ours["folder"] / "runs", check, [ours["subject"]])
    findings = check.findings([ours["subject"]], folders)
    row = findings.rows[-1]
    assert row.value < -1
    assert "imaginary modes" in row.problem
    assert "not stable" in findings.remarks[0]


def test_a_run_that_failed_has_no_number(ours):
    (ours["folder"] / "broken.fusepot").write_bytes((ours["folder"] / "lj.fusepot").read_bytes()[:-8])
    broken = Subject("broken", ours["folder"] / "broken.fusepot")
    subjects = [broken, ours["subject"]]
    findings = ours["check"].findings(subjects, checked(ours["folder"] / "runs", ours["check"], subjects))
    assert np.isnan(findings.rows[0].value)
    assert "truncated or damaged" in findings.rows[0].problem
    assert [row.value for row in findings.rows[1:]] == [row.value for row in ours["findings"].rows]


@pytest.mark.parametrize("line", ["X,5.0,", "K-A 0.5,5.0,", "K,fast,", "K-M half,5.0,"])
def test_measured_frequencies_that_make_no_sense(ours, line):
    path: Path = ours["folder"] / "wrong.csv"
    path.write_text(f"q,frequency_THz,branch\n{line}\n")
    section = PhononsSection(a=2.80, c=4.70, experiment=path.name)
    with pytest.raises(DataError, match=r"wrong.csv.*expected q"):
        PhononsCheck("phonons", section, "quick", ours["folder"], "Ti").findings([], None)


def test_supercell_of_the_paper():
    cells = supercells(hcp("Ti", a=2.95, c=4.68), (5, 5, 3))
    assert [len(cell) for cell in cells] == [150, 150, 150]
    moved = [np.linalg.norm(cell.positions - cells[0].positions, axis=1) for cell in cells[1:]]
    assert all(np.count_nonzero(m > 1e-6) == 1 and m.max() == pytest.approx(0.01) for m in moved)
    reference = bulk("Ti", "hcp", a=2.95, c=4.68).repeat((5, 5, 3))
    assert cells[0].volume == pytest.approx(reference.get_volume())
