"""Experiment files: crystals in measured cells, targets from tables, values and rows, and mistakes that are named."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from fusepot.data import Experiment, load_experiment
from fusepot.data.crystals import PROTOTYPES
from fusepot.data.extxyz import shipped
from fusepot.errors import ConfigError, DataError, FusepotError, InputError
from fusepot.observables import find_observable
from fusepot.structure import Structure

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = 'symmetry = "hexagonal"\ntemperatures_K = [300, 600]\n'
ROWS = 'rows = ["rows.csv"]\n'
CRYSTAL = '[crystal]\nprototype = "hcp"\nelement = "Ti"\nlattice = "hcp_titanium"\nrepeat = [2, 1, 1]\n'
C11 = '[[targets]]\nobservable = "C11"\ntable = "hcp_titanium"\nweight = 2.0\n'
PRESSURE = '[[targets]]\nobservable = "pressure"\nvalue = 0.1\nunit = "GPa"\nuncertainty = 0.5\nsource = "me"\n'
PLAIN = HEAD + CRYSTAL + C11 + PRESSURE
HEADER = "temperature_K,observable,value,uncertainty,unit,source,weight\n"


def load(folder: Path, text: str = PLAIN, *, rows: str | None = None, **options) -> Experiment:
    (folder / "e.toml").write_text(text)
    if rows is not None:
        (folder / "rows.csv").write_text(rows)
    return load_experiment(folder / "e.toml", **options)


def refused(folder: Path, text: str, *, rows: str | None = None, **options) -> FusepotError:
    with pytest.raises(FusepotError) as caught:
        load(folder, text, rows=rows, **options)
    return caught.value


def shells(structure: Structure | Atoms, *, count: int) -> list[np.ndarray]:
    """Distances from each atom to its nearest neighbours, sorted."""
    atoms = structure if isinstance(structure, Atoms) else structure.to_ase()
    first, distances = neighbor_list("id", atoms, 5.5)
    return [np.sort(distances[first == i])[:count] for i in range(len(atoms))]


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


# ------------------------------------------------------------------------------------------------------------- crystals


@pytest.mark.parametrize(("a", "c"), [(2.95, 4.68), (2.95, 2.95 * np.sqrt(8 / 3)), (3.2, 5.0)])
def test_hcp_against_ase(tmp_path, a, c):
    text = CRYSTAL.replace('"hcp_titanium"', f"{{a = {a!r}, c = {float(c)!r}}}") + PRESSURE
    structure = load(tmp_path, HEAD + text.replace("[2, 1, 1]", "[2, 2, 2]")).conditions[0].structure
    reference = bulk("Ti", "hcp", a=a, c=float(c))
    assert structure.volume / len(structure) == pytest.approx(reference.get_volume() / 2, rel=1e-12)
    # Six neighbours in the plane at a, six out of it, and further shells as in ASE's crystal.
    expected = np.sort([a] * 6 + [np.sqrt(a**2 / 3 + c**2 / 4)] * 6)
    for distances, also in zip(shells(structure, count=50), shells(reference, count=50) * 16, strict=True):
        np.testing.assert_allclose(distances[:12], expected, rtol=1e-12)
        np.testing.assert_allclose(distances, also, rtol=1e-12)
    # c along z, close-packed rows along x: what hexagonal observables and the LAMMPS deck rely on.
    assert len(set(np.round(structure.positions[:, 2], 8))) == 4
    first, vectors = neighbor_list("iD", structure.to_ase(), 1.001 * a)
    for i in range(len(structure)):
        along = [v for v in vectors[first == i] if abs(v[1]) < 1e-9 and abs(v[2]) < 1e-9]
        np.testing.assert_allclose(np.sort([v[0] for v in along]), [-a, a], rtol=1e-12)


def test_hcp_is_the_lammps_decks():
    deck = (EXAMPLES.parent / "lammps_interface" / "decks" / "npt_hcp.in").read_text()
    words = deck[deck.index("basis") :].split('"')[0].replace("basis", "").split()
    np.testing.assert_allclose(PROTOTYPES["hcp"].sites, np.array(words, dtype=float).reshape(-1, 3), atol=1e-12)


@pytest.mark.parametrize(("prototype", "cells"), [("fcc", 4), ("bcc", 2)])
def test_cubic_crystals_against_ase(tmp_path, prototype, cells):
    text = CRYSTAL.replace("hcp_titanium", "fcc_copper").replace('"hcp"', f'"{prototype}"').replace("Ti", "Cu")
    text = 'symmetry = "cubic"\ntemperatures_K = [300]\n' + text.replace("[2, 1, 1]", "[1, 2, 3]") + PRESSURE
    structure = load(tmp_path, text).conditions[0].structure
    reference = bulk("Cu", prototype, a=3.615, cubic=True)
    assert len(structure) == 6 * cells
    np.testing.assert_allclose(structure.cell, np.diag([3.615, 2 * 3.615, 3 * 3.615]))
    for distances in shells(structure, count=40):
        np.testing.assert_allclose(distances, shells(reference, count=40)[0], rtol=1e-12)


def test_lattice_constants_are_interpolated_and_the_outlier_left_out(tmp_path):
    cells = {c.temperature_K: c.structure.cell for c in load(tmp_path, temperatures_K=[73, 300, 973]).conditions}
    assert cells[73][2, 2] == pytest.approx((4.67803 + 4.67649) / 2)  # the excluded row has 4.686
    assert cells[300][0, 0] == pytest.approx(2 * (2.95059 + 2 / 25 * (2.95125 - 2.95059)))
    assert cells[973][2, 2] == pytest.approx(4.69557)


def test_a_cell_from_a_file(tmp_path):
    atoms = bulk("Ti", "hcp", a=2.94, c=4.65)
    ase.io.write(tmp_path / "cell.extxyz", atoms)
    text = HEAD + '[crystal]\nfile = "cell.extxyz"\nrepeat = [2, 1, 1]\n' + PRESSURE
    for condition in load(tmp_path, text).conditions:
        np.testing.assert_allclose(condition.structure.cell, atoms.repeat((2, 1, 1)).cell.array)
        np.testing.assert_allclose(condition.structure.positions, atoms.repeat((2, 1, 1)).positions, atol=1e-7)
    ase.io.write(tmp_path / "cell.extxyz", [atoms, atoms])
    assert "2 structures" in str(refused(tmp_path, text))
    atoms.pbc = [True, True, False]
    ase.io.write(tmp_path / "cell.extxyz", atoms)
    assert "got no pbc, expected one cell in extended XYZ, periodic" in str(refused(tmp_path, text))
    (tmp_path / "cell.extxyz").write_text("2\n")
    assert isinstance(refused(tmp_path, text), DataError)


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


# ------------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("symmetry", "symetry", "e.toml: symetry: got an unknown key.*Did you mean 'symmetry'"),
        ("observable = \"C11\"", "obsevable = \"C11\"", r"e.toml: targets\[0\].obsevable: .*Did you mean 'observable'"),
        ("repeat", "repeats", "e.toml: crystal.repeats: got an unknown key.*Did you mean 'repeat'"),
        ('"hcp_titanium"\nrep', "{a = 3, d = 4}\nrep", "crystal.lattice.d: got an unknown key, expected one of a, c"),
        ('prototype = "hcp"', 'prototype = "hpc"', "crystal.prototype: got 'hpc', expected 'hcp', 'fcc' or 'bcc'"),
        ('"hcp"', '"fcc"', "symmetry: got 'hexagonal', expected 'cubic', or none, for fcc"),
        ('"Ti"', '"Tj"', "crystal: .*expected a chemical element, not 'Tj'"),
        ('"Ti"', '"X"', "crystal: .*expected a chemical element, not 'X'"),
        ("[2, 1, 1]", "[2, 0, 1]", r"crystal.repeat\[1\]: got 0, expected greater than 0"),
        ('element = "Ti"\n', "", "crystal: .*expected either prototype, element and lattice, or file"),
        ("repeat", 'file = "x"\nrepeat', "crystal: .*expected either prototype, element and lattice, or file"),
        ('"hcp_titanium"\nrep', "{a = 3}\nrep", "crystal: .*expected lattice constants a and c for hcp"),
        ('"hcp_titanium"\nrep', "{a = -3, c = 4}\nrep", "crystal.lattice.a: got -3, expected greater than 0"),
        ('"hcp_titanium"\nrep', "{c = 4}\nrep", "crystal.lattice.a: got nothing, expected a value. Add this key"),
        ('"hcp_titanium"\nrep', '"fcc_copper"\nrep', "crystal.lattice: got fcc_copper .*expected a and c at 300 K"),
        ('"hcp_titanium"\nrep', '"hcp_iron"\nrep', "hcp_iron.csv, expected one of .*hcp_titanium.csv"),
        ('"hcp_titanium"\nrep', '"none.csv"\nrep', "none.csv, expected an existing CSV file"),
        ("[300, 600]", "[300, 300]", r"temperatures_K: got \[300, 300\], expected .*above 0 K, each once"),
        ("[300, 600]", "[300, 0]", r"temperatures_K: got \[300, 0\]"),
        ("[300, 600]", "[]", r"temperatures_K: got \[\], expected at least one"),
        ("temperatures_K = [300, 600]\n", "", "temperatures_K: got nothing"),
        ("[300, 600]", "[300, 1200]", "crystal.lattice: got hcp_titanium .*between 4 and 973 K.*a and c at 1200 K"),
        ("weight = 2.0", "weight = 0.0", r"targets\[0\].weight: got 0.0, expected greater than 0"),
        ("weight = 2.0", "", r"targets\[0\]: .*expected a weight or an uncertainty"),
        ("uncertainty = 0.5", "uncertainty = -1", r"targets\[1\].uncertainty: got -1, expected greater than 0"),
        ("value = 0.1", "value = nan", r"targets\[1\].value: got nan, expected a finite number"),
        ('unit = "GPa"\n', "", r"targets\[1\]: .*expected a value with its unit and source"),
        ('source = "me"\n', "", r"targets\[1\]: .*expected a value with its unit and source"),
        ("weight = 2.0", "weight = 2.0\nvalue = 3.0", r"targets\[0\]: .*expected either a table or a value"),
        ("value = 0.1", "", r"targets\[1\]: .*expected either a table or a value"),
        ("value = 0.1", 'value = 0.1\nquantity = "p"', r"targets\[1\]: .*expected a quantity only with a table"),
        ("weight = 2.0", 'weight = 2.0\nsource = "me"', r"targets\[0\]: .*expected no source besides a table"),
        ("weight = 2.0", 'weight = 2.0\nunit = "bar"', "target C11, unit: got bar, expected GPa, as in hcp_titanium"),
        ('"C11"', '"C99"', "target C99: got hcp_titanium .*expected a table with C99 at 300 K. The key quantity"),
        ('"pressure"', '"C11"', "target C11: got a second target for C11 at 300 K.*Remove one"),
        ("value = 0.1", "value = 0.1\ntemperature_K = 301", r"pressure: got a target at 301 K, expected one of \[300"),
        ("[[targets]]", "[targets]", r"targets: got {.*expected tables \[\[targets\]\]"),
        ("[crystal]", "[[crystal]]", r"crystal: got \[.*expected a table \[crystal\]"),
        ("[crystal]", "[crystal", "got a file that is no TOML"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path, old, new, message):
    assert old in PLAIN
    text = PLAIN.replace(old, new, 1)
    if old == "[[targets]]":
        text = text[: text.rindex("[[targets]]")]
    error = refused(tmp_path, text)
    assert isinstance(error, InputError)
    with pytest.raises(InputError, match=message):
        raise error


def test_a_temperature_needs_a_target(tmp_path):
    text = HEAD + CRYSTAL + PRESSURE.replace("value = 0.1", "value = 0.1\ntemperature_K = 600")
    assert "e.toml: targets: got none at 300 K, expected at least one." in str(refused(tmp_path, text))
    assert "got none at 300 K" in str(refused(tmp_path, HEAD + CRYSTAL))
    assert len(load(tmp_path, text, temperatures_K=[600]).conditions) == 1


@pytest.mark.parametrize("wrong", [[], [300.0, 300.0], [-1.0], [float("nan")], [float("inf")]])
def test_temperatures_from_outside_are_checked(tmp_path, wrong):
    error = refused(tmp_path, PLAIN, temperatures_K=wrong)
    assert isinstance(error, ConfigError)
    assert error.argument == "temperatures_K"


def test_a_temperature_outside_of_what_was_measured(tmp_path):
    text = PLAIN.replace('lattice = "hcp_titanium"', "lattice = {a = 2.95, c = 4.68}")
    error = refused(tmp_path, text, temperatures_K=[300, 2])
    assert error.argument.endswith("e.toml: target C11")
    assert "between 4 and 973 K" in str(error)
    assert "expected a table with C11 at 2 K." in str(error)


def test_a_table_that_contradicts_itself_is_refused(tmp_path):
    table = C11.replace("hcp_titanium", "bcc_titanium_elastic")
    text = HEAD.replace("hexagonal", "cubic") + CRYSTAL.replace('"hcp"', '"bcc"') + table
    text = text.replace('lattice = "hcp_titanium"', "lattice = {a = 3.31}")
    error = refused(tmp_path, text, temperatures_K=[1280])
    assert "several values of C11 near 1280 K in bcc_titanium_elastic" in str(error)
    (condition,) = load(tmp_path, text, temperatures_K=[1293]).conditions
    assert (condition.targets[0].value, condition.targets[0].source) == (134.0, "Petry")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "rows.csv: got the header , expected temperature_K,observable"),
        (HEADER.replace("unit", "units"), "rows.csv: got the header"),
        (HEADER.replace("source,", ""), "rows.csv: got the header"),
        (HEADER + "300,C33,180,1,GPa,Smith, 1990,\n", r"line 2: got .*expected 7 entries. Quote a source with commas"),
        (HEADER + '300,C33,180,1,GPa,"Smith,\n', "line 2: got .*expected comma-separated entries"),
        ("# x\n" + HEADER + "\n,C33,180,1,GPa,me,\n", "line 4: got no temperature_K"),
        (HEADER + "300,C33,x,1,GPa,me,\n", "line 2: value: got 'x', expected a valid number"),
        (HEADER + "300,C33,,1,GPa,me,\n", "line 2: .*expected either a table or a value"),
        (HEADER + "300,C33,180,,GPa,me,\n", "line 2: .*expected a weight or an uncertainty"),
        (HEADER + "300,C33,180,0,GPa,me,\n", "line 2: uncertainty: got '0', expected greater than 0"),
        (HEADER + "300,C33,180,1,,me,\n", "line 2: .*expected a value with its unit and source"),
        (HEADER + "300,C33,180,1,GPa,,\n", "line 2: .*expected a value with its unit and source"),
        (HEADER + "301,C33,180,1,GPa,me,\n", "line 2: got a target at 301 K"),
        (HEADER + "300,C11,180,1,GPa,me,\n", "line 2: got a second target for C11 at 300 K"),
        (HEADER + "300,C33,180,1,GPa,me,\n300,C33,180,1,GPa,me,\n", "line 3: got a second target for C33"),
    ],
)
def test_mistakes_in_rows_are_named(tmp_path, rows, message):
    error = refused(tmp_path, HEAD + ROWS + CRYSTAL + C11, rows=rows)
    with pytest.raises(InputError, match=message):
        raise error


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"experiment: got .*none.toml, expected an existing TOML file"):
        load_experiment(tmp_path / "none.toml")
    assert "rows.csv, expected an existing CSV file" in str(refused(tmp_path, HEAD + ROWS + CRYSTAL))
