"""The compiled loop: blocks of steps until enough are done, a pair list is outdated, or something went wrong.

A block whose flag is raised leaves no trace: the motion before it comes back, and the caller repeats it with another
list or gives up. Blocks therefore end at the same steps, with the same lists, however a simulation is cut into calls.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fusepot.gradient import Engine
from fusepot.graph import Array
from fusepot.model import Model
from fusepot.models.interface import Params
from fusepot.sampling.ensembles import Chain, Ensemble, Npt, Settings
from fusepot.sampling.integrators import Evaluate, evaluated, step_of
from fusepot.sampling.motion import Motion, centered, kinetic_energies
from fusepot.sampling.pair_list import PairList, forces_and_virial_trace, graph_at, outdated
from fusepot.sampling.trajectory import degrees_of_freedom
from fusepot.units import BOLTZMANN_EV_PER_K

FRAMES = 64  # held on the device between calls of the host
SOUND, NOT_FINITE, TOO_HOT, OVERLAP = range(4)


class Plan(NamedTuple):
    """The static part of a simulation.

    Attributes:
        ensemble: which.
        chain: of Nosé-Hoover ensembles.
        block: steps between looks at the flags.
        vectorized: all systems at once (GPU), or one after the other (CPU, where that is faster).
    """

    ensemble: type[Ensemble]
    chain: Chain
    block: int
    vectorized: bool


class Task(NamedTuple):
    """What to do with one system.

    Attributes:
        blocks: how many to advance.
        started: blocks already done of the frame that comes first.
        per_frame: blocks between frames.
        hottest: instantaneous temperature in K that is not believed any more.
        closest: (species, species) distances in Å that are not believed any more.
    """

    blocks: Array
    started: Array
    per_frame: Array
    hottest: Array
    closest: Array


class Frames(NamedTuple):
    """(FRAMES, ...) positions, logarithms of the cell scale, energies and kinetic energies of atoms."""

    position: Array
    log_scale: Array
    energies: Array
    kinetic: Array


class Outcome(NamedTuple):
    """Where one system has come to.

    Attributes:
        motion: after the last sound block.
        blocks: how many were done.
        outdated: the pair list did not suffice for the next one.
        trouble: SOUND, or what was wrong with the next one.
        temperature: of the block looked at last, in K.
        frames: valid up to those completed.
    """

    motion: Motion
    blocks: Array
    outdated: Array
    trouble: Array
    temperature: Array
    frames: Frames


@lru_cache(maxsize=64)
def compiled(model: Model, plan: Plan) -> Callable[[Params, PairList, Motion, Settings, Task], Outcome]:
    """``(params, pairs, motion, settings, task) -> outcome``, all but params with a leading axis of systems.

    ``motion`` carries the forces at its position; see ``compiled_forces``.
    """
    isobaric = plan.ensemble is Npt

    def one(params: Params, pairs: PairList, motion: Motion, settings: Settings, task: Task) -> Outcome:
        evaluate = _evaluate(model, plan, params, pairs)
        volume = pairs.graph.volumes[0]
        step = step_of(plan.ensemble, plan.chain, evaluate, settings, origin=pairs.origin, volume=volume)

        def one_step(carry: tuple[Motion, jax.Array], _: None) -> tuple[tuple[Motion, jax.Array], None]:
            motion, stale = carry
            motion = step(motion)
            return (motion, stale | outdated(pairs, motion.position, motion.log_scale if isobaric else None)), None

        def body(now: Outcome) -> Outcome:
            begin = now.motion._replace(rng=jax.random.wrap_key_data(now.motion.rng))
            (motion, stale), _ = lax.scan(one_step, (begin, jnp.zeros((), bool)), length=plan.block)
            motion = centered(motion)._replace(rng=jax.random.key_data(motion.rng))
            trouble, temperature = _inspect(pairs, motion, task, isobaric=isobaric)
            sound = ~stale & (trouble == SOUND)
            motion = jax.tree.map(lambda new, old: jnp.where(sound, new, old), motion, now.motion)
            blocks = now.blocks + sound
            # A frame is written over until its last block: cheaper than a branch.
            index = jnp.maximum(task.started + blocks - 1, 0) // task.per_frame
            frame = Frames(motion.position, motion.log_scale, motion.energies, kinetic_energies(motion))
            frames = jax.tree.map(lambda all_, new: all_.at[index].set(new), now.frames, frame)
            return Outcome(motion, blocks, stale, trouble, temperature, frames)

        def go_on(now: Outcome) -> jax.Array:
            return (now.blocks < task.blocks) & ~now.outdated & (now.trouble == SOUND)

        n, dtype = len(motion.position), motion.position.dtype
        frames = Frames(*(jnp.zeros((FRAMES, *shape), dtype) for shape in ((n, 3), (), (n,), (n,))))
        nothing, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        return lax.while_loop(go_on, body, Outcome(motion, nothing, no, nothing, jnp.zeros((), dtype), frames))

    return _over_systems(one, plan)


@lru_cache(maxsize=64)
def compiled_forces(model: Model, plan: Plan) -> Callable[[Params, PairList, Motion], Motion]:
    """``(params, pairs, motion) -> motion`` with energies and forces, all but params with a leading axis of systems."""

    def one(params: Params, pairs: PairList, motion: Motion) -> Motion:
        return evaluated(motion, _evaluate(model, plan, params, pairs))

    return _over_systems(one, plan)


def _over_systems(one: Callable, plan: Plan) -> Callable:
    def every(params: Params, *arguments: Any) -> Any:
        if plan.vectorized:
            return jax.vmap(partial(one, params))(*arguments)
        return lax.map(lambda system: one(params, *system), arguments)

    return jax.jit(every)


def _evaluate(model: Model, plan: Plan, params: Params, pairs: PairList) -> Evaluate:
    isobaric = plan.ensemble is Npt
    engine: Engine = "xla" if plan.vectorized else "auto"

    def evaluate(position: Array, log_scale: Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        graph = graph_at(pairs, position, log_scale if isobaric else None)
        energies, gradient = model.mean_gradient(params, graph, engine=engine)
        forces, virial = forces_and_virial_trace(graph, gradient)
        return energies, forces, virial if isobaric else jnp.zeros_like(virial)

    return evaluate


def _inspect(pairs: PairList, motion: Motion, task: Task, *, isobaric: bool) -> tuple[jax.Array, jax.Array]:
    """What is wrong with a motion, and its instantaneous temperature in K."""
    kinetic = kinetic_energies(motion).sum()
    temperature = 2 * kinetic / (BOLTZMANN_EV_PER_K * degrees_of_freedom(len(motion.mass)))
    graph = graph_at(pairs, motion.position, motion.log_scale if isobaric else None)
    closest = task.closest[graph.species[graph.centers], graph.species[graph.others]]
    overlap = jnp.any(graph.pair_mask & (jnp.sum(graph.vectors**2, axis=-1) < closest**2))
    finite = jnp.isfinite(kinetic + motion.energies.sum() + jnp.abs(motion.force).sum())
    trouble = jnp.where(overlap, OVERLAP, SOUND)
    trouble = jnp.where(temperature > task.hottest, TOO_HOT, trouble)
    return jnp.where(finite, trouble, NOT_FINITE).astype(jnp.int32), temperature
