"""The paper's public data set, by a synthetic copy of its layout."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import labelled
import structures
from fusepot.data import load_dataset, npy, split_in_order, verify_published
from fusepot.data.npy import git_blob_id
from fusepot.errors import DataError
from fusepot.potential import predict, predict_many


@pytest.fixture
def folder(tmp_path):
    """Ten triclinic cells labelled by Lennard-Jones; the virial in DeePMD's sign, minus the strain derivative."""
    cells = [structures.triclinic(skew=0.3, seed=k) for k in range(10)]
    found, _ = predict_many(labelled.teacher(), cells)
    arrays = {
        "box": np.array([s.cell.ravel() for s in cells]),
        "coord": np.array([s.positions.ravel() for s in cells]),
        "energy": np.array([p.energy for p in found]),
        "force": np.array([p.forces.ravel() for p in found]),
        "virial": np.array([-p.virial.ravel() for p in found]),
        "types": np.array([0, 1] * 5),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def test_cells_labels_and_signs(folder):
    dataset = load_dataset(folder)
    assert len(dataset) == 10
    assert dataset.elements == ("Ti",)
    # A transposed cell would change all of these.
    predictions, _ = predict_many(labelled.teacher(), [s.structure for s in dataset.samples])
    for k, (sample, expected) in enumerate(zip(dataset.samples, predictions, strict=True)):
        assert sample.has == (True, True, k % 2 == 0)  # only uniformly deformed cells carry a virial
        np.testing.assert_allclose(sample.energy, expected.energy)
        np.testing.assert_allclose(sample.forces, expected.forces, atol=1e-12)
    # The sign, from the energy itself: stretch the cell along x.
    sample, step = dataset.samples[0], 1e-5
    strain = np.zeros((3, 3))
    strain[0, 0] = step
    energies = [predict(labelled.teacher(), sample.structure.strained(e)).energy for e in (strain, -strain)]
    slope = (energies[0] - energies[1]) / (2 * step)
    np.testing.assert_allclose(sample.stress[0, 0] * sample.structure.volume, slope, rtol=1e-6)


def test_the_split_of_the_paper(folder):
    split = split_in_order(load_dataset(folder), fractions=(0.7, 0.1, 0.2))
    assert [len(part) for part in split] == [7, 1, 2]


def test_git_blob_id_is_gits(folder, tmp_path):
    content = (folder / "box.npy").read_bytes()
    try:
        command = ["git", "hash-object", "--no-filters", str(folder / "box.npy")]
        expected = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        pytest.skip("no git here")
    assert git_blob_id(content) == expected


def test_verification_accepts_the_published_and_names_the_damaged_file(folder, monkeypatch):
    with pytest.raises(DataError, match=r"box\.npy: got git blob .* expected 7124fb"):
        verify_published(folder)
    ids = {name: git_blob_id((folder / name).read_bytes()) for name in npy.PUBLISHED}
    monkeypatch.setattr(npy, "PUBLISHED", ids)
    verify_published(folder)
    content = bytearray((folder / "force.npy").read_bytes())
    content[-1] ^= 1
    (folder / "force.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"force\.npy"):
        verify_published(folder)


def test_damage(folder):
    energies = np.load(folder / "energy.npy")
    np.save(folder / "energy.npy", energies[:-1])
    with pytest.raises(DataError, match=r"box\.npy: got shape \(10, 9\)"):
        load_dataset(folder)
    energies[4] = np.nan
    np.save(folder / "energy.npy", energies)
    with pytest.raises(DataError, match="structure 4: got energy: got NaN"):
        load_dataset(folder)
    np.save(folder / "energy.npy", np.array([object()] * 10))
    with pytest.raises(DataError, match=r"energy\.npy.*cannot read"):
        load_dataset(folder)
    (folder / "energy.npy").unlink()
    with pytest.raises(DataError, match=r"energy\.npy: got no such file"):
        load_dataset(folder)


def test_a_box_without_volume_is_refused(folder):
    box = np.load(folder / "box.npy")
    box[3] = 0
    np.save(folder / "box.npy", box)
    with pytest.raises(DataError, match="structure 3"):
        load_dataset(folder)


def test_types_are_kinds(folder):
    dataset = load_dataset(folder)
    assert dataset.config_types == ("bulk", "deformed")
