"""Standard errors of averages along a trajectory, whose frames are correlated, and of functions of such averages.

Two independent ways. **Blocks**: the trajectory is cut into B blocks (ten in Röcken & Zavadlav 2024) longer than the
correlation time. For a function of averages each block is left out once (jackknife; Efron & Tibshirani, An Introduction
to the Bootstrap, chapter 11), because a block by itself is too short for elastic constants: they contain the variance
of the stress. **Autocorrelation**: the function is linearised at the averages, which makes one series of it, and the
variance of the mean of a series is its variance times g / n, with the statistical inefficiency

    g = 1 + 2 sum_{t=1..W} rho(t),    W the first lag with W >= 5 g/2

(Sokal, in Functional Integration (1997), section 3; the linearisation, and a factor 1 + (2 W + 1)/n for the mean taken
from the same series: Wolff, Comput. Phys. Commun. 156, 143 (2004)). Blocks need no model of the correlations;
autocorrelation has the smaller error of the error, and warns where blocks are too short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusepot.errors import InputError
from fusepot.graph import Array
from fusepot.observables.reweighting import average
from fusepot.observables.terms import Series, require_float64
from fusepot.structure import FloatArray

BLOCKS = 10
WINDOW = 5.0  # lags summed, in units of the integrated correlation time g/2
Function = Callable[[Mapping[str, jax.Array]], jax.Array]


class Jackknife(NamedTuple):
    """Attributes: ``error``, the standard error; ``bias``, the estimated excess of the value over its expectation."""

    error: Array
    bias: Array


def block_means(series: ArrayLike, blocks: int = BLOCKS) -> FloatArray:
    """(blocks, ...) means of consecutive blocks of a (frames, ...) series, whose sizes differ by one at most.

    Raises:
        InputError: fewer than two blocks, or fewer frames than blocks.
    """
    values = np.asarray(series, np.float64)
    _check_blocks(len(values), blocks)
    return np.array([block.mean(axis=0) for block in np.array_split(values, blocks)])


def block_error(series: ArrayLike, blocks: int = BLOCKS) -> FloatArray:
    """Standard error (...) of the mean of a (frames, ...) series: standard deviation of block means over sqrt(blocks).

    Raises:
        InputError: as ``block_means``.
    """
    return np.std(block_means(series, blocks), axis=0, ddof=1) / np.sqrt(blocks)


def statistical_inefficiency(series: ArrayLike) -> float:
    """How many frames count as one independent one: g of the module's head of a (frames,) series, at least 1."""
    values = np.asarray(series, np.float64)
    n = len(values)
    deviations = values - values.mean()
    spectrum = np.fft.rfft(deviations, 2 * n)
    covariances = np.fft.irfft(spectrum * spectrum.conj())[:n]  # zero-padded: no wrap-around
    if n < 2 or covariances[0] <= 1e-28 * n * np.square(values).max(initial=0):
        return 1.0  # constant up to rounding
    sums = 2 * np.cumsum(covariances / covariances[0]) - 1
    far_enough = np.arange(n) >= WINDOW * np.maximum(sums, 1) / 2
    window = int(far_enough.argmax()) if far_enough.any() else n - 1
    # Subtracting the mean of the series itself makes every correlation too small by g/n.
    return float(max(1.0, sums[window] * (1 + (2 * window + 1) / n)))


def correlated_error(series: ArrayLike) -> float:
    """Standard error of the mean of a (frames,) series, from its autocorrelation."""
    values = np.asarray(series, np.float64)
    return float(np.std(values) * np.sqrt(statistical_inefficiency(values) / len(values)))


def jackknife(series: Mapping[str, Series], weights: Array, function: Function, *, blocks: int = BLOCKS) -> Jackknife:
    """Standard error of ``function`` of averages, each block of frames left out once. Traceable.

    Args:
        series: per-frame terms.
        weights: (frames,) weights of the frames.
        function: from the averages by name to an array.
        blocks: how many.

    Raises:
        InputError: fewer than two blocks, fewer frames than blocks, a sparse term whose frames all lie in one block,
            or jax is limited to float32.
    """
    require_float64("jackknife")
    count = len(weights)
    _check_blocks(count, blocks)
    block_of = np.arange(count) * blocks // count
    for name, (_, frames) in series.items():
        if isinstance(frames, np.ndarray) and len(np.unique(block_of[frames])) < 2:
            raise InputError(
                f"term {name}",
                got=f"{len(frames)} frames in one of {blocks} blocks",
                expected="frames in several blocks",
                remedy="Lower sparse_every.",
            )

    kept = jnp.where(block_of == np.arange(blocks)[:, None], 0, weights)
    left_out = jax.vmap(function)(jax.vmap(lambda w: average(series, w))(kept))
    mean = left_out.mean(axis=0)
    error = jnp.sqrt((blocks - 1) * jnp.mean((left_out - mean) ** 2, axis=0))
    return Jackknife(error, (blocks - 1) * (mean - function(average(series, weights))))


def linearised(series: Mapping[str, Series], weights: Array, function: Function) -> Array:
    """(frames, ...) contributions of the frames to ``function`` of averages, to first order; their mean is zero.

    Its spread over the square root of the number of independent frames is the function's standard error. Traceable.
    """
    require_float64("linearised")
    averages, count = average(series, weights), len(weights)
    changes: dict[str, Any] = {}
    for name, (values, frames) in series.items():
        w = jnp.asarray(weights)[frames]
        scaled = count * (w / w.sum()).reshape(-1, *[1] * (values.ndim - 1)) * (values - averages[name])
        changes[name] = jnp.zeros((count, *values.shape[1:]), scaled.dtype).at[frames].set(scaled)
    _, slope = jax.linearize(function, averages)
    return jax.vmap(slope)(changes)


def correlated_errors(contributions: ArrayLike) -> FloatArray:
    """(...) standard errors of (frames, ...) series such as ``linearised`` makes, from their autocorrelation."""
    values = np.asarray(contributions, np.float64)
    flat: NDArray = values.reshape(len(values), -1)
    errors = np.array([correlated_error(column) for column in flat.T])
    return errors.reshape(values.shape[1:])


def _check_blocks(frames: int, blocks: int) -> None:
    if not 2 <= blocks <= frames:
        raise InputError(
            "blocks",
            got=f"{blocks} for {frames} frames",
            expected="at least two, and no more than frames",
            remedy="Sample more frames, or use fewer blocks.",
        )
