"""Plots as PNG, with error bars, experiment in black dashes; and the same in words for those who cannot see them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fusepot.structure import FloatArray
from fusepot.validation.interface import Curve, Plot
from fusepot.validation.report.rounding import plain
from fusepot.validation.report.styles import style_of

SIZE = (6.4, 4.4)  # inches
DPI = 160
FEW = 50  # points that a thin line leads through; more are a cloud
LEGEND_WIDTH = 76  # characters that fit beside each other
EXPERIMENT = ("reference", "marks")
EXPERIMENT_DASHES = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 2)))
EXPERIMENT_MARKERS = ("x", "+", "1", "2")


def draw(plot: Plot, names: Sequence[str]) -> bytes:
    """The plot as PNG; ``names`` as for ``figure_of``."""
    buffer = io.BytesIO()
    figure_of(plot, names).savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def figure_of(plot: Plot, names: Sequence[str]) -> Figure:
    """The plot as a figure of its own, without pyplot and its global state.

    Args:
        plot: what to draw.
        names: of all potentials, for their colours.
    """
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    entries: dict[str, Line2D] = {}
    experiments = list(dict.fromkeys(curve.label for curve in plot.curves if curve.style in EXPERIMENT))
    for curve in plot.curves:
        if curve.style in EXPERIMENT:
            line = _draw_experiment(axes, curve, experiments.index(curve.label))
        else:
            line = _draw_curve(axes, curve, names)
        seen = bool(_finite(curve).any())
        if seen or curve.label not in entries:
            entries[curve.label] = line
    _finish(figure, axes, plot, entries)
    return figure


def describe(plot: Plot) -> str:
    """The plot in words: axes, and the range of each curve."""
    parts = [f"{plot.title}: {plot.y_label} against {plot.x_label}."]
    for label in dict.fromkeys(curve.label for curve in plot.curves):
        own = [curve for curve in plot.curves if curve.label == label]
        y = np.concatenate([np.asarray(curve.y, float)[_finite(curve)] for curve in own])
        if not len(y):
            parts.append(f"{label}: no result.")
        elif len(y) == 1:
            parts.append(f"{label}: {plain(float(y[0]))}.")
        else:
            parts.append(f"{label}: {len(y)} points from {plain(float(y.min()))} to {plain(float(y.max()))}.")
    return " ".join(parts)


def _finite(curve: Curve) -> np.ndarray:
    return np.isfinite(np.asarray(curve.x, float)) & np.isfinite(np.asarray(curve.y, float))


def _draw_curve(axes: Axes, curve: Curve, names: Sequence[str]) -> Line2D:
    style = style_of(curve.label, names)
    x = np.asarray(curve.x, float)
    if curve.style == "line":
        (line,) = axes.plot(x, curve.y, color=style.colour, linestyle=style.dashes, linewidth=1.4)
        if curve.error is not None:
            low, high = curve.y - curve.error, curve.y + curve.error
            axes.fill_between(x, low, high, color=style.colour, alpha=0.2, linewidth=0)
        return line
    joined = len(x) <= FEW and bool(np.all(np.diff(x) > 0))
    size = 6 if len(x) <= FEW else 3
    (line,) = axes.plot(
        x, curve.y, style.marker, color=style.colour, markersize=size, markeredgecolor="white", markeredgewidth=0.5,
        linestyle="-" if joined else "none", linewidth=0.8,
    )  # fmt: skip
    _error_bars(axes, curve, style.colour)
    return line


def _draw_experiment(axes: Axes, curve: Curve, place: int) -> Line2D:
    """Dashes; markers where points are too few or too far apart for a line, or have errors."""
    place %= len(EXPERIMENT_DASHES)
    lonely = curve.style == "marks" or int(_finite(curve).sum()) < 2
    marker = EXPERIMENT_MARKERS[place] if lonely or curve.error is not None else "none"
    dashes = "none" if lonely else EXPERIMENT_DASHES[place]
    (line,) = axes.plot(curve.x, curve.y, marker=marker, color="black", linestyle=dashes, linewidth=1.4, markersize=7)
    _error_bars(axes, curve, "black")
    return line


def _error_bars(axes: Axes, curve: Curve, colour: str) -> None:
    if curve.error is not None and np.isfinite(curve.error).any():
        axes.errorbar(
            curve.x, curve.y, yerr=_bars(curve.error), fmt="none", ecolor=colour, elinewidth=1, capsize=2.5, zorder=3
        )


def _bars(error: FloatArray) -> FloatArray:
    """No bar where the error is not known."""
    return np.where(np.isfinite(error), error, 0.0)


def _finish(figure: Figure, axes: Axes, plot: Plot, entries: dict[str, Line2D]) -> None:
    """Labels, ticks and legend."""
    axes.set_title(plot.title, fontsize=11)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.ticklabel_format(axis="y", useOffset=False, useMathText=True)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    values = [np.asarray(curve.y, float)[_finite(curve)] for curve in plot.curves]
    everything = np.concatenate([np.empty(0), *values])
    if not len(everything):
        axes.text(0.5, 0.5, "no results", transform=axes.transAxes, ha="center", va="center", color="0.4")
    if len(everything) and everything.min() < 0 < everything.max():
        axes.axhline(0, color="0.6", linewidth=0.8, zorder=1)
    if plot.ticks:
        places = [place for place, _ in plot.ticks]
        axes.set_xticks(places, [label for _, label in plot.ticks])
        for place in places:
            axes.axvline(place, color="0.75", linewidth=0.8, zorder=1)
        if len(set(places)) > 1:
            axes.set_xlim(min(places), max(places))
    if entries:
        nothing = {label for label in entries if not any(_finite(c).any() for c in plot.curves if c.label == label)}
        labels = [_text(label) + (" (no result)" if label in nothing else "") for label in entries]
        columns = _columns(labels)
        figure.legend(
            list(entries.values()), labels, loc="outside lower center", ncols=columns, fontsize=9, frameon=False,
            handlelength=3,
        )  # fmt: skip


def _columns(labels: Sequence[str]) -> int:
    """As many columns of the legend as fit, filled one after the other, each as wide as its longest label."""
    for columns in range(len(labels), 1, -1):
        filled = [list(part) for part in np.array_split(np.array(labels), columns)]
        even = len(labels) / columns > len(filled[0]) - 1 / 2  # so that the last row is not left with one
        if even and sum(max(map(len, part)) + 8 for part in filled) <= LEGEND_WIDTH:
            return columns
    return 1


def _text(label: str) -> str:
    """A name as it is: no formulas between dollars, and no hiding of what begins with an underscore."""
    return (" " if label.startswith("_") else "") + label.replace("$", r"\$")
