"""Motion: what changes from step to step of molecular dynamics, and how it begins.

Units inside the integrators are eV, Å and fs, hence masses in eV fs^2/Å^2: usual time steps are exact in float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_masses

from fusepot.graph import Array
from fusepot.structure import Structure
from fusepot.units import EV_FS2_PER_A2_AMU


class Motion(NamedTuple):
    """Atoms, cell and thermostats.

    Attributes:
        position: (atoms, 3) in Å, relative to reference positions, which stay exact in float64 elsewhere.
        momentum: (atoms, 3) in eV fs/Å.
        mass: (atoms, 1) in eV fs^2/Å^2.
        rng: random key, used by Langevin dynamics.
        energies: (atoms,) potential energy at ``position`` in eV, without reference energies.
        force: (atoms, 3) at ``position`` in eV/Å.
        virial: trace of dE/d(strain) in eV.
        log_scale: logarithm of cell lengths over those of the reference cell.
        cell_momentum: conjugate to ``log_scale``, in eV fs.
        thermostat: (2, length) positions and momenta of the chain on the atoms; length 0 without one.
        barostat: (2, length) the same of the chain on the cell.
    """

    position: Array
    momentum: Array
    mass: Array
    rng: Array
    energies: Array
    force: Array
    virial: Array
    log_scale: Array
    cell_momentum: Array
    thermostat: Array
    barostat: Array

    def set(self, **changes: Any) -> Motion:
        """``_replace`` under the name that jax-md's functions call."""
        return self._replace(**changes)


def at_rest(structure: Structure, dtype: str) -> Motion:
    """No momenta, no forces yet, position zero, no chains; numpy."""
    n = len(structure)
    mass = EV_FS2_PER_A2_AMU * atomic_masses[structure.numbers][:, None]
    zero, vectors = np.zeros((), dtype), np.zeros((n, 3), dtype)
    return Motion(
        position=vectors,
        momentum=vectors,
        mass=mass.astype(dtype),
        rng=np.zeros(2, np.uint32),
        energies=np.zeros(n, dtype),
        force=vectors,
        virial=zero,
        log_scale=zero,
        cell_momentum=zero,
        thermostat=np.zeros((2, 0), dtype),
        barostat=np.zeros((2, 0), dtype),
    )


def with_velocities(motion: Motion, kT: float, seed: int) -> Motion:
    """With Maxwell-Boltzmann momenta of total zero, and a random key, both from ``seed``; numpy."""
    draw = np.random.default_rng(seed).standard_normal(motion.momentum.shape)
    mass = motion.mass.astype(np.float64)
    momentum = np.sqrt(mass * kT) * draw
    if len(mass) > 1:
        momentum -= mass * momentum.sum(axis=0) / mass.sum()
    key = np.asarray(jax.random.key_data(jax.random.key(seed)))
    return motion._replace(momentum=momentum.astype(motion.momentum.dtype), rng=key)


def centered(motion: Motion) -> Motion:
    """With the velocity of the centre of mass taken from every atom; traceable.

    The projection that is orthogonal in the metric of the kinetic energy: Maxwell-Boltzmann momenta stay
    Maxwell-Boltzmann, on 3 N - 3 degrees of freedom. A single atom keeps its velocity.
    """
    if len(motion.mass) == 1:
        return motion
    drift = motion.momentum.sum(axis=0) / motion.mass.sum()
    return motion._replace(momentum=motion.momentum - motion.mass * drift)


def kinetic_energies(motion: Motion) -> jax.Array:
    """(atoms,) in eV; traceable."""
    return jnp.sum(motion.momentum**2 / motion.mass, axis=-1) / 2
