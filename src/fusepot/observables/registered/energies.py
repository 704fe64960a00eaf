"""Energies of the canonical ensemble, classical; reference energies of the elements are not part of them."""

from __future__ import annotations

import jax

from fusepot.observables.elastic import StatePoint, thermal
from fusepot.observables.interface import Averages, Observable
from fusepot.observables.terms import ENERGY, ENERGY_ENERGY, ENERGY_STRESS, STRESS
from fusepot.units import BOLTZMANN_EV_PER_K


def energy_per_atom(averages: Averages, state: StatePoint) -> jax.Array:
    """Mean potential energy in eV/atom."""
    return averages["energy"] / state.atoms


def heat_capacity(averages: Averages, state: StatePoint) -> jax.Array:
    """C_V per atom over k_B: 3 for a harmonic crystal."""
    return thermal(averages, state).heat_capacity / (state.atoms * BOLTZMANN_EV_PER_K)


OBSERVABLES = (
    Observable("energy_per_atom", "eV", (ENERGY,), energy_per_atom),
    Observable("heat_capacity", "1", (ENERGY, ENERGY_ENERGY, STRESS, ENERGY_STRESS), heat_capacity, fixed_cell=True),
)
