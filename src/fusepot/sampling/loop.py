"""The host's side of the compiled loop: calls it, makes pair lists again, keeps frames, gives up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from fusepot.errors import InputError
from fusepot.gradient import kernel_of
from fusepot.graph import species_index
from fusepot.model import Model
from fusepot.potential import Potential, cast_params
from fusepot.sampling.ensembles import PAPER_CHAIN, Ensemble, chain_of, settings_of
from fusepot.sampling.limits import Limits, SimulationDiverged
from fusepot.sampling.lists import Lists, renewed, stack
from fusepot.sampling.motion import Motion
from fusepot.sampling.program import (
    FRAMES,
    NOT_FINITE,
    OVERLAP,
    SOUND,
    TOO_HOT,
    Frames,
    Plan,
    Task,
    compiled,
    compiled_forces,
)
from fusepot.sampling.state import State, fingerprint, fitted
from fusepot.sampling.trajectory import Trajectory

LONGEST_BLOCK = 10  # steps between looks at the flags: few, since a list must hold for so many at least
# Steps a list should last. Making one costs as much as 15 steps of a compiled kernel, or one of the same model in XLA,
# and XLA suffers from longer lists: there the skin grows only where it must.
PATIENCE, PATIENCE_WITH_KERNEL = 10, 100
QUICK = 0.3  # s: longer calls of compiled code would answer an interrupt late
REASONS = {
    NOT_FINITE: "positions, velocities or energies are not finite",
    TOO_HOT: "the temperature ran away",
    OVERLAP: "two atoms overlap",
}


def run(
    potential: Potential,
    states: Sequence[State],
    ensembles: Sequence[Ensemble],
    *,
    steps: int,
    timestep_fs: float,
    sample_every: int,
    limits: Limits,
) -> tuple[list[State], list[Trajectory]]:
    """See ``fusepot.sampling.dynamics.advance_many``."""
    plan = plan_of(states, ensembles, steps=steps, sample_every=sample_every)
    model = potential.model
    states = [fitted(state, ensemble) for state, ensemble in zip(states, ensembles, strict=True)]
    began_at = [state.structure for state in states]
    params = jax.device_put(cast_params(potential.params, potential.dtype))
    numbers = stack([settings_of(ensemble, timestep_fs) for ensemble in ensembles])
    numbers = jax.tree.map(lambda leaf: leaf.astype(potential.dtype), numbers)
    hottest = np.array([limits.hottest(ensemble) for ensemble in ensembles], potential.dtype)
    closest = np.stack([limits.closest(potential.elements).astype(potential.dtype)] * len(states))
    patience = PATIENCE if kernel_of(model.architecture, model.config) is None else PATIENCE_WITH_KERNEL

    lists = Lists(potential, states)
    states = _with_forces(potential, states, lists, plan, model, params)
    total, per_frame = steps // plan.block, sample_every // plan.block
    done = np.zeros(len(states), np.int64)
    kept: list[list[Frames]] = [[] for _ in states]
    at_once = 8
    while (done < total).any():
        started = done % per_frame
        blocks = np.minimum(np.minimum(total - done, at_once), FRAMES * per_frame - started)
        task = Task(
            blocks.astype(np.int32),
            started.astype(np.int32),
            np.full(len(states), per_frame, np.int32),
            hottest,
            closest,
        )
        begin = time.monotonic()
        motions = stack([state.motion for state in states])
        outcome = compiled(model, plan)(params, lists.stacked, motions, numbers, task)
        outcome = jax.tree.map(np.asarray, outcome)
        if time.monotonic() - begin < QUICK:
            at_once = min(2 * at_once, FRAMES * per_frame)
        renew = []
        for k, state in enumerate(states):
            blocks_done = int(outcome.blocks[k])
            complete = (int(started[k]) + blocks_done) // per_frame
            kept[k].append(_absolute(state, Frames(*(leaf[k, :complete] for leaf in outcome.frames))))
            done[k] += blocks_done
            motion = Motion(*(leaf[k] for leaf in outcome.motion))
            states[k] = state._replace(motion=motion, step=state.step + blocks_done * plan.block)
            fresh = bool(states[k].step == states[k].listed)
            if outcome.trouble[k] != SOUND and (fresh or not outcome.outdated[k]):
                reason = REASONS[int(outcome.trouble[k])]
                hot = float(outcome.temperature[k])
                raise SimulationDiverged(reason, system=k, step=int(states[k].step), temperature_K=hot)
            if outcome.outdated[k]:
                states[k] = renewed(states[k], system=k, cutoff=potential.cutoff, patience=patience)
                renew.append(k)
        if renew:
            lists.update(states, renew)
    states = [state._replace(sizes=lists.sizes) for state in states]
    references = np.asarray(potential.reference_energies)
    trajectories = [
        Trajectory(
            structure=structure,
            temperature_K=ensemble.temperature_K,
            positions=_joined(frames, "position", (0, len(structure), 3)),
            cells=_joined(frames, "log_scale", (0, 3, 3)),
            energies=_joined(frames, "energies", (0,)) + references[species_index(structure, potential.elements)].sum(),
            kinetic_energies=_joined(frames, "kinetic", (0,)),
            timestep_fs=timestep_fs,
            sample_every=sample_every,
        )
        for structure, ensemble, frames in zip(began_at, ensembles, kept, strict=True)
    ]
    return states, trajectories


def vectorize() -> bool:
    """Whether systems share every operation: measured to pay on accelerators and to cost on CPUs."""
    return jax.default_backend() != "cpu"


def plan_of(states: Sequence[State], ensembles: Sequence[Ensemble], *, steps: int, sample_every: int) -> Plan:
    """The static part of a simulation.

    Raises:
        InputError: systems that do not fit together, or steps that are no multiple of ``sample_every``.
    """
    if not states or len(states) != len(ensembles):
        got = f"{len(states)} systems and {len(ensembles)} ensembles"
        raise InputError("systems", got=got, expected="at least one, and one ensemble for each")
    atoms = sorted({len(state.numbers) for state in states})
    kinds = {(type(ensemble), chain_of(ensemble)) for ensemble in ensembles}
    if len(atoms) > 1 or len(kinds) > 1:
        raise InputError(
            "systems",
            got=f"{atoms} atoms" if len(atoms) > 1 else "several kinds of ensembles",
            expected="the same number of atoms and the same kind of ensemble in all of them",
            remedy="Simulate them one after the other.",
        )
    if not isinstance(sample_every, int) or sample_every < 1:
        raise InputError("sample_every", got=sample_every, expected="a positive whole number of steps")
    if not isinstance(steps, int) or steps < 0 or steps % sample_every:
        raise InputError("steps", got=steps, expected=f"a multiple of sample_every ({sample_every})")
    block = max(n for n in range(1, min(sample_every, LONGEST_BLOCK) + 1) if sample_every % n == 0)
    ((ensemble, chain),) = kinds
    return Plan(ensemble, chain or PAPER_CHAIN, block, vectorized=vectorize())


def _with_forces(
    potential: Potential, states: Sequence[State], lists: Lists, plan: Plan, model: Model, params: Any
) -> list[State]:
    """The states with this potential's forces, which most have already."""
    name = fingerprint(potential)
    strangers = [k for k, state in enumerate(states) if not np.array_equal(state.forces_of, name)]
    states = list(states)
    if strangers:
        motions = compiled_forces(model, plan)(params, lists.stacked, stack([state.motion for state in states]))
        motions = jax.tree.map(np.asarray, motions)
        for k in strangers:
            states[k] = states[k]._replace(motion=Motion(*(leaf[k] for leaf in motions)), forces_of=name)
    return states


def _absolute(state: State, frames: Frames) -> Frames:
    """Frames in float64: positions in Å instead of relative ones, cells instead of scales, sums instead of atoms."""
    position, log_scale, energies, kinetic = (np.asarray(leaf, np.float64) for leaf in frames)
    cells = np.exp(log_scale)[:, None, None] * state.cell
    return Frames(state.reference + position, cells, energies.sum(axis=1), kinetic.sum(axis=1))


def _joined(frames: Sequence[Frames], name: str, empty: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.zeros(empty), *(getattr(part, name) for part in frames)])
