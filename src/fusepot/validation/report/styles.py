"""How the potentials look, in plots and on the page: colour and marker differ, the same ones everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Style(NamedTuple):
    """Attributes: ``colour``; ``marker`` and ``dashes`` as matplotlib wants them; ``glyph``, the marker as text."""

    colour: str
    marker: str
    dashes: str | tuple[float, tuple[float, ...]]
    glyph: str


# Colours for all kinds of colour vision (Okabe & Ito 2008; the last three: P. Tol, SRON/EPS/TN/09-002), without the
# yellow, which paper swallows, and black, which is experiment.
STYLES = (
    Style("#0072B2", "o", "-", "●"),
    Style("#D55E00", "s", (0, (7, 1.5)), "■"),
    Style("#009E73", "^", (0, (1, 1)), "▲"),
    Style("#CC79A7", "D", (0, (5, 1, 1, 1)), "◆"),
    Style("#E69F00", "v", (0, (3, 1)), "▼"),
    Style("#332288", "P", (0, (5, 1, 1, 1, 1, 1)), "✚"),
    Style("#882255", "X", (0, (1, 2)), "✖"),
    Style("#999933", "*", (0, (9, 2, 2, 2)), "★"),
)


def style_of(label: str, names: Sequence[str]) -> Style:
    """The style of a potential, or of the curve of one: its label is the name, or begins with it.

    What belongs to no potential gets the first style that none of them has.
    """
    fits = [name for name in names if label == name or (label.startswith(name) and not label[len(name)].isalnum())]
    place = names.index(max(fits, key=len)) if fits else len(names)
    return STYLES[place % len(STYLES)]
