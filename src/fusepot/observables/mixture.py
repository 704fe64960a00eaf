"""Frames of several potentials as one sample: the multistate Bennett acceptance ratio (MBAR).

K trajectories of N_k frames at one temperature, each of its own potential U_k, are together a sample of the mixture

    p(x) ~ sum_k N_k exp(f_k - U_k(x)/kT) =: N exp(-U_mix(x)/kT)

(Shirts & Chodera, J. Chem. Phys. 129, 124105 (2008)). Reweighting from the mixture to any potential is reweighting
from ``U_mix``: all that MBAR adds to ``reweighting.reweight`` is this one reference energy. Solved here and not by
pymbar, which switches jax to float64 for the whole process when it is imported; tests compare with it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fusepot.errors import InputError
from fusepot.structure import FloatArray
from fusepot.units import BOLTZMANN_EV_PER_K

TOLERANCE, ACCEPTED, ITERATIONS = 1e-12, 1e-8, 200  # of frames that a potential has too many or too few, relative
DAMPING = (0.0, *10.0 ** np.arange(-14, 1))
SAME = 1e-10  # of objectives, relative: differences below are rounding


def mixture_energies(energies: FloatArray, temperature_K: float) -> FloatArray:
    """U_mix of every frame in eV, up to a constant that is the same for all.

    Args:
        energies: (K, K, frames) in eV; [k, j]: of potential k for the frames of trajectory j.
        temperature_K: of all trajectories.

    Returns:
        (K, frames); of a single trajectory its own energies.

    Raises:
        InputError: another shape, energies that are not finite, or beyond what float64 can balance.
    """
    values = np.asarray(energies, np.float64)
    if values.ndim != 3 or values.shape[0] != values.shape[1] or not np.isfinite(values).all():
        raise InputError("energies", got=f"shape {values.shape}", expected="finite numbers, (K, K, frames)")
    count, _, frames = values.shape
    if count == 1:
        return values[0].copy()
    kT = BOLTZMANN_EV_PER_K * temperature_K
    reduced = values.reshape(count, count * frames) / kT
    offset = reduced.mean(axis=1, keepdims=True)
    reduced = reduced - offset  # common constants leave the exponentials
    free = _free_energies(reduced, frames)
    mixture = _log_sum(np.log(frames) + free - reduced, axis=0)
    return -kT * mixture.reshape(1, count, frames)[0] + kT * offset[0, 0]


class _Balance(NamedTuple):
    """How well (K, 1) free energies f_k fit.

    Attributes:
        free: they.
        objective: convex, smallest for those sought.
        excess: (K, 1) its gradient: sum_n p_kn / N - 1, how many frames too many a potential has.
        chances: (K, n) p_kn, how likely frame n is one of trajectory k.
    """

    free: FloatArray
    objective: float
    excess: FloatArray
    chances: FloatArray


def _free_energies(reduced: FloatArray, frames: int) -> FloatArray:
    """(K, 1) f_k that solve equation 11: for them, the mixture has as many frames of each potential as there are.

    Newton's method, damped as much as it takes: the iteration of equation 11 itself is very slow where trajectories
    hardly overlap, and where they do not at all the objective is flat, and any f_k in between will do.
    """

    def at(free: FloatArray) -> _Balance:
        common = _log_sum(free - reduced, axis=0)
        chances = np.exp(free - reduced - common)
        excess = chances.sum(axis=1, keepdims=True) / frames - 1
        return _Balance(free, float(len(free) * common.mean() - free.sum()), excess, chances)

    now = at(np.zeros((len(reduced), 1)))
    for _ in range(ITERATIONS):
        if np.abs(now.excess).max() < TOLERANCE:
            break
        curvature = (np.diag(now.chances.sum(axis=1)) - now.chances @ now.chances.T) / frames
        values, modes = np.linalg.eigh(curvature)
        slopes = (modes.T @ now.excess)[:, 0]
        tried = [at(now.free - modes @ (slopes / (values.clip(1e-15) + d))[:, None]) for d in DAMPING]
        best = min(tried, key=lambda one: one.objective)
        if best.objective > now.objective - SAME * max(1.0, abs(now.objective)):
            best = min(tried, key=lambda one: float(np.linalg.norm(one.excess)))
        now = best
    if not np.abs(now.excess).max() < ACCEPTED:
        raise InputError("energies", got="trajectories that hardly overlap", expected="potentials close to each other")
    return now.free


def _log_sum(exponents: FloatArray, *, axis: int) -> FloatArray:
    """Log sum exp, with the summed axis kept."""
    largest = exponents.max(axis=axis, keepdims=True)
    total: FloatArray = np.log(np.exp(exponents - largest).sum(axis=axis, keepdims=True)) + largest
    return total
