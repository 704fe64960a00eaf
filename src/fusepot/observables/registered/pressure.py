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


OBSERVABLES = (
    Observable("stress", "GPa", (STRESS,), stress, shape=(6,)),
    Observable("pressure", "GPa", (STRESS,), pressure),
    Observable("pressure_bar", "bar", (STRESS,), pressure_bar),
)
