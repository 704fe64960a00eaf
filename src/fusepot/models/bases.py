"""Radial bases of DimeNet: the envelope, Bessel functions, and the spherical Bessel table in Chebyshev form.

Formulas: Gasteiger, Groß, Günnemann, "Directional message passing for molecular graphs", ICLR 2020, equations 6 to 8.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import spherical_jn

from fusepot.structure import FloatArray


def envelope(x: jax.Array | FloatArray, exponent: int) -> jax.Array | FloatArray:
    """``u(x)`` with u(0) = 1 and u, u', u'' zero at x = d/cutoff = 1 (equation 8, ``p = exponent``)."""
    p = exponent
    a, b, c = -(p + 1) * (p + 2) / 2, p * (p + 2), -p * (p + 1) / 2
    return 1 + x**p * (a + x * (b + x * c))


def bessel_basis(distances: jax.Array, frequencies: jax.Array, cutoff: float, exponent: int) -> jax.Array:
    """``u(d/c) sqrt(2/c) sin(f_n d/c) / d`` (equations 6 and 7), (pairs, n); ``frequencies`` start at n pi."""
    x = distances / cutoff
    prefactor = envelope(x, exponent) * np.sqrt(2 / cutoff) / distances
    return prefactor[:, None] * jnp.sin(x[:, None] * frequencies)


@lru_cache(maxsize=8)
def spherical_bessel_chebyshev(n_spherical: int, n_radial: int, exponent: int, tolerance: float) -> FloatArray:
    """Chebyshev coefficients of the radial half of the spherical basis.

    ``u(x) sqrt(2 / j_{l+1}(z_ln)^2) j_l(z_ln x) sqrt((2 l + 1)/(4 pi))`` on x in [0, 1] as a sum of Chebyshev
    polynomials T_k(2 x - 1); the factor ``cutoff**-1.5`` of equation 6 is left to the caller. Terms are kept until all
    dropped coefficients are below ``tolerance`` times the largest (they fall off faster than exponentially).

    Returns:
        (n_spherical, n_radial, terms) coefficients.
    """
    zeros = np.array([spherical_bessel_zeros(degree, n_radial) for degree in range(n_spherical)])
    nodes = 128 + 2 * int(zeros.max())
    angle = np.pi * (np.arange(nodes) + 0.5) / nodes
    x = (np.cos(angle) + 1) / 2
    to_coefficients = 2 / nodes * np.cos(np.outer(np.arange(nodes // 2), angle))
    to_coefficients[0] /= 2
    degrees = np.arange(n_spherical)[:, None]
    norms = np.sqrt(2 / spherical_jn(degrees + 1, zeros) ** 2 * (2 * degrees + 1) / (4 * np.pi))
    values = envelope(x, exponent) * norms[:, :, None] * spherical_jn(degrees[:, :, None], zeros[:, :, None] * x)
    table = values @ to_coefficients.T
    size = np.abs(table).max(axis=(0, 1))
    terms = int(np.nonzero(size > tolerance * size.max())[0].max()) + 1
    return table[:, :, :terms]


@lru_cache(maxsize=32)
def spherical_bessel_zeros(degree: int, count: int) -> tuple[float, ...]:
    """The first positive zeros of j_l, found between those of j_{l-1} with which they interlace."""
    if degree == 0:
        return tuple(np.pi * np.arange(1, count + 1))
    from scipy.optimize import brentq  # here: a quarter of the time that every MPI rank spends on importing

    bracket = spherical_bessel_zeros(degree - 1, count + 1)
    return tuple(brentq(lambda z: spherical_jn(degree, z), a, b, xtol=1e-14) for a, b in pairwise(bracket))


def chebyshev(x: jax.Array, count: int, *, axis: int = -1) -> jax.Array:
    """T_0 ... T_{count-1} of x in [-1, 1] along a new ``axis``, by the three-term recurrence."""
    twice = 2 * x
    rows = [jnp.ones_like(x), x]
    for _ in range(count - 2):
        rows.append(twice * rows[-1] - rows[-2])
    return jnp.stack(rows[:count], axis=axis)


@lru_cache(maxsize=8)
def legendre_in_chebyshev(count: int) -> FloatArray:
    """Matrix a with ``P_l = sum_t a[l, t] T_t`` for l, t < count; its entries lie between 0 and 1."""
    table = np.zeros((count, count))
    for degree in range(count):
        powers = np.polynomial.legendre.leg2poly([0.0] * degree + [1.0])
        table[degree, : degree + 1] = np.polynomial.chebyshev.poly2cheb(powers)
    return table
