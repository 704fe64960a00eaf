"""Each step against jax-md's own composition of it, and Langevin dynamics against its analytic answer."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax_md import simulate as library

from fusepot.sampling import integrators
from fusepot.sampling.ensembles import Chain, Settings
from fusepot.sampling.motion import Motion, centered
from fusepot.units import EV_FS2_PER_A2_AMU

ATOMS, BOX = 5, np.diag([4.0, 4.5, 5.0])
SETTINGS = Settings(timestep=2.0, kT=0.05, friction=0.02, damping=50.0, barostat_damping=200.0, pressure=0.003)
CHAIN = Chain(4, 2, 3)


def energy(position: Any, box: Any = BOX, perturbation: Any = 1.0) -> jax.Array:
    """Springs between all atoms, and something that depends on the volume: only to compare integrators."""
    difference = (position[:, None] - position) * perturbation + jnp.eye(len(position))[:, :, None]
    springs = jnp.sum((jnp.linalg.norm(difference, axis=-1) - 2.0) ** 2) / 4
    return springs + 0.1 * jnp.log(jnp.linalg.det(box * perturbation)) ** 2


def evaluate_around(origin: np.ndarray) -> Any:
    def evaluate(position: Any, log_scale: Any) -> Any:
        box = BOX * jnp.exp(log_scale)
        value, gradient = jax.value_and_grad(energy)(origin + position, box)
        virial = jax.grad(energy, argnums=2)(origin + position, box, 1.0)
        return jnp.full(len(position), value / len(position)), -gradient, virial

    return evaluate


def begin(seed: int, *, atoms: int = ATOMS, chain: int = CHAIN.length) -> tuple[np.ndarray, Motion]:
    rng = np.random.default_rng(seed)
    origin = rng.uniform(0, 4, (atoms, 3))
    zero = jnp.zeros(())
    motion = Motion(
        position=jnp.asarray(rng.normal(0, 0.1, (atoms, 3))),
        momentum=jnp.asarray(rng.normal(0, 15.0, (atoms, 3))),
        mass=jnp.asarray(EV_FS2_PER_A2_AMU * rng.uniform(10, 50, (atoms, 1))),
        rng=jax.random.key(seed),
        energies=jnp.zeros(atoms),
        force=jnp.zeros((atoms, 3)),
        virial=zero,
        log_scale=zero,
        cell_momentum=zero,
        thermostat=jnp.zeros((2, chain)),
        barostat=jnp.zeros((2, chain)),
    )
    motion = motion if atoms == 1 else centered(motion)
    return origin, integrators.evaluated(motion, evaluate_around(origin))


def many(step: Any, state: Any, steps: int) -> Any:
    return jax.jit(lambda state: jax.lax.fori_loop(0, steps, lambda _, s: step(s), state))(state)


def start_library(init: Any, origin: np.ndarray, motion: Motion, **more: Any) -> Any:
    return init(motion.rng, origin + motion.position, mass=motion.mass, momenta=motion.momentum, **more)


def agree(ours: Motion, theirs: Any, origin: np.ndarray, label: str) -> None:
    np.testing.assert_allclose(origin + ours.position, theirs.position, rtol=0, atol=1e-7, err_msg=label)
    np.testing.assert_allclose(ours.momentum, theirs.momentum, rtol=0, atol=1e-5, err_msg=label)


SEEDS = (1,)  # each further one compiles everything again


@pytest.mark.parametrize("seed", SEEDS)
def test_verlet_and_langevin_are_those_of_jax_md(seed: int) -> None:
    with jax.enable_x64(True):
        origin, motion = begin(seed)
        init, step = library.nve(energy, lambda r, dr, **_: r + dr, dt=SETTINGS.timestep)
        theirs = many(step, start_library(init, origin, motion, kT=0.0), 50)
        ours = many(lambda m: integrators.verlet(m, evaluate_around(origin), SETTINGS.timestep), motion, 50)
        agree(ours, theirs, origin, f"NVE, seed {seed}")

        # One atom, whose momentum jax-md and we both leave alone.
        origin, motion = begin(seed, atoms=1)
        init, step = library.nvt_langevin(
            lambda r, **_: jnp.sum(r**2), lambda r, dr, **_: r + dr, SETTINGS.timestep, SETTINGS.kT, SETTINGS.friction
        )

        def spring(position: Any, log_scale: Any) -> Any:
            return jnp.zeros(1), -2 * (origin + position), jnp.zeros(())

        motion = integrators.evaluated(motion, spring)
        theirs = start_library(init, origin, motion).set(rng=motion.rng)
        ours = many(lambda m: integrators.langevin(m, spring, SETTINGS), motion, 50)
        agree(ours, many(step, theirs, 50), origin, f"Langevin, seed {seed}")


@pytest.mark.slow  # the chains are those of constant pressure below
@pytest.mark.parametrize("seed", SEEDS)
def test_nose_hoover_is_that_of_jax_md(seed: int) -> None:
    with jax.enable_x64(True):
        origin, motion = begin(seed)
        init, step = library.nvt_nose_hoover(
            energy, lambda r, dr, **_: r + dr, 2.0, SETTINGS.kT, *CHAIN, tau=SETTINGS.damping
        )
        theirs = many(step, start_library(init, origin, motion), 50)
        ours = many(
            lambda m: integrators.nose_hoover(m, evaluate_around(origin), SETTINGS, chain=CHAIN, degrees=3 * ATOMS),
            motion,
            50,
        )
        agree(ours, theirs, origin, f"NVT, seed {seed}")
        np.testing.assert_allclose(ours.thermostat[1], theirs.chain.momentum, rtol=1e-5, err_msg=f"seed {seed}")


@pytest.mark.parametrize("seed", SEEDS)
def test_npt_is_that_of_jax_md(seed: int) -> None:
    with jax.enable_x64(True):
        origin, motion = begin(seed)
        chain = {"chain_length": CHAIN.length, "chain_steps": CHAIN.steps, "sy_steps": CHAIN.suzuki_yoshida}
        init, step = library.npt_nose_hoover(
            energy,
            lambda r, dr, **_: r + dr,
            SETTINGS.timestep,
            SETTINGS.pressure,
            SETTINGS.kT,
            barostat_kwargs=chain | {"tau": SETTINGS.barostat_damping},
            thermostat_kwargs=chain | {"tau": SETTINGS.damping},
        )
        theirs = many(step, start_library(init, origin, motion, box=jnp.asarray(BOX)), 50)
        volume = jnp.asarray(np.linalg.det(BOX))
        ours = many(
            lambda m: integrators.npt(
                m, evaluate_around(origin), SETTINGS, chain=CHAIN, origin=origin, volume=volume, degrees=3 * ATOMS
            ),
            motion,
            50,
        )
        assert abs(float(ours.log_scale)) > 1e-3
        np.testing.assert_allclose(ours.log_scale, theirs.box_position, rtol=1e-6, err_msg=f"seed {seed}")
        agree(ours, theirs, origin, f"NPT, seed {seed}")


@pytest.mark.parametrize("seed", SEEDS)
def test_langevin_samples_a_harmonic_oscillator_exactly(seed: int) -> None:
    """BAOAB at omega dt = 0.8: <k x^2> = kT, <p^2/m> = kT (1 - (omega dt)^2 / 4) = 0.84 kT; centre of mass at rest."""
    with jax.enable_x64(True):
        atoms, mass, omega = 300, 4000.0, 0.4
        stiffness = mass * omega**2

        def springs(position: Any, log_scale: Any) -> Any:
            return jnp.zeros(len(position)), -stiffness * position, jnp.zeros(())

        _, motion = begin(seed, atoms=atoms)
        motion = motion._replace(
            position=jnp.zeros((atoms, 3)), momentum=jnp.zeros((atoms, 3)), mass=jnp.full((atoms, 1), mass)
        )
        settings = SETTINGS._replace(friction=0.1)

        def frame(motion: Motion, _: None) -> tuple[Motion, Any]:
            motion = jax.lax.fori_loop(
                0, 20, lambda _, m: integrators.langevin(m, springs, settings), integrators.evaluated(motion, springs)
            )
            return motion, (stiffness * jnp.mean(motion.position**2), jnp.mean(motion.momentum**2) / mass)

        motion, (potential, kinetic) = jax.jit(lambda m: jax.lax.scan(frame, m, length=260))(motion)
        free = (atoms - 1) / atoms * settings.kT
        for name, values, expected in (("potential", potential, 1.0), ("kinetic", kinetic, 1 - 0.8**2 / 4)):
            values = np.asarray(values)[10:] / free
            error = values.reshape(25, 10).mean(axis=1).std(ddof=1) / 5
            assert error < 0.01
            assert abs(values.mean() - expected) < 4 * error, f"{name}: {values.mean()} +- {error}, seed {seed}"
        assert np.abs(np.asarray(motion.momentum).sum(axis=0)).max() < 1e-9 * np.abs(np.asarray(motion.momentum)).sum()
