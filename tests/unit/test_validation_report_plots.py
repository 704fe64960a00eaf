"""Plots of a report, and the same in words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread

import reported
from fusepot.validation.interface import Curve, Findings, Plot
from fusepot.validation.report.plots import describe, draw, figure_of
from fusepot.validation.report.styles import STYLES, style_of
from reported import NAMES, NAN, Section


@pytest.fixture(scope="module")
def findings() -> list[tuple[Section, Findings]]:
    return reported.findings()


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
