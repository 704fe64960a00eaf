"""The report: numbers as readers want them, one self-contained page, the same numbers as JSON, and the plots."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread

from fusepot.errors import InputError
from fusepot.validation.interface import Curve, Findings, Plot, Row, Subject
from fusepot.validation.report import Context, write_report
from fusepot.validation.report.plots import describe, draw, figure_of
from fusepot.validation.report.rounding import percent, plain, with_error
from fusepot.validation.report.styles import STYLES, style_of
from fusepot.validation.report.tables import groups_of, mean_deviations, sources_of, tally

NAN = float("nan")
NAMES = ("dft", "<sequential> & co", "fused")
SOURCE = "Souvatzis et al., PRL 99 <2007>"
MELTED = "the crystal is hcp no more: 0 % fcc, 12 % hcp"
VOID = {"meta", "img", "br", "link", "hr", "input"}


@dataclass(frozen=True)
class Section:
    """A check that needs no runs."""

    name: str
    title: str
    description: str = "NVT & <more>."

    def runs(self, subject):
        return []

    def findings(self, subjects, results):
        raise NotImplementedError


class Page(HTMLParser):
    """Elements with their attributes and texts; complains where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.texts.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def subjects(tmp_path_factory) -> list[Subject]:
    folder = tmp_path_factory.mktemp("potentials")
    for k, _ in enumerate(NAMES):
        (folder / f"{k}.fusepot").write_bytes(bytes([k]))
    return [Subject(name, folder / f"{k}.fusepot") for k, name in enumerate(NAMES)]


def lattice_rows(values: dict[str, list[float]], limit: float | None = 0.2) -> list[Row]:
    """A at 300 and 900 K; experiment has 2.95 and 2.96 Å. numpy's numbers, as checks have them."""
    return [
        Row(
            "a", f"{kelvin} K", name, "Å", np.float64(value), 4.2e-4, reference, SOURCE, limit,
            problem="" if np.isfinite(value) else MELTED,
        )
        for name, pair in values.items()
        for kelvin, reference, value in zip((300, 900), (2.95, 2.96), pair, strict=True)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def findings() -> list[tuple[Section, Findings]]:
    rows = lattice_rows({NAMES[0]: [2.9622, NAN], NAMES[1]: [2.9506, 2.9611], NAMES[2]: [2.9524, 2.9640]})
    x = np.array([300.0, 900.0])
    curves = [
        Curve(NAMES[0], x, np.array([2.9622, NAN]), np.array([4e-4, NAN]), "points"),
        Curve(NAMES[1], x, np.array([2.9506, 2.9611]), np.array([4e-4, 4e-4]), "points"),
        Curve(NAMES[2], x, np.array([NAN, NAN]), np.array([NAN, NAN]), "points"),
        Curve("experiment", x, np.array([2.95, 2.96]), style="reference"),
    ]
    path = np.linspace(0, 2, 30)
    bands = [Curve(name, path, k * 3 + 2 * np.sin(path) - 0.1) for name in NAMES for k in range(2)]
    elastic = [
        Row("C44", "bcc 1273 K", name, "GPa", 37.512, 2.34, reference, source, None, problem="correlated blocks")
        for name in NAMES
        for reference, source in ((37.5, "Ledbetter"), (33.6, "Fisher"))
    ]
    static = [Row("energy", "hcp", NAMES[0], "eV/atom", -6.6333333), Row("modes", "hcp", NAMES[2], "", 0.0)]
    return [
        (Section("lattice", "Lattice constants"), Findings(rows, [Plot("a", "a of hcp", "T (K)", "a (Å)", curves)])),
        (Section("bcc", "Elastic constants"), Findings(elastic, (), ["Remark with <b>."])),
        (
            Section("phonons", "Phonons"),
            Findings(static, [Plot("A", "Bands", "", "THz", bands, [(0, "Γ"), (1.2, "M"), (2, "K")])]),
        ),
        (Section("none", "Nothing at all"), Findings(())),
    ]


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    experiment = tmp_path_factory.mktemp("plan") / "ti.toml"
    experiment.write_text('element = "Ti"\n')
    return Context("Titanium <report>", "quick", experiment, {"LAMMPS": "2025", "fusepot": "0.1"}, "2026-01-02", "Ti")


@pytest.fixture(scope="module")
def out(tmp_path_factory, subjects, findings, context) -> Path:
    out = tmp_path_factory.mktemp("report") / "new"
    page = write_report(out, subjects=subjects, findings=findings, context=context)
    assert page == out / "report.html"
    return out


@pytest.fixture(scope="module")
def page(out) -> Page:
    return Page((out / "report.html").read_text(encoding="utf-8"))


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


def test_the_page_is_one_file(page, out):
    text = (out / "report.html").read_text(encoding="utf-8")
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href"):
            if name in attributes:
                assert attributes[name].startswith(("data:image/png;base64,", "#")), attributes[name][:80]
    assert not re.search(r"url\(|@import|http-equiv=.refresh", text)
    policy = next(one["content"] for one in page.all("meta") if "content" in one and "default-src" in one["content"])
    assert "default-src 'none'" in policy


def test_the_page_is_accessible(page):
    assert ("html", {"lang": "en"}) in page.elements
    assert any(one.get("name") == "viewport" for one in page.all("meta"))
    assert page.all("th")
    assert all(one.get("scope") in ("col", "row", "colgroup", "rowgroup") for one in page.all("th"))
    assert all(len(one["alt"]) > 20 for one in page.all("img"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = [one["href"][1:] for one in page.all("a")]
    assert targets
    assert set(targets) <= set(ids)
    assert {"summary", "check-lattice", "check-bcc", "check-phonons", "check-none", "sources"} <= set(targets)
    assert "Sources of the reference values" in page.text
    assert "Reference" in {cell.rstrip("1") for row in page.rows for cell in row}
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert text_of_marks(page) == {"✓ within the limit", "✗ outside the limit", "✗ failed"}  # not by colour alone


def text_of_marks(page: Page) -> set[str]:
    return {
        mark
        for row in page.rows
        for cell in row
        for mark in re.findall("[✓✗] (?:within the limit|outside the limit|failed)", cell)
    }


def test_every_row_of_a_table_has_as_many_columns(out):
    text = (out / "report.html").read_text(encoding="utf-8")
    for table in re.findall(r"<table>.*?</table>", text, re.DOTALL):
        body = table[table.index("<tbody>") :]
        widths = set()
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
            cells = re.findall(r"<t[hd]\b[^>]*>", row)
            widths.add(sum(int((re.search(r'colspan="(\d+)"', cell) or [0, 1])[1]) for cell in cells))
        head = re.findall(r"<th\b[^>]*>", table[: table.index("</tr>")])
        widths.add(sum(int((re.search(r'colspan="(\d+)"', cell) or [0, 1])[1]) for cell in head))
        assert len(widths) == 1, table[:300]


def test_what_the_page_says(page):
    rows = page.rows
    assert ["● dft", "0", "2", "3", "1", "0.fusepot", hashlib.sha256(b"\0").hexdigest()[:12]] in rows
    assert ["▲ fused", "2", "0", "3", "0", "2.fusepot", hashlib.sha256(b"\2").hexdigest()[:12]] in rows
    assert [
        "300 K", "2.95", "± 0.2 %", "2.9622 ± 0.0004", "+0.41 % ✗ outside the limit", "2.9506 ± 0.0004",
        "+0.02 % ✓ within the limit", "2.9524 ± 0.0004", "+0.08 % ✓ within the limit",
    ] in rows  # fmt: skip
    assert any(row[:4] == ["900 K", "2.96", "± 0.2 %", f"{MELTED} ✗ failed"] for row in rows)
    assert ["hcp", "−6.6333", "not computed", "not computed"] in rows
    assert ["a", "0.41 % of 1 only", "0.03 %", "0.11 %", "2", "Lattice constants"] in rows
    for text in ("Titanium <report>", "NVT & <more>.", "Remark with <b>.", SOURCE, "LAMMPS 2025, fusepot 0.1",
                 "2026-01-02", "<sequential> & co", "✗ 2 failed", "ti.toml"):  # fmt: skip
        assert text in page.text


def test_what_is_no_number_is_not_shown_as_one(page, out):
    assert not re.search(r"\b(nan|none|inf|null)\b", page.text, re.IGNORECASE)
    assert not any(re.search(r"\b(nan|None|inf)\b", one["alt"]) for one in page.all("img"))
    assert "NaN" not in (out / "report.json").read_text(encoding="utf-8")


def test_plots_are_in_the_page_and_beside_it(page, out):
    assert sorted(path.name for path in (out / "plots").iterdir()) == [
        "A_2.png",
        "a.png",
    ]  # A and a are one on some disks
    embedded = [base64.b64decode(one["src"].partition(",")[2]) for one in page.all("img")]
    assert embedded == [(out / "plots" / name).read_bytes() for name in ("a.png", "A_2.png")]
    height, width, _ = imread(io.BytesIO(embedded[0])).shape
    assert all((one["width"], one["height"]) == (str(width), str(height)) for one in page.all("img"))


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_json_has_every_number(out, findings, subjects, context):
    record = json.loads((out / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert (record["title"], record["date"], record["preset"], record["element"]) == (
        "Titanium <report>", "2026-01-02", "quick", "Ti"
    )  # fmt: skip
    assert record["versions"] == {"LAMMPS": "2025", "fusepot": "0.1"}
    digest = hashlib.sha256(context.experiment.read_bytes()).hexdigest()
    assert record["experiment"] == {"file": "ti.toml", "sha256": digest}
    assert [one["sha256"] for one in record["potentials"]] == [hashlib.sha256(bytes([k])).hexdigest() for k in range(3)]
    assert record["potentials"][0] | {"sha256": ""} == {
        "name": "dft", "file": "0.fusepot", "sha256": "", "passed": 0, "failed": 2, "unjudged": 3, "without_result": 1
    }  # fmt: skip
    for entry, (check, found) in zip(record["checks"], findings, strict=True):
        assert (entry["name"], entry["title"]) == (check.name, check.title)
        assert len(entry["rows"]) == len(found.rows)
    first, second = record["checks"][0]["rows"][:2]
    assert first["deviation_percent"] == pytest.approx(100 * (2.9622 / 2.95 - 1))
    assert first | {"deviation_percent": 0} == {
        "quantity": "a", "condition": "300 K", "subject": "dft", "unit": "Å", "value": 2.9622, "error": 4.2e-4,
        "reference": 2.95, "source": SOURCE, "limit_percent": 0.2, "problem": "", "deviation_percent": 0,
        "passed": False,
    }  # fmt: skip
    assert (second["value"], second["deviation_percent"], second["passed"]) == (None, None, False)
    plot = record["checks"][0]["plots"][0]
    assert plot["name"] == "a"
    assert plot["curves"][0]["y"] == [2.9622, None]
    assert record["checks"][2]["plots"][0]["ticks"] == [[0, "Γ"], [1.2, "M"], [2, "K"]]
    assert record["mean_absolute_deviations"][0]["potentials"]["dft"]["conditions"] == 1


def test_the_same_findings_give_the_same_bytes(out, tmp_path, subjects, findings, context):
    write_report(tmp_path, subjects=subjects, findings=findings, context=context)
    for name in ("report.html", "report.json", "plots/a.png"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_without_experiment_there_are_no_columns_for_it(tmp_path, subjects, findings, context):
    page = Page(write_report(tmp_path, subjects=subjects, findings=findings[2:], context=context).read_text())
    headings = {cell for row in page.rows for cell in row}
    assert not headings & {"Reference", "deviation", "Limit", "Quantity"}
    assert "Sources of the reference values" not in page.text


@pytest.mark.parametrize("count", [1, 8, 9])
def test_any_number_of_potentials(tmp_path, count, context):
    many = []
    for k in range(count):
        (tmp_path / f"p{k}.fusepot").write_bytes(bytes([k]))
        many.append(Subject(f"p{k}", tmp_path / f"p{k}.fusepot"))
    rows = lattice_rows({one.name: [2.95, 2.96] for one in many})
    curves = [Curve(one.name, np.arange(3.0), np.arange(3.0)) for one in many]
    found = [(Section("x", "x"), Findings(rows, [Plot("x", "x", "x", "y", curves)]))]
    page = Page(write_report(tmp_path, subjects=many, findings=found, context=context).read_text())
    assert len(next(row for row in page.rows if row[0] == "300 K")) == 3 + 2 * count


def test_no_potentials(tmp_path, context):
    with pytest.raises(InputError, match="at least one potential"):
        write_report(tmp_path, subjects=[], findings=[], context=context)


def test_styles_differ_in_more_than_colour():
    for kind in range(4):
        assert len({style[kind] for style in STYLES}) == len(STYLES)
    names = ["ti", "ti-2", "ti_long"]
    assert style_of("ti", names) == STYLES[0]
    assert style_of("ti-2", names) == STYLES[1]
    assert style_of("ti-2, 300 K", names) == STYLES[1]
    assert style_of("ti (300 K)", names) == STYLES[0]
    assert style_of("titan", names) == style_of("PBE", names) == STYLES[3]


def colours_in(image: bytes) -> set[str]:
    pixels = np.unique(imread(io.BytesIO(image))[..., :3].reshape(-1, 3), axis=0)
    return {to_hex(pixel).upper() for pixel in pixels}


def test_a_potential_has_its_colour_in_every_plot():
    alone = Plot("x", "x", "x", "y", [Curve(NAMES[2], np.arange(3.0), np.arange(3.0), None, "points")])
    seen = colours_in(draw(alone, NAMES))
    assert STYLES[2].colour in seen
    assert not {STYLES[0].colour, STYLES[1].colour} & seen


def test_curves_experiment_and_ticks(findings):
    axes = figure_of(findings[0][1].plots[0], NAMES).axes[0]
    drawn = {line.get_color(): line for line in axes.lines if len(line.get_xdata()) == 2}
    assert drawn["black"].get_linestyle() == "--"
    assert drawn[STYLES[1].colour].get_marker() == STYLES[1].marker
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("T (K)", "a (Å)", "a of hcp")
    assert len(axes.containers) == 2  # error bars of the two potentials that have results
    (legend,) = axes.figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["dft", "<sequential> & co", "fused (no result)", "experiment"]

    figure = figure_of(findings[2][1].plots[0], NAMES)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Γ", "M", "K"]
    assert tuple(axes.get_xlim()) == (0, 2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(NAMES)  # once each, not once per band


def test_marks_of_experiment_are_not_joined():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 4.0])
    curves = [Curve("measured", x, y, style=style) for style in ("reference", "marks")]
    for curve, dashes, marker in zip(curves, ("--", "None"), ("none", "x"), strict=True):
        (line,) = figure_of(Plot("p", "p", "x", "y", [curve]), []).axes[0].lines
        assert (line.get_linestyle(), line.get_marker(), line.get_color()) == (dashes, marker, "black")


def test_error_bars_end_where_they_should():
    curve = Curve("dft", np.array([1.0, 2.0]), np.array([5.0, 6.0]), np.array([0.5, NAN]), "points")
    axes = figure_of(Plot("x", "x", "x", "y", [curve]), NAMES).axes[0]
    ends = [segment[:, 1].tolist() for segment in axes.containers[0].lines[2][0].get_segments()]
    assert ends == [[4.5, 5.5], [6.0, 6.0]]


def test_labels_are_shown_as_they_are():
    curves = [Curve(label, np.arange(2.0), np.arange(2.0)) for label in ("_hidden", "$x^2$", "a_b")]
    figure = figure_of(Plot("x", "x", "x", "y", curves), ["_hidden", "$x^2$", "a_b"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [" _hidden", r"\$x^2\$", "a_b"]


def test_plots_without_results():
    empty = Plot(
        "x", "No luck", "T (K)", "a (Å)", [Curve("dft", np.array([1.0]), np.array([NAN]), np.array([NAN]), "points")]
    )
    axes = figure_of(empty, NAMES).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no results"]
    assert describe(empty) == "No luck: a (Å) against T (K). dft: no result."
    assert draw(empty, NAMES).startswith(b"\x89PNG")
    assert draw(Plot("x", "Nothing", "x", "y", []), NAMES).startswith(b"\x89PNG")


def test_plots_in_words(findings):
    text = describe(findings[0][1].plots[0])
    assert text == (
        "a of hcp: a (Å) against T (K). dft: 2.9622. <sequential> & co: 2 points from 2.9506 to 2.9611. fused: "
        "no result. experiment: 2 points from 2.95 to 2.96."
    )


def test_names_of_plots_are_names_of_files(tmp_path, subjects, context):
    curve = Curve("dft", np.arange(2.0), np.arange(2.0))
    plots = [Plot(name, "x", "x", "y", [curve]) for name in ("../../a/b c", "same", "same")]
    found = [(Section("x/../y", "x"), Findings((), plots))]
    write_report(tmp_path / "out", subjects=subjects, findings=found, context=context)
    assert sorted(path.name for path in (tmp_path / "out" / "plots").iterdir()) == [
        ".._.._a_b_c.png", "same.png", "same_2.png"
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_is_gone_is_an_error_that_names_it(tmp_path, subjects, context):
    gone = [replace(subjects[0], file=tmp_path / "gone.fusepot")]
    with pytest.raises(OSError, match=r"gone\.fusepot"):
        write_report(tmp_path, subjects=gone, findings=[], context=context)


def test_the_command_line_does_not_wait_for_matplotlib():
    code = "import sys, fusepot.cli; print([m for m in ('matplotlib', 'jinja2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_global_state_of_plots():
    code = (
        "import sys, fusepot.validation.report; print('matplotlib.pyplot' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False True"


def test_the_template_is_part_of_the_package():
    assert files("fusepot.validation.report").joinpath("page.html.j2").is_file()
