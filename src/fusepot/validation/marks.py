"""Reference points of a plot that no line joins."""

from __future__ import annotations

import numpy as np

from fusepot.structure import FloatArray
from fusepot.validation.interface import Curve


def marks(label: str, x: FloatArray, y: FloatArray) -> Curve:
    """Markers: NaN between the points breaks the line, and a curve that has errors, though unknown, gets markers."""
    broken = np.full((len(x), 2, 2), np.nan)
    broken[:, 0] = np.stack([x, y], axis=1)
    points = broken.reshape(-1, 2)[:-1]
    return Curve(label, points[:, 0], points[:, 1], np.full(len(points), np.nan), style="reference")
