"""Mistakes in experiment files and their rows are named."""

from __future__ import annotations

import pytest

from experiment_files import C11, CRYSTAL, HEAD, HEADER, PLAIN, PRESSURE, ROWS, load, refused
from fusepot.data import load_experiment
from fusepot.errors import ConfigError, InputError


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
