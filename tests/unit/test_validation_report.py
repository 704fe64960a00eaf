"""The report: one self-contained page, the same numbers as JSON, and files of plots."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import reported
from fusepot.errors import InputError
from fusepot.validation.interface import Curve, Findings, Plot, Subject
from fusepot.validation.report import Context, write_report
from reported import MELTED, SOURCE, Section, lattice_rows

VOID = {"meta", "img", "br", "link", "hr", "input"}


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
    return reported.subjects(tmp_path_factory.mktemp("potentials"))


@pytest.fixture(scope="module")
def findings() -> list[tuple[Section, Findings]]:
    return reported.findings()


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    return reported.context(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def out(tmp_path_factory, subjects, findings, context) -> Path:
    out = tmp_path_factory.mktemp("report") / "new"
    page = write_report(out, subjects=subjects, findings=findings, context=context)
    assert page == out / "report.html"
    return out


@pytest.fixture(scope="module")
def page(out) -> Page:
    return Page((out / "report.html").read_text(encoding="utf-8"))


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
