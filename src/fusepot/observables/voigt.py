"""Voigt's notation, decided once: components xx, yy, zz, yz, xz, xy and engineering shear strains (twice epsilon_yz).

A symmetric strain is ``epsilon = sum_a e_a D_a`` with ``D_a = DIRECTIONS[a]``, which holds 1/2 twice for a shear. The
derivative of an energy by ``e_a`` is then the plain component of the symmetric tensor dE/d(epsilon), and a second
derivative is ``C_ijkl`` without a factor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ORDER = ("xx", "yy", "zz", "yz", "xz", "xy")
COMPONENTS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
ROWS, COLUMNS = (np.array(axis) for axis in zip(*COMPONENTS, strict=True))

DIRECTIONS = np.zeros((6, 3, 3))  # D_a: the strain of one unit of e_a
for _a, (_i, _j) in enumerate(COMPONENTS):
    DIRECTIONS[_a, _i, _j] += 0.5
    DIRECTIONS[_a, _j, _i] += 0.5

IDENTITY = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
# d_ik d_jl + d_il d_jk for the pairs (ij) and (kl).
EXCHANGE = np.diag([2.0, 2.0, 2.0, 1.0, 1.0, 1.0])
# (D_a D_b + D_b D_a) / 2: what the second-order part of a Lagrangian strain is contracted with.
PRODUCTS = np.einsum("aij,bjk->abik", DIRECTIONS, DIRECTIONS)
PRODUCTS = (PRODUCTS + PRODUCTS.transpose(1, 0, 2, 3)) / 2


def to_voigt(tensor: Any) -> Any:
    """(..., 3, 3) symmetric stress-like tensors to (..., 6); numpy or jax."""
    return tensor[..., ROWS, COLUMNS]


def to_tensor(components: Any) -> Any:
    """Inverse of ``to_voigt``: (..., 6) stress-like components to (..., 3, 3); numpy or jax."""
    index = np.zeros((3, 3), dtype=int)
    index[ROWS, COLUMNS] = index[COLUMNS, ROWS] = np.arange(6)
    return components[..., index]
