"""Moduli of a polycrystal from its (6, 6) elastic constants; traceable, in the unit of the argument.

Voigt's averages (uniform strain) are the paper's (Röcken & Zavadlav 2024, Methods): for a hexagonal crystal

    K = 2/9 (C11 + C12 + 2 C13 + C33/2),   G = (12 C44 + 7 C11 - 5 C12 + 2 C33 - 4 C13)/30,   nu = (3K - 2G)/(6K + 2G)

Here they are written for any symmetry; no averaging over symmetry has to come first. Reuss's (uniform stress) are lower
bounds, Voigt's upper ones, and Hill's lie between (Hill, Proc. Phys. Soc. A 65, 349 (1952)).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from fusepot.graph import Array


class Moduli(NamedTuple):
    """Attributes: ``bulk`` K and ``shear`` G modulus."""

    bulk: Array
    shear: Array

    @property
    def poisson(self) -> Array:
        """Poisson's ratio."""
        return (3 * self.bulk - 2 * self.shear) / (6 * self.bulk + 2 * self.shear)


def voigt(constants: Array) -> Moduli:
    """Uniform strain, as in the paper."""
    diagonal, mixed, shears = _parts(constants)
    return Moduli((diagonal + 2 * mixed) / 9, (diagonal - mixed + 3 * shears) / 15)


def reuss(constants: Array) -> Moduli:
    """Uniform stress."""
    diagonal, mixed, shears = _parts(jnp.linalg.inv(constants))
    return Moduli(1 / (diagonal + 2 * mixed), 15 / (4 * diagonal - 4 * mixed + 3 * shears))


def hill(constants: Array) -> Moduli:
    """Means of Voigt's and Reuss's moduli."""
    upper, lower = voigt(constants), reuss(constants)
    return Moduli((upper.bulk + lower.bulk) / 2, (upper.shear + lower.shear) / 2)


def _parts(c: Array) -> tuple[Array, Array, Array]:
    """Sums of C_11, of C_12 and of C_44 and their like; the matrix need not be symmetric to rounding."""
    mixed = (c[0, 1] + c[0, 2] + c[1, 2] + c[1, 0] + c[2, 0] + c[2, 1]) / 2
    return c[0, 0] + c[1, 1] + c[2, 2], mixed, c[3, 3] + c[4, 4] + c[5, 5]
