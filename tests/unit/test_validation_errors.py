"""Errors on a test set as LAMMPS computes them, against ``predict``; which set it is; files from and to LAMMPS."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest

import labelled
import potentials
import structures
from checked import checked
from fusepot.data import load_dataset
from fusepot.errors import FusepotError, InputError
from fusepot.potential import predict, predict_many
from fusepot.potential_file import load_potential, save_potential
from fusepot.samples import rotation
from fusepot.structure import Structure
from fusepot.validation.analysis.held_out import held_out
from fusepot.validation.analysis.lammps_data import dump_file, periodic, served_predictions
from fusepot.validation.analysis.parity import errors
from fusepot.validation.checks.errors import ErrorsCheck, ErrorsSection
from fusepot.validation.interface import Subject

SHIPPED = Path(__file__).parents[2] / "potentials/ti-pbe-nep/potential.fusepot"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The shipped potential, and a wrong one for comparison, on the test set of the shipped one."""
    folder = tmp_path_factory.mktemp("errors")
    potential = load_potential(SHIPPED)
    shifted = replace(
        potential,
        reference_energies=(potential.reference_energies[0] + 0.25,),
        provenance={**potential.provenance, "energy_shift_eV_per_atom": [0.25]},
    )
    save_potential(shifted, folder / "shifted.fusepot")
    subjects = [Subject("ours", SHIPPED), Subject("shifted", folder / "shifted.fusepot")]
    check = ErrorsCheck("errors", ErrorsSection(), folder)
    folders = checked(folder / "runs", check, subjects)
    return {"potential": potential, "check": check, "subjects": subjects, "folders": folders}


def test_lammps_says_what_predict_says(ours):
    """Triclinic cells of 2 to 16 atoms, smaller than the cutoff, in float32."""
    data = held_out([ours["potential"].provenance], remedy="").dataset
    cells = [sample.structure for sample in data.samples]
    served = served_predictions(ours["folders"].path(ours["check"].runs(ours["subjects"][0])[0]), cells, gap=6.0)
    assert any(np.abs(np.tril(cell.cell, -1)).max() > 0.1 for cell in cells)
    for cell, found in zip(cells, served, strict=True):
        expected = predict(ours["potential"], cell)
        assert abs(found.energy - expected.energy) < 1e-6 * abs(expected.energy)
        for name in ("forces", "stress", "virial"):
            got, want = getattr(found, name), getattr(expected, name)
            # Forces that are zero by symmetry are as exact as the largest ones, some 1 eV/Å.
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * max(np.abs(want).max(), 0.3), err_msg=name)


def test_rows_are_errors_of_predict(ours):
    data = held_out([ours["potential"].provenance], remedy="").dataset
    expected = errors(data.samples, predict_many(ours["potential"], [s.structure for s in data.samples])[0])
    findings = ours["check"].findings(ours["subjects"], ours["folders"])
    rows = {(row.subject, row.quantity, row.condition): row for row in findings.rows}
    for name in ("energy", "forces", "stress", "virial"):
        for kind, part in {"all": expected, **expected.config_types}.items():
            error = getattr(part, name)
            for measure, value in (("RMSE", error.rmse), ("MAE", error.mae)):
                row = rows["ours", f"{name} {measure}", f"{kind} {part.structures}"]
                assert row.unit == error.unit
                assert row.value == pytest.approx(value, rel=1e-3, abs=1e-3)
    # The energy shift is seen, and nothing else is.
    assert rows["shifted", "energy MAE", "all 21"].value == pytest.approx(250, rel=0.01)
    assert rows["shifted", "forces RMSE", "all 21"].value == rows["ours", "forces RMSE", "all 21"].value
    assert [("shifted" in remark, "0.2500 eV" in remark) for remark in findings.remarks if "shift of" in remark] == [
        (True, True)
    ]
    energies, forces = findings.plots
    assert [curve.label for curve in energies.curves] == ["ours", "shifted", "labels"]
    assert len(energies.curves[0].x) == 21
    assert len(forces.curves[0].x) == 3 * sum(len(s.structure) for s in data.samples)


@pytest.fixture(scope="module")
def alloys(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Two elements, slabs, clusters, missing labels, left-handed cells, and a potential of one element only."""
    folder = tmp_path_factory.mktemp("alloys")
    samples = [s for s in labelled.dataset().samples if s.has != (False, False, False)]
    labelled.write_extxyz(folder / "set.extxyz", samples)
    potential = potentials.lennard_jones(("Ti", "Al"), cutoff=4.5)
    save_potential(potential, folder / "both.fusepot")
    save_potential(potentials.lennard_jones(("Ti",), cutoff=4.5), folder / "one.fusepot")
    subjects = [Subject("both", folder / "both.fusepot"), Subject("one", folder / "one.fusepot")]
    check = ErrorsCheck("errors", ErrorsSection(data="set.extxyz"), folder)
    return {
        "potential": potential, "check": check, "subjects": subjects, "data": load_dataset(folder / "set.extxyz"),
        "folders": checked(folder / "runs", check, subjects),
    }  # fmt: skip


def test_any_element_and_periodicity(alloys):
    cells = [sample.structure for sample in alloys["data"].samples]
    assert {tuple(cell.pbc) for cell in cells} == {(True,) * 3, (True, True, False), (False,) * 3}
    folder = alloys["folders"].folder(alloys["check"].runs(alloys["subjects"][0])[0])
    for cell, found in zip(cells, served_predictions(folder, cells, gap=5.5), strict=True):
        expected = predict(alloys["potential"], cell)
        assert found.energy == pytest.approx(expected.energy, rel=1e-11)
        np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(found.stress, expected.stress, rtol=2e-7, atol=1e-10)


def test_a_run_that_failed_has_no_number(alloys):
    findings = alloys["check"].findings(alloys["subjects"], alloys["folders"])
    failed = [row for row in findings.rows if row.subject == "one"]
    assert len(failed) == 4
    assert all(np.isnan(row.value) and "got Al" in row.problem for row in failed)
    assert {curve.label for plot in findings.plots for curve in plot.curves} == {"both", "labels"}


def test_files_of_other_structures_are_refused(alloys):
    cells = [sample.structure for sample in alloys["data"].samples]
    folder = alloys["folders"].folder(alloys["check"].runs(alloys["subjects"][0])[0])
    with pytest.raises(FusepotError, match="other structures"):
        served_predictions(folder, cells[:-1], gap=5.5)


def test_dump_file_is_what_ase_reads():
    turned = structures.hcp(rattle=0.2)
    turn = rotation()
    turned = Structure(turned.positions @ turn.T, turned.numbers, turned.cell @ turn.T, turned.pbc)
    mirrored = Structure(-turned.positions, turned.numbers, -turned.cell, turned.pbc)
    assert np.linalg.det(turned.cell) * np.linalg.det(mirrored.cell) < 0
    cells = [turned, mirrored]
    for cell, read in zip(
        cells,
        ase.io.read(io.StringIO(dump_file(cells, ["Ti"], gap=0.0)), ":", format="lammps-dump-text", specorder=["Ti"]),
        strict=True,
    ):
        assert np.abs(np.triu(read.cell.array, 1)).max() < 1e-12
        np.testing.assert_allclose(read.get_all_distances(mic=True), cell.to_ase().get_all_distances(mic=True))
        np.testing.assert_allclose(np.abs(np.linalg.det(read.cell.array)), cell.volume)


def test_open_directions_get_a_gap():
    slab = structures.slab()
    box = periodic(slab, 7.0)
    assert box.pbc.all()
    axis = int(np.flatnonzero(~slab.pbc)[0])
    height = np.abs(np.linalg.inv(box.cell)[:, axis] ** 2).sum() ** -0.5
    normal = np.linalg.inv(box.cell)[:, axis] * height
    assert height - np.ptp(slab.positions @ normal) == pytest.approx(7.0)


def test_data_must_be_named_where_the_potential_does_not(tmp_path):
    save_potential(potentials.lennard_jones(), tmp_path / "lj.fusepot")
    check = ErrorsCheck("errors", ErrorsSection(), tmp_path)
    with pytest.raises(InputError, match=r"\[errors\] data = .*lj.fusepot"):
        check.runs(Subject("lj", tmp_path / "lj.fusepot"))


def test_data_that_changed_since_the_training_are_refused():
    provenance = load_potential(SHIPPED).provenance
    changed = {**provenance, "data": {**provenance["data"], "sha256": "0" * 64}}
    with pytest.raises(InputError, match="changed since the training"):
        held_out([changed], remedy="Name it.")
    other = {**provenance, "config": {**provenance["config"], "data": {**provenance["config"]["data"], "seed": 5}}}
    with pytest.raises(InputError, match="members were trained on different data"):
        held_out([provenance, other], remedy="Name it.")
