"""Elastic constants from fluctuations of the stress at constant volume, and what follows from them.

The free energy per volume of a crystal under pressure has several second derivatives, which agree at zero total stress
only. With s and C^B as in ``terms.py`` and the Lagrangian strain eta = epsilon + epsilon^2/2, this module computes the
isothermal **thermodynamic (Brugger) constants** C_ijkl = (1/V) d2F/d(eta_ij)d(eta_kl):

    C_ijkl = <L_ijkl> - (V/kT) (<s_ij s_kl> - <s_ij><s_kl>) + (N kT/V) (d_ik d_jl + d_il d_jk)
    L_ab   = C^B_ab - s : (D_a D_b + D_b D_a)/2                                   Born term for eta

(Squire, Holt & Hoover, Physica 42, 388 (1969), with momenta integrated analytically, which halves the kinetic term and
leaves the configurational stress in the fluctuation; Van Workum et al., Phys. Rev. E 71, 061102 (2005)). The kinetic
term as written belongs to eta: with C^B in place of L, constants of a crystal at p = 0 would be wrong by up to NkT/V. N
counts all atoms: against a crystal whose centre of mass is fixed, the kinetic term is larger by one part in N.

What a stress-strain experiment or a sound wave under pressure sees are the **stress-strain coefficients** (Wallace,
Solid State Physics 25, 301 (1970)), ``stress_strain_coefficients``. Sound is adiabatic besides, as are the values of
Simmons & Wang: ``adiabatic_change``. All matrices are (6, 6) in the order and with the engineering shears of
``voigt.py``; all functions are traceable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from fusepot.graph import Array
from fusepot.observables.voigt import EXCHANGE, IDENTITY, PRODUCTS, to_tensor
from fusepot.units import BOLTZMANN_EV_PER_K


class StatePoint(NamedTuple):
    """Where averages were taken.

    Attributes:
        temperature_K: temperature.
        volume: of the cell in Å^3.
        atoms: in the cell.
    """

    temperature_K: Array | float  # noqa: N815
    volume: Array | float
    atoms: Array | int

    @property
    def kinetic_pressure(self) -> Array:
        """N kT/V in eV/Å^3."""
        return self.atoms * BOLTZMANN_EV_PER_K * self.temperature_K / self.volume


def total_stress(stress: Array, state: StatePoint) -> Array:
    """Average stress with its kinetic part, (6,) in eV/Å^3, tension positive; ``stress`` is <s>, (6,)."""
    return stress - state.kinetic_pressure * IDENTITY


def isothermal(born: Array, stress: Array, stress_stress: Array, state: StatePoint) -> Array:
    """Isothermal thermodynamic constants of the module's head, (6, 6) in eV/Å^3.

    Args:
        born: <C^B> by linear strain, (6, 6).
        stress: <s>, (6,).
        stress_stress: <s s>, (6, 6).
        state: at constant volume.
    """
    covariance = stress_stress - jnp.outer(stress, stress)
    lagrangian = born - jnp.einsum("abij,ij->ab", PRODUCTS, to_tensor(stress))
    kT = BOLTZMANN_EV_PER_K * state.temperature_K
    return lagrangian - state.volume / kT * covariance + state.kinetic_pressure * EXCHANGE


def stress_strain_coefficients(constants: Array, stress: Array) -> Array:
    """B_ab = d(stress_a)/d(e_b) of a crystal under ``stress`` (6,) (total, tension positive) from C, (6, 6).

    B_ijkl = C_ijkl + (t_ik d_jl + t_il d_jk + t_jk d_il + t_jl d_ik)/2 - t_ij d_kl; under pressure p: B_11 = C_11 - p,
    B_12 = C_12 + p, B_44 = C_44 - p. Not symmetric unless the stress is isotropic.
    """
    turned = 2 * jnp.einsum("abij,ij->ab", PRODUCTS, to_tensor(stress))
    return constants + turned - jnp.outer(stress, jnp.asarray(IDENTITY))


class Thermal(NamedTuple):
    """What the fluctuations of the energy add.

    Attributes:
        stress_slope: (6,) d(total stress)/dT at constant strain in eV/Å^3/K; minus alpha K for an isotropic crystal.
        heat_capacity: of the cell at constant strain in eV/K, classical, kinetic part included.
    """

    stress_slope: Array
    heat_capacity: Array


def thermal(averages: Mapping[str, Array], state: StatePoint) -> Thermal:
    """From <U>, <U U>, <s> (6,) and <U s> (6,) under the names of their terms, at constant volume."""
    energy, stress = averages["energy"], averages["stress"]
    kTT = BOLTZMANN_EV_PER_K * state.temperature_K**2
    kinetic = state.kinetic_pressure / state.temperature_K * IDENTITY
    slope = (averages["energy_stress"] - energy * stress) / kTT - kinetic
    return Thermal(slope, (averages["energy_energy"] - energy**2) / kTT + 1.5 * state.atoms * BOLTZMANN_EV_PER_K)


def adiabatic_change(added: Thermal, state: StatePoint) -> Array:
    """Adiabatic minus isothermal constants: (V T / C_V) l l with l = d(stress)/dT (Wallace 1970), (6, 6) in eV/Å^3.

    Classical, as the sampling is: exact for it, and right for a real crystal well above its Debye temperature only.
    """
    factor = state.volume * state.temperature_K / added.heat_capacity
    return factor * jnp.outer(added.stress_slope, added.stress_slope)


class Hexagonal(NamedTuple):
    """The five constants of a hexagonal crystal with its sixfold axis along z; C66 = (C11 - C12)/2 is no sixth one."""

    C11: Array
    C12: Array
    C13: Array
    C33: Array
    C44: Array


def hexagonal_matrix(five: Hexagonal) -> Array:
    """The (6, 6) constants of a hexagonal crystal."""
    C11, C12, C13, C33, C44 = five
    plane = jnp.array([[C11, C12, C13], [C12, C11, C13], [C13, C13, C33]])
    return jnp.zeros((6, 6)).at[:3, :3].set(plane).at[3, 3].set(C44).at[4, 4].set(C44).at[5, 5].set((C11 - C12) / 2)


def hexagonal(constants: Array) -> Hexagonal:
    """Average of (6, 6) constants over rotations about z: the nearest hexagonal tensor, with all its components used.

    In the plane C12, C66 and C11 - 2 C66 estimate related numbers; the average over rotations weights them.
    """
    c = constants
    plane, mixed, shear = c[0, 0] + c[1, 1], (c[0, 1] + c[1, 0]) / 2, c[5, 5]
    return Hexagonal(
        C11=3 / 8 * plane + mixed / 4 + shear / 2,
        C12=plane / 8 + 3 / 4 * mixed - shear / 2,
        C13=(c[0, 2] + c[1, 2] + c[2, 0] + c[2, 1]) / 4,
        C33=c[2, 2],
        C44=(c[3, 3] + c[4, 4]) / 2,
    )


class Cubic(NamedTuple):
    """The three constants of a cubic crystal with its axes along x, y and z."""

    C11: Array
    C12: Array
    C44: Array


def cubic(constants: Array) -> Cubic:
    """Average of (6, 6) constants over the cubic group: the nearest cubic tensor."""
    c, off = constants, np.triu_indices(3, 1)
    return Cubic(
        C11=(c[0, 0] + c[1, 1] + c[2, 2]) / 3,
        C12=(c[:3, :3][off] + c[:3, :3].T[off]).sum() / 6,
        C44=(c[3, 3] + c[4, 4] + c[5, 5]) / 3,
    )


def cubic_matrix(three: Cubic) -> Array:
    """The (6, 6) constants of a cubic crystal."""
    C11, C12, C44 = three
    return jnp.diag(jnp.array([C11 - C12] * 3 + [C44] * 3)).at[:3, :3].add(C12)
