"""New trajectories for the EXP trainer: a CPU has a thread for each state point, an accelerator one program for all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import jax
import numpy as np

from fusepot.errors import TrainingError
from fusepot.potential import Potential
from fusepot.sampling import Nvt, SimulationDiverged, State, Trajectory, advance_many, concatenate, start
from fusepot.structure import FloatArray, Structure
from fusepot.training.experiment_sections import SamplingSection
from fusepot.training.interrupt import TrainingInterrupted

PORTIONS = 10  # of a trajectory: a request to stop is honoured after each
T = TypeVar("T")
R = TypeVar("R")


class Diverged(TrainingError):
    """Parameters that cannot be accepted: a simulation, a loss or a gradient went wrong."""


def accelerated() -> bool:
    """Whether compiled code runs on something else than a CPU."""
    return jax.default_backend() != "cpu"


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """A function of every item, in threads where a CPU computes; results do not depend on how many there are."""
    if accelerated():
        return [function(item) for item in items]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def walkers_of(
    potential: Potential, structure: Structure, ensemble: Nvt, *, index: int, section: SamplingSection, seed: int
) -> tuple[State, ...]:
    """One state per replica of state point ``index``, at step 0."""
    seeds = np.random.SeedSequence([seed, index]).generate_state(section.replicas) >> 1
    return tuple(start(potential, structure, ensemble, seed=int(number)) for number in seeds)


def walked(
    potential: Potential,
    groups: Sequence[tuple[State, ...]],
    ensembles: Sequence[Nvt],
    *,
    section: SamplingSection,
    relaxation: Sequence[int],
    stopped: Callable[[], bool],
) -> list[tuple[tuple[State, ...], FloatArray]]:
    """Move the walkers of several state points on by a trajectory each.

    Args:
        potential: the potential.
        groups: the walkers of each state point.
        ensembles: of each state point.
        section: lengths.
        relaxation: steps for each state point that are not recorded.
        stopped: whether to give up.

    Returns:
        Of each state point its walkers after, and the positions (frames, atoms, 3), replica after replica.

    Raises:
        Diverged: a simulation went wrong; names the temperature.
        TrainingInterrupted: ``stopped`` said so; nothing is returned.
    """
    apart = [[k] for k in range(len(groups))]
    same = len({len(group[0].numbers) for group in groups}) == 1 and len(set(relaxation)) == 1
    batches = [list(range(len(groups)))] if accelerated() and same else apart

    def walk(batch: list[int]) -> list[tuple[tuple[State, ...], FloatArray]]:
        walkers = [walker for k in batch for walker in groups[k]]
        baths = [ensembles[k] for k in batch for _ in groups[k]]
        parts: list[list[Trajectory]] = []
        edges = np.linspace(0, section.frames, min(PORTIONS, section.frames) + 1).astype(int)
        lengths = [relaxation[batch[0]], *((b - a) * section.sample_every for a, b in pairwise(edges))]
        for steps in map(int, lengths):
            if stopped():
                raise TrainingInterrupted("stopped while sampling")
            try:
                walkers, trajectories = advance_many(
                    potential,
                    walkers,
                    baths,
                    steps=steps,
                    timestep_fs=section.timestep_fs,
                    sample_every=section.sample_every,
                )
            except SimulationDiverged as error:
                raise Diverged(f"state point of {baths[error.system].temperature_K:g} K: {error}") from error
            parts.append(trajectories)
        joined = [concatenate(pieces).positions for pieces in zip(*parts[1:], strict=True)]
        found, position = [], 0
        for k in batch:
            own = slice(position, position := position + len(groups[k]))
            found.append((tuple(walkers[own]), np.concatenate(joined[own])))
        return found

    return [one for batch in each(walk, batches) for one in batch]
