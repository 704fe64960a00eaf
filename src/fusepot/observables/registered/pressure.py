"""Pressure, and the stress tensor behind it; kinetic parts are analytic (N kT/V), not from velocities."""

from __future__ import annotations

import jax

from fusepot.observables.elastic import StatePoint, total_stress
from fusepot.observables.interface import Averages, Observable
from fusepot.observables.terms import STRESS
from fusepot.units import BAR_PER_EV_PER_A3, GPA_PER_EV_PER_A3


def stress(averages: Averages, state: StatePoint) -> jax.Array:
    """(6,) in GPa, tension positive, Voigt's order."""
    return total_stress(averages["stress"], state) * GPA_PER_EV_PER_A3


def pressure(averages: Averages, state: StatePoint) -> jax.Array:
    """-trace(stress)/3 in GPa."""
    return -stress(averages, state)[:3].sum() / 3


def pressure_bar(averages: Averages, state: StatePoint) -> jax.Array:
    """-trace(stress)/3 in bar."""
    return pressure(averages, state) * (BAR_PER_EV_PER_A3 / GPA_PER_EV_PER_A3)


def pressure_basal(averages: Averages, state: StatePoint) -> jax.Array:
    """In the basal plane of a crystal with its axis along z, -(s_xx + s_yy)/2 in GPa."""
    return -stress(averages, state)[:2].sum() / 2


def pressure_axial(averages: Averages, state: StatePoint) -> jax.Array:
    """Along the axis, z: -s_zz in GPa; zero, as ``pressure_basal``, where both lattice constants are right."""
    return -stress(averages, state)[2]


OBSERVABLES = (
    Observable("stress", "GPa", (STRESS,), stress, shape=(6,)),
    Observable("pressure", "GPa", (STRESS,), pressure),
    Observable("hexagonal.pressure_basal", "GPa", (STRESS,), pressure_basal),
    Observable("hexagonal.pressure_axial", "GPa", (STRESS,), pressure_axial),
    Observable("pressure_bar", "bar", (STRESS,), pressure_bar),
)
