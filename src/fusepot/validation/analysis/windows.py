"""Self-diffusion: velocity autocorrelation and mean square displacement in overlapping windows of a trajectory.

With C(t) = <v(0).v(t)> and M(t) = <|x(t) - x(0)|^2>, both means over atoms, per window:

    D = (1/3) int_0^T C(t) dt        (Green and Kubo; trapezoidal rule, and C'(0) = 0 makes its error small)
    D = (M(2T) - M(T)) / (6 T)       (Einstein; the slope by least squares over T..2T)

T is half the length of a window. Both are linear in C and M: D is the mean of the windows' values, and its error that
of a mean of a correlated series. M'' = 2 C, so the two are no independent measurements; they differ in the part of C(t)
beyond T, and agree where the integral has reached its plateau.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.integrate import cumulative_trapezoid

from fusepot.structure import FloatArray
from fusepot.validation.analysis.averages import Mean, mean_of
from fusepot.validation.interface import RunFailed

M2_S_PER_A2_PS = 1e-8  # 1 Å^2/ps in m^2/s


@dataclass(frozen=True)
class Windows:
    """Averages over atoms, of each window.

    Attributes:
        times: (lags,) in ps, evenly spaced from zero.
        vacf: (windows, lags) velocity autocorrelation, Å^2/ps^2.
        msd: (windows, lags) mean square displacement, Å^2.
    """

    times: FloatArray
    vacf: FloatArray
    msd: FloatArray

    @property
    def integrals(self) -> FloatArray:
        """(windows, lags) D(t) in m^2/s: a third of the integral of the velocity autocorrelation up to t."""
        return M2_S_PER_A2_PS / 3 * cumulative_trapezoid(self.vacf, self.times, initial=0)

    @property
    def green_kubo(self) -> FloatArray:
        """(windows,) D in m^2/s by the integral over half the window."""
        return self.integrals[:, self._half]

    @property
    def einstein(self) -> FloatArray:
        """(windows,) D in m^2/s by the slope of the mean square displacement over the other half."""
        slope = np.polyfit(self.times[self._half :], self.msd[:, self._half :].T, 1)[0]
        return M2_S_PER_A2_PS / 6 * slope

    @property
    def disagreement(self) -> float:
        """How far the two are apart, in standard errors of their difference window by window."""
        difference: Mean = mean_of(self.green_kubo - self.einstein)
        return abs(difference.value) / difference.error

    @property
    def _half(self) -> int:
        return (len(self.times) - 1) // 2


def read_windows(
    path: Path, *, begin: int, origin: int, window: int, fine: int, count: int, timestep_fs: float
) -> Windows:
    """Read what ``liquid.in`` wrote; the windows that the run completed.

    A run that was killed and continues writes some lines twice: the last ones count.

    Args:
        path: its ``out.windows``: step, then origin (step), autocorrelation and displacement of each slot.
        begin: step of the first origin.
        origin: steps between origins.
        window: steps from an origin to the longest lag.
        fine: steps between lags.
        count: of origins.
        timestep_fs: of the run.

    Raises:
        RunFailed: there is no such file, or a value is missing or not finite.
    """
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    except OSError as error:
        raise RunFailed(f"{path.name} is missing: {error}") from error
    width = 1 + 3 * (window // origin)
    values = np.full((2, count, window // fine + 1), np.nan)
    for words in lines:
        if len(words) != width or "#" in "".join(words):  # a killed run may leave half a line
            continue
        row = np.array(words, float)
        origins = row[1::3].astype(int)
        k, lags = (origins - begin) // origin, (int(row[0]) - origins) // fine
        values[:, k, lags] = row[2::3], row[3::3]
    complete = count - window // origin + 1  # the last origins have no full window before the end
    values = values[:, :complete]
    if complete < 2 or not np.isfinite(values).all():
        raise RunFailed(
            f"{path.name} lacks values of {int(np.isnan(values).any(axis=(0, 2)).sum())} of {complete} windows"
        )
    return Windows(np.arange(values.shape[2]) * fine * timestep_fs / 1000, *values)
