"""One step of molecular dynamics for each ensemble; pure and traceable.

Composed of the parts of ``jax_md.simulate``, so that each step evaluates the potential once (jax-md's own NPT does it
twice, both times by differentiating an energy) and energies are at hand where forces are. Tests compare with
jax-md's own compositions. What differs from them, on purpose: the total momentum stays zero, so temperatures count
3 N - 3 degrees of freedom; a chain's half step scales the momenta once, not at each of its substeps; the time step
is not rounded to float32.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Any

import jax
import jax.numpy as jnp

from fusepot.graph import Array
from fusepot.sampling.ensembles import Chain, Ensemble, Npt, Nve, Nvt, Settings
from fusepot.sampling.motion import Motion, centered, kinetic_energies
from fusepot.sampling.trajectory import degrees_of_freedom

Evaluate = Callable[[Array, Array], tuple[jax.Array, jax.Array, jax.Array]]
"""(position, log_scale) -> energies (atoms,), forces (atoms, 3), trace of the virial."""
Step = Callable[[Motion], Motion]


def step_of(
    ensemble: type[Ensemble], chain: Chain, evaluate: Evaluate, settings: Settings, *, origin: Array, volume: Array
) -> Step:
    """The step function of an ensemble.

    Args:
        ensemble: which.
        chain: of Nosé-Hoover ensembles.
        evaluate: the potential.
        settings: numbers, which may be traced.
        origin: (atoms, 3) reference positions in Å, to which positions of motions are relative.
        volume: of the reference cell in Å^3.
    """
    degrees = degrees_of_freedom(len(origin))
    if ensemble is Nve:
        return lambda motion: verlet(motion, evaluate, settings.timestep)
    if ensemble is Nvt:
        return lambda motion: langevin(motion, evaluate, settings)
    if ensemble is Npt:
        return lambda motion: npt(
            motion, evaluate, settings, chain=chain, origin=origin, volume=volume, degrees=degrees
        )
    return lambda motion: nose_hoover(motion, evaluate, settings, chain=chain, degrees=degrees)


def evaluated(motion: Motion, evaluate: Evaluate) -> Motion:
    """With energies and forces of its position."""
    energies, force, virial = evaluate(motion.position, motion.log_scale)
    return motion._replace(energies=energies, force=force, virial=virial)


def verlet(motion: Motion, evaluate: Evaluate, dt: Array) -> Motion:
    """Velocity Verlet."""
    parts = jax_md_simulate()
    motion = parts.momentum_step(motion, dt / 2)
    motion = evaluated(parts.position_step(motion, add, dt), evaluate)
    return parts.momentum_step(motion, dt / 2)


def langevin(motion: Motion, evaluate: Evaluate, settings: Settings) -> Motion:
    """BAOAB; the random force, like all others, does not accelerate the centre of mass."""
    parts, dt = jax_md_simulate(), settings.timestep
    motion = parts.momentum_step(motion, dt / 2)
    motion = parts.position_step(motion, add, dt / 2)
    motion = centered(parts.stochastic_step(motion, dt, settings.kT, settings.friction))
    motion = evaluated(parts.position_step(motion, add, dt / 2), evaluate)
    return parts.momentum_step(motion, dt / 2)


def nose_hoover(motion: Motion, evaluate: Evaluate, settings: Settings, *, chain: Chain, degrees: int) -> Motion:
    """Half a step of the chain, velocity Verlet, half a step of the chain."""
    motion = _thermostat(motion, settings, chain, degrees)
    return _thermostat(verlet(motion, evaluate, settings.timestep), settings, chain, degrees)


def npt(
    motion: Motion,
    evaluate: Evaluate,
    settings: Settings,
    *,
    chain: Chain,
    origin: Array,
    volume: Array,
    degrees: int,
) -> Motion:
    """Tuckerman et al. (2006), section 5: the chains, the cell and the atoms, the chains.

    With ``degrees`` = 3 N equal to ``jax_md.simulate.npt_nose_hoover`` of Cartesian positions that are not wrapped.
    """
    dt = settings.timestep
    alpha = 1 + 3 / degrees
    cell_mass = (degrees + 3) * settings.kT * settings.barostat_damping**2

    def push_cell(motion: Motion) -> Motion:
        work = settings.pressure * volume * jnp.exp(3 * motion.log_scale)
        force = 2 * alpha * kinetic_energies(motion).sum() - motion.virial - 3 * work
        return motion._replace(cell_momentum=motion.cell_momentum + dt / 2 * force)

    def push_atoms(motion: Motion) -> Motion:
        x = alpha * motion.cell_momentum / cell_mass * dt / 4
        kick = dt / 2 * motion.force * _sinh_over(x) * jnp.exp(-x)
        return motion._replace(momentum=motion.momentum * jnp.exp(-2 * x) + kick)

    def move(motion: Motion) -> Motion:
        x = motion.cell_momentum / cell_mass * dt
        moved = dt * motion.momentum / motion.mass * jnp.exp(x / 2) * _sinh_over(x / 2)
        position = motion.position + (origin + motion.position) * jnp.expm1(x) + moved
        return motion._replace(position=position, log_scale=motion.log_scale + x)

    def chains(motion: Motion) -> Motion:
        motion = _thermostat(motion, settings, chain, degrees)
        twice = motion.cell_momentum**2 / cell_mass
        scale, barostat = half_step(chain, settings, settings.barostat_damping, motion.barostat, twice, 1)
        return motion._replace(cell_momentum=scale * motion.cell_momentum, barostat=barostat)

    motion = push_atoms(push_cell(chains(motion)))
    motion = evaluated(move(motion), evaluate)
    return chains(push_cell(push_atoms(motion)))


def half_step(
    chain: Chain, settings: Settings, damping: Array, state: Array, twice_kinetic: Array, degrees: int
) -> tuple[jax.Array, jax.Array]:
    """Half a time step of a Nosé-Hoover chain: the factor for the momenta it acts on, and the chain afterwards."""
    parts = jax_md_simulate()
    steps = parts.nose_hoover_chain(settings.timestep, chain.length, chain.steps, chain.suzuki_yoshida, damping)
    before = parts.NoseHooverChain(state[0], state[1], state[1], damping, twice_kinetic / 2, degrees)
    one = jnp.ones((), state.dtype)
    scale, after = steps.half_step(one, steps.update_mass(before, settings.kT), settings.kT)
    return scale, jnp.stack([after.position, after.momentum])


def _thermostat(motion: Motion, settings: Settings, chain: Chain, degrees: int) -> Motion:
    twice = 2 * kinetic_energies(motion).sum()
    scale, state = half_step(chain, settings, settings.damping, motion.thermostat, twice, degrees)
    return motion._replace(momentum=scale * motion.momentum, thermostat=state)


def _sinh_over(x: jax.Array) -> jax.Array:
    """sinh(x) / x for the small x of one step, where the quotient would lose digits."""
    return 1 + x**2 / 6 * (1 + x**2 / 20 * (1 + x**2 / 42))


def jax_md_simulate() -> Any:
    """``jax_md.simulate``, imported late: it takes seconds, and runs computations on the device."""
    from jax_md import simulate

    return simulate
