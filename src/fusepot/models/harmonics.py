"""Real solid harmonics of unit vectors up to l = 4, with Racah's normalisation.

``sum_m C_lm(u) C_lm(v) = P_l(u . v)``: sums over pairs of neighbours become squares of sums over neighbours.
"""

from __future__ import annotations

import jax
import numpy as np

L_MAX = 4


def racah(x: jax.Array, y: jax.Array, z: jax.Array, l_max: int) -> list[jax.Array]:
    """C_lm for l = 1 ... l_max of the unit vector (x, y, z): 2 l + 1 arrays for each l, in one list.

    Order within one l: m = 0, then the cosine and the sine part of m = 1, 2, ... The formulas are products of the
    associated Legendre polynomials in z with Re and Im of (x + iy)^m.
    """
    s3, s5, s6, s10, s15, s35, s70 = np.sqrt([3.0, 5.0, 6.0, 10.0, 15.0, 35.0, 70.0]).tolist()
    zz = z * z
    c2, s2 = x * x - y * y, 2 * x * y
    values = [z, x, y]
    if l_max >= 2:
        values += [1.5 * zz - 0.5, s3 * x * z, s3 * y * z, s3 / 2 * c2, s3 / 2 * s2]
    if l_max >= 3:
        c3, s3_ = x * c2 - y * s2, x * s2 + y * c2
        first, second, third = s6 / 4 * (5 * zz - 1), s15 / 2 * z, s10 / 4
        values += [z * (2.5 * zz - 1.5), first * x, first * y, second * c2, second * s2, third * c3, third * s3_]
    if l_max >= 4:
        c4, s4 = c2 * c2 - s2 * s2, 2 * c2 * s2
        first, second, third = s10 / 4 * z * (7 * zz - 3), s5 / 4 * (7 * zz - 1), s70 / 4 * z
        values += [(zz * (35 * zz - 30) + 3) / 8, first * x, first * y, second * c2, second * s2]
        values += [third * c3, third * s3_, s35 / 8 * c4, s35 / 8 * s4]
    return values


def power_matrix(l_max: int, dtype: np.dtype) -> np.ndarray:
    """(components, l_max) matrix that sums squared components of each l into ``(2 l + 1) / (4 pi) sum_m C_lm^2``."""
    rows = [degree for degree in range(1, l_max + 1) for _ in range(2 * degree + 1)]
    table = np.zeros((len(rows), l_max), dtype)
    for row, degree in enumerate(rows):
        table[row, degree - 1] = (2 * degree + 1) / (4 * np.pi)
    return table


def cubic_invariant(moments: jax.Array) -> jax.Array:
    """The invariant of third order in the l = 2 components (last axis, in ``racah``'s order): tr Q^3 = 3 det Q.

    ``Q = sum_j g_j (u_j u_j^T - 1/3)``, a symmetric traceless tensor. Returns tr Q^3 without the last axis.
    """
    zero, xz, yz, c, s = (moments[..., k] for k in range(5))
    third = 1 / np.sqrt(3.0).item()
    xx, yy, zz = third * c - zero / 3, -third * c - zero / 3, zero * (2 / 3)
    xy, xz, yz = third * s, third * xz, third * yz
    return 3 * (xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz))
