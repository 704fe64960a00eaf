"""Labelled structures: read with their units and signs; damaged labels are refused by index."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest

import labelled
import structures
from fusepot.data import Dataset, Limits, label, load_dataset, reference_energies
from fusepot.data.checks import check, energy_deviations
from fusepot.errors import DataError, InputError


@pytest.fixture(scope="module")
def titanium() -> Dataset:
    return load_dataset("ti_pbe")


def test_shipped_titanium_has_the_labels_of_the_file(titanium):
    frames = ase.io.read(titanium.source, ":")
    assert len(titanium) == len(frames) >= 122
    assert titanium.elements == ("Ti",)
    assert {"hcp_strained", "bcc_thermal", "hcp_ev"} <= set(titanium.config_types)
    for sample, atoms in zip(titanium.samples, frames, strict=True):
        assert sample.has == (True, True, True)
        assert sample.energy == atoms.calc.results["energy"]
        np.testing.assert_array_equal(sample.forces, atoms.get_forces())
        np.testing.assert_allclose(sample.stress, atoms.get_stress(voigt=False), atol=1e-12)
        np.testing.assert_allclose(sample.virial, atoms.get_volume() * sample.stress)


def test_stress_is_the_slope_of_the_energy_with_volume(titanium):
    """dE/dV = trace(stress)/3 along the equation of state of the file itself: sign and unit."""
    samples = [s for s in titanium.samples if s.config_type == "hcp_ev"]
    samples = sorted(samples, key=lambda s: s.structure.volume)
    volumes = np.array([s.structure.volume for s in samples])
    fit = np.polynomial.Polynomial.fit(volumes, [s.energy for s in samples], 4).deriv()
    slopes = np.array([np.trace(s.stress) / 3 for s in samples])
    # The Pulay stress of plane waves shifts all of them a little: 400 eV, about 0.4 GPa.
    np.testing.assert_allclose(fit(volumes)[1:-1], slopes[1:-1], atol=0.006)
    assert slopes[0] < 0 < slopes[-1]


def test_a_round_trip_through_a_file_keeps_everything_and_what_is_missing(tmp_path):
    samples = labelled.dataset().samples
    read = load_dataset(labelled.write_extxyz(tmp_path / "all.extxyz", samples))
    assert [s.has for s in read.samples] == [s.has for s in samples]
    for got, expected in zip(read.samples, samples, strict=True):
        assert got.config_type == expected.config_type
        np.testing.assert_allclose(got.energy, expected.energy, rtol=1e-12)
        np.testing.assert_allclose(got.forces, expected.forces, atol=1e-7)
        np.testing.assert_allclose(got.stress, expected.stress, atol=1e-7)


def test_hash_follows_the_content(tmp_path, titanium):
    text = Path(titanium.source).read_text()
    (tmp_path / "a.extxyz").write_text(text)
    assert load_dataset(tmp_path / "a.extxyz").sha256 == titanium.sha256
    (tmp_path / "a.extxyz").write_text(text.replace("energy=-13.26", "energy=-13.27", 1))
    changed = load_dataset(tmp_path / "a.extxyz")
    assert changed.sha256 != titanium.sha256
    assert changed.content_hash() != titanium.content_hash()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("energy=", "energy=nan old=", 1), "energy"),
        (lambda text: text.replace("energy=", "energy=inf old=", 1), "energy"),
        (lambda text: text.replace("0.09322413", "nan", 1), "forces"),
        (lambda text: text.replace("0.09322413", "932.24130", 1), "932"),
        (lambda text: text.replace("0.09322413", "0.39322413", 1), "add up to"),
        (lambda text: text.replace("energy=-13.26", "energy=-361.1", 1), "eV/atom away"),
        (lambda text: text.replace('stress="-0.0248', 'stress="-7.0248', 1), "stress of 7"),
        (lambda text: text.replace("-0.014809791734917916", "-0.019", 1), "off-diagonal"),
        (lambda text: text.replace("1.66477818", "0.00000000", 1).replace("-0.01526947", "0.0", 1), ""),
        (lambda text: text.replace("stress=", "virial=", 1), "virial"),
    ],
)
def test_damage_is_named_by_file_index_and_kind(tmp_path, titanium, damage, message):
    path = tmp_path / "damaged.extxyz"
    text = Path(titanium.source).read_text()
    path.write_text(damage(text))
    assert path.read_text() != text
    if not message:  # sound but different
        load_dataset(path)
        return
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(path)
    assert "damaged.extxyz: structure 0 (config_type hcp_strained)" in str(caught.value)


def test_the_index_is_that_of_the_bad_structure(tmp_path):
    samples = list(labelled.dataset().samples)
    path = labelled.write_extxyz(tmp_path / "set.extxyz", samples)
    lines = path.read_text().splitlines(keepends=True)
    starts = np.cumsum([0, *(len(s.structure) + 2 for s in samples)])
    row = lines[starts[8] + 2].split()
    row[-1] = "nan"
    lines[starts[8] + 2] = " ".join(row) + "\n"
    path.write_text("".join(lines))
    with pytest.raises(DataError, match=r"structure 8 \(config_type alloy\).*forces: got NaN"):
        load_dataset(path)


def test_truncated_empty_foreign_and_missing_files(tmp_path, titanium):
    path = tmp_path / "x.extxyz"
    text = Path(titanium.source).read_text()
    path.write_text("\n".join(text.splitlines()[:7]))
    with pytest.raises(DataError, match=r"x\.extxyz"):
        load_dataset(path)
    path.write_text("")
    with pytest.raises(DataError, match=r"x\.extxyz"):
        load_dataset(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises(DataError, match=r"x\.extxyz"):
        load_dataset(path)
    path.write_text('1\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\nTi 0 0 0\n')
    with pytest.raises(DataError, match=r"x\.extxyz: structure 0.*labels: got none"):
        load_dataset(path)
    with pytest.raises(InputError, match="nowhere"):
        load_dataset(tmp_path / "nowhere.extxyz")


def test_labels_of_wrong_shape_are_refused():
    structure = structures.hcp()
    for labels in ({"forces": np.zeros((3, 3))}, {"stress": np.zeros(6)}, {"energy": np.zeros(2)}):
        with pytest.raises(DataError, match="shape"):
            label(structure, **labels)
    with pytest.raises(DataError, match="periodic"):
        label(structures.cluster(), stress=np.zeros((3, 3)))
    with pytest.raises(DataError, match="weight"):
        label(structure, energy=0.0, weight=-1.0)


def test_an_asymmetric_stress_is_refused_and_limits_are_adjustable():
    stress = np.zeros((3, 3))
    stress[0, 1] = 0.1
    sample = label(structures.hcp(), stress=stress)
    with pytest.raises(DataError, match="off-diagonal"):
        check([sample], source="here")
    check([sample], source="here", limits=Limits(asymmetry=0.2))


def test_robust_fit_ignores_the_outlier_of_an_alloy_set():
    samples = list(labelled.dataset().samples)
    check(samples, source="here")
    bad = 8
    samples[bad] = label(samples[bad].structure, energy=samples[bad].energy * 27.2, config_type="hartree")
    with pytest.raises(DataError, match=r"here: structure 8 \(config_type hartree\)"):
        check(samples, source="here")
    assert np.isnan(energy_deviations(samples)[1])


def test_reference_energies_recover_a_linear_energy():
    true = {"Ti": -7.25, "Al": -3.5}
    alloys = [structures.alloy((2, 2, k % 3 + 1), seed=k) for k in range(4)] + [structures.hcp()]
    samples = [label(s, energy=sum(true[e] for e in s.symbols)) for s in alloys]
    samples.append(label(structures.hcp(), forces=np.zeros((2, 3))))
    np.testing.assert_allclose(reference_energies(samples, ("Al", "Ti")), [-3.5, -7.25], atol=1e-10)
    # One composition only: not determined, but the sum is right and nothing blows up.
    a, b = reference_energies([samples[0]], ("Al", "Ti"))
    n = samples[0].structure.symbols.count("Al")
    assert np.isclose(n * a + (len(samples[0].structure) - n) * b, samples[0].energy)
    assert reference_energies(samples[-1:], ("Al", "Ti")) == (0.0, 0.0)
