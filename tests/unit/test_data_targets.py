"""Experiment files: the shipped ones, targets from tables, values and rows, and what their hash follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiment_files import C11, CRYSTAL, HEAD, HEADER, PLAIN, ROWS, load
from fusepot.data import load_experiment
from fusepot.data.extxyz import shipped
from fusepot.observables import find_observable

EXAMPLES = Path(__file__).parents[2] / "examples"


# ------------------------------------------------------------------------------------------------- the shipped examples

# Rows of the table, typed off: T, a, c, C11, C12, C13, C33, C44.
TITANIUM = """
 23 2.94404 4.67803 175.9 86.7 68.2 190.5 50.8
323 2.95125 4.67942 160.9 92.5 69.1 179.5 46.2
623 2.95912 4.68687 144.2 97.3 69.1 167.8 40.3
923 2.96701 4.69433 129.9 99.2 68.8 157.6 33.7
"""


def test_titanium():
    experiment = load_experiment(EXAMPLES / "titanium" / "experiment.toml")
    expected = np.array([line.split() for line in TITANIUM.strip().splitlines()], dtype=float)
    assert [c.temperature_K for c in experiment.conditions] == expected[:, 0].tolist()
    for condition, (_, a, c, *constants) in zip(experiment.conditions, expected, strict=True):
        np.testing.assert_allclose(condition.structure.cell, 4 * np.diag([a, np.sqrt(3) * a, c]), rtol=1e-12)
        assert set(condition.structure.symbols) == {"Ti"}
        assert len(condition.structure) == 256
        *elastic, basal, axial = condition.targets
        assert [t.observable for t in elastic] == [f"{n}_adiabatic" for n in ("C11", "C12", "C13", "C33", "C44")]
        assert [t.value for t in elastic] == constants
        assert {(t.unit, t.weight, t.uncertainty) for t in elastic} == {("GPa", 1.0, None)}
        assert all("Simmons & Wang" in t.source and "interpolated" not in t.source for t in elastic)
        assert [(p.observable, p.value, p.weight) for p in (basal, axial)] == [
            ("pressure_basal", 0.0, 10.0),
            ("pressure_axial", 0.0, 10.0),
        ]


def test_copper():
    experiment = load_experiment(EXAMPLES / "copper" / "experiment.toml")
    (condition,) = experiment.conditions
    assert condition.temperature_K == 300
    np.testing.assert_allclose(condition.structure.cell, np.eye(3) * 4 * 3.615, rtol=1e-12)
    assert len(condition.structure) == 256
    assert {t.observable: t.value for t in condition.targets} == {
        "C11_adiabatic": 168.4, "C12_adiabatic": 121.4, "C44_adiabatic": 75.4, "pressure": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["titanium", "copper"])
def test_observables_of_the_examples_exist_in_these_units(name):
    experiment = load_experiment(EXAMPLES / name / "experiment.toml")
    for target in experiment.conditions[0].targets:
        assert find_observable(target.observable, symmetry=experiment.symmetry).unit == target.unit


# -------------------------------------------------------------------------------------------------------------- targets


def test_values_tables_and_default_weights(tmp_path):
    first, second = load(tmp_path).conditions
    c11, pressure = first.targets
    assert c11.value == pytest.approx(162.4 + 2 / 25 * (160.9 - 162.4))
    assert c11.source.endswith("(interpolated between 298 and 323 K)")
    assert (c11.weight, c11.unit, c11.uncertainty) == (2.0, "GPa", None)
    assert (pressure.value, pressure.weight, pressure.uncertainty, pressure.source) == (0.1, 4.0, 0.5, "me")
    assert second.targets[0].value == pytest.approx(146.8 + 27 / 50 * (144.2 - 146.8))
    assert second.targets[1] == pressure


def test_targets_of_one_temperature(tmp_path):
    text = PLAIN.replace("value = 0.1", "value = 0.1\ntemperature_K = 600")
    first, second = load(tmp_path, text).conditions
    assert [t.observable for t in first.targets] == ["C11"]
    assert [t.observable for t in second.targets] == ["C11", "pressure"]
    # At 300 K alone the other is not needed, and no mistake either.
    (only,) = load(tmp_path, text, temperatures_K=(300,)).conditions
    assert only.targets == first.targets


def test_rows_keep_their_sources(tmp_path):
    rows = (
        "# comment\n" + HEADER + '300,C33,180.5,0.5,GPa,"Smith, 1990",\n\n# another\n'
        "600,C33,170.0,,GPa,Jones,3.0\n600,energy_per_atom,-5,0.1,eV,Jones,7\n"
    )
    first, second = load(tmp_path, HEAD + ROWS + CRYSTAL, rows=rows).conditions
    (one,) = first.targets
    assert (one.value, one.weight, one.uncertainty, one.source) == (180.5, 4.0, 0.5, "Smith, 1990")
    assert [(t.observable, t.value, t.weight, t.unit) for t in second.targets] == [
        ("C33", 170.0, 3.0, "GPa"), ("energy_per_atom", -5.0, 7.0, "eV"),
    ]  # fmt: skip
    without = "temperature_K,unit,observable,value,uncertainty,source\n" + "".join(
        f"{t},GPa,C33,180,2,me\n" for t in (300, 600)
    )
    for condition in load(tmp_path, HEAD + ROWS + CRYSTAL + C11, rows=without).conditions:
        assert [(t.observable, t.weight) for t in condition.targets] == [("C11", 2.0), ("C33", 0.25)]


def test_tables_beside_the_file(tmp_path):
    (tmp_path / "mine.csv").write_bytes(shipped("hcp_titanium.csv").read_bytes())
    mine = load(tmp_path, PLAIN.replace('"hcp_titanium"', '"mine.csv"'))
    assert mine.sha256 == load(tmp_path).sha256


# ----------------------------------------------------------------------------------------------------------------- hash


def test_the_hash_follows_numbers_and_nothing_else(tmp_path):
    sha256 = load(tmp_path).sha256
    assert len(sha256) == 64
    same = [
        "# a comment\n" + PLAIN,
        PLAIN.replace('source = "me"', 'source = "you"'),
        PLAIN.replace("uncertainty = 0.5", "uncertainty = 0.5\nweight = 4"),
    ]
    (tmp_path / "elsewhere").mkdir()
    assert {load(folder, text).sha256 for folder in (tmp_path, tmp_path / "elsewhere") for text in same} == {sha256}
    changed = [
        PLAIN.replace('symmetry = "hexagonal"\n', ""),
        PLAIN.replace("[300, 600]", "[300, 601]"),
        PLAIN.replace("[300, 600]", "[600, 300]"),
        PLAIN.replace("[2, 1, 1]", "[1, 2, 1]"),
        PLAIN.replace('"Ti"', '"Zr"'),
        PLAIN.replace('lattice = "hcp_titanium"', "lattice = {a = 2.95, c = 4.68}"),
        PLAIN.replace('lattice = "hcp_titanium"', "lattice = {a = 2.95001, c = 4.68}"),
        PLAIN.replace("value = 0.1", "value = 0.1000001"),
        PLAIN.replace("uncertainty = 0.5", "weight = 4.0"),
        PLAIN.replace("weight = 2.0", "weight = 2.0001"),
        PLAIN.replace('unit = "GPa"', 'unit = "bar"'),
        PLAIN.replace('"C11"', '"C11_adiabatic"\nquantity = "C11"'),
        PLAIN.replace('"C11"', '"C11"\nquantity = "C33"'),
        HEAD + CRYSTAL + C11,
    ]
    hashes = {load(tmp_path, text).sha256 for text in changed} | {load(tmp_path, temperatures_K=[300]).sha256}
    assert len(hashes - {sha256}) == len(changed) + 1
