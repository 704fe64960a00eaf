"""Tables of experimental values."""

from __future__ import annotations

import pytest

from fusepot.data import interpolate, load_measurements
from fusepot.errors import DataError, InputError


def test_lattice_constants_of_titanium():
    table = load_measurements("hcp_titanium")
    assert interpolate(table, "a", 298) == 2.95059
    assert interpolate(table, "a", 300) == pytest.approx(2.95059 + 2 / 25 * (2.95125 - 2.95059))
    assert interpolate(table, "c", 973) == 4.69557
    # The row at 73 K is an outlier: left out for lattice constants, kept for elastic constants.
    assert interpolate(table, "a", 73) == pytest.approx((2.94404 + 2.94600) / 2)
    assert interpolate(table, "C11", 73) == 174.9
    (a,) = [m for m in table if m.quantity == "a" and m.temperature_K == 298]
    assert (a.unit, a.excluded) == ("Å", False)
    assert "Souvatzis" in a.source


def test_other_tables_have_units_and_sources():
    rows = load_measurements("bcc_titanium_elastic")
    assert {m.source for m in rows} == {"Ledbetter", "Petry", "Fisher"}
    assert {m.unit for m in rows} == {"GPa"}
    liquid = load_measurements("liquid_self_diffusion")
    assert {m.unit for m in liquid} == {"m^2/s"}
    assert interpolate(liquid, "D", 2000) == 5.291e-9
    assert load_measurements("fcc_copper")[0].value == 3.615


def test_mistakes_are_named(tmp_path):
    with pytest.raises(InputError, match="hcp_titanium"):
        load_measurements("hcp_titan")
    table = load_measurements("hcp_titanium")
    with pytest.raises(InputError, match="C11"):
        interpolate(table, "C99", 300)
    with pytest.raises(InputError, match="between 4 and 973 K"):
        interpolate(table, "a", 1200)
    path = tmp_path / "t.csv"
    path.write_text("# who\ntemperature_K,a_A\n300,2.9\n400,x\n")
    with pytest.raises(DataError, match=r"t\.csv, line 4, column a_A: got 'x'"):
        load_measurements(path)
    path.write_text("temperature_K,a_furlong\n300,2.9\n")
    with pytest.raises(DataError, match="a_furlong"):
        load_measurements(path)
