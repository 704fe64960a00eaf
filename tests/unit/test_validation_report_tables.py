"""Numbers of a report as readers want them, in tables of all potentials."""

from __future__ import annotations

import pytest

import reported
from fusepot.errors import InputError
from fusepot.validation.interface import Findings, Row, Subject
from fusepot.validation.report.rounding import percent, plain, with_error
from fusepot.validation.report.tables import groups_of, mean_deviations, sources_of, tally
from reported import MELTED, NAN, Section, lattice_rows


@pytest.fixture(scope="module")
def subjects(tmp_path_factory) -> list[Subject]:
    return reported.subjects(tmp_path_factory.mktemp("potentials"))


@pytest.fixture(scope="module")
def findings() -> list[tuple[Section, Findings]]:
    return reported.findings()


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (2.950613, 0.000431, "2.9506 ± 0.0004"),
        (2.950613, 0.000151, "2.95061 ± 0.00015"),
        (2.950613, 0.00296, "2.951 ± 0.003"),
        (2.950613, 0.0999, "2.95 ± 0.10"),
        (176.1, 3.4, "176 ± 3"),
        (176.1, 0.0, "176.1"),
        (176.1, NAN, "176.1"),
        (1761.44, 34.2, "1760 ± 30"),
        (-6.63333333, NAN, "−6.6333"),
        (-0.6, 0.04, "−0.60 ± 0.04"),
        (-0.0001, 0.3, "0.0 ± 0.3"),
        (0.0, NAN, "0"),
        (0.0, 0.012, "0.000 ± 0.012"),
        (3.0, NAN, "3"),
        (5.291e-9, 1.52e-10, "(5.29 ± 0.15)·10⁻⁹"),
        (5.291e-9, NAN, "5.291·10⁻⁹"),
        (1.23456e8, NAN, "1.2346·10⁸"),
        (1.0, 1e-17, "1.00000000000 ± 0.00000000000"),
        (0.001, 25.0, "0 ± 25"),
        (NAN, NAN, "–"),
        (float("inf"), 1.0, "–"),
        (2.0, float("inf"), "2"),
    ],
)
def test_values_with_errors(value, error, text):
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (2.94398, 5, "2.94398"), (2.94398, 2, "2.94"), (162.342857, 1, "162.3"), (99.0, 1, "99"), (36.0, 3, "36"),
        (0.32, 0, "0.32"), (5.291e-9, 12, "5.291·10⁻⁹"), (5.2913333e-9, 10, "5.3·10⁻⁹"), (1.23456789, None, "1.2346"),
        (None, None, "–"), (NAN, 3, "–"), (0.0, 2, "0"),
    ],
)  # fmt: skip
def test_values_without_errors(value, decimals, text):
    assert plain(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234, "+0.12 %"), (-0.004, "+0.00 %"), (-3.456, "−3.46 %"), (12.34, "+12.3 %"), (-123.4, "−123 %"),
     (9.996, "+10.0 %"), (None, "–"), (NAN, "–")],
)  # fmt: skip
def test_deviations(value, text):
    assert percent(value) == text


def test_lines_by_quantity_and_condition(subjects, findings):
    _, found = findings[0]
    (group,) = groups_of(found.rows, subjects, sources_of([found]))
    assert (group.quantity, group.unit) == ("a", "Å")
    first, second = group.lines
    assert (first.condition, first.reference, first.source, first.limit) == ("300 K", "2.95", 1, "± 0.2 %")
    assert [cell.value for cell in first.cells] == ["2.9622 ± 0.0004", "2.9506 ± 0.0004", "2.9524 ± 0.0004"]
    assert [cell.deviation for cell in first.cells] == ["+0.41 %", "+0.02 %", "+0.08 %"]
    assert [cell.passed for cell in first.cells] == [False, True, True]
    melted = second.cells[0]
    assert (melted.value, melted.deviation, melted.passed, melted.problem) == ("", "", False, MELTED)


def test_several_experiments_for_one_condition_are_several_lines(subjects, findings):
    _, found = findings[1]
    (group,) = groups_of(found.rows, subjects, sources_of([found]))
    assert [(line.reference, line.source) for line in group.lines] == [("37.5", 1), ("33.6", 2)]
    assert all(cell.problem == "correlated blocks" for line in group.lines for cell in line.cells)


def test_potentials_may_have_different_rows(subjects, findings):
    _, found = findings[2]
    energy, modes = groups_of(found.rows, subjects, {})
    assert [cell and cell.value for cell in energy.lines[0].cells] == ["−6.6333", None, None]
    assert [cell and cell.value for cell in modes.lines[0].cells] == [None, None, "0"]


def test_rows_of_strangers_are_refused(subjects):
    with pytest.raises(InputError, match="a row of another"):
        groups_of([Row("a", "300 K", "another", "Å", 1.0)], subjects, {})


def test_sums(subjects, findings):
    found = [one for _, one in findings]
    sums = [tally(found, subject) for subject in subjects]
    assert [(s.passed, s.failed, s.unjudged, s.without_result) for s in sums] == [
        (0, 2, 3, 1),
        (2, 0, 2, 0),
        (2, 0, 3, 0),
    ]
    rows = [Row(q, c, "dft", "", NAN, problem="did not run") for q in ("a", "c") for c in ("300 K", "900 K")]
    assert tally([Findings(rows), Findings(rows)], subjects[0]).without_result == 4  # runs, not numbers


def test_mean_deviations(subjects, findings):
    a, c44 = mean_deviations(findings, subjects)
    assert (a.check, a.quantity, a.conditions, a.counts) == ("Lattice constants", "a", 2, (1, 2, 2))
    dft, sequential, _ = a.percent
    assert dft == pytest.approx(100 * (2.9622 / 2.95 - 1))  # the melted one is left out
    assert sequential == pytest.approx(50 * (2.9506 / 2.95 - 1 + 2.9611 / 2.96 - 1))
    below = lattice_rows({"dft": [2.94, 2.97]})
    (mean,) = mean_deviations([(Section("x", "x"), Findings(below))], subjects[:1])
    assert mean.percent[0] == pytest.approx(50 * (0.01 / 2.95 + 0.01 / 2.96))  # no cancelling
    nothing = lattice_rows({"dft": [NAN, NAN]})
    (mean,) = mean_deviations([(Section("x", "x"), Findings(nothing))], subjects[:1])
    assert mean.percent == (None,)
    assert c44.conditions == 2
