"""What the EXP trainer keeps of a state point between two updates: walkers and their last trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from fusepot.models.interface import Params
from fusepot.observables.mixture import mixture_energies
from fusepot.sampling import State, Trajectory
from fusepot.structure import FloatArray, Structure

Array = Any


class Sampled(NamedTuple):
    """A state point's simulations; a tree of numpy arrays of fixed shapes, so that a checkpoint holds all of it.

    Attributes:
        walkers: one simulation per replica, where it stands.
        positions: (K, frames, atoms, 3) of the last K trajectories in Å, the newest first, replica after replica.
        energies: (K, K, frames) in eV; [k, j]: with the parameters of trajectory k, of the frames of trajectory j.
        params: the parameters of each trajectory, leaves (K, ...).
        count: () how many of the K there are.
        age: () updates that the newest trajectory has served for.
    """

    walkers: tuple[State, ...]
    positions: FloatArray
    energies: FloatArray
    params: Params
    count: Array
    age: Array


def unsampled(walkers: Sequence[State], params: Params, *, kept: int, frames: int) -> Sampled:
    """Walkers without trajectories."""
    return Sampled(
        walkers=tuple(walkers),
        positions=np.zeros((kept, frames, len(walkers[0].numbers), 3)),
        energies=np.zeros((kept, kept, frames)),
        params=jax.tree.map(lambda leaf: np.zeros((kept, *np.shape(leaf)), np.asarray(leaf).dtype), params),
        count=np.array(0),
        age=np.array(0),
    )


def reference_energies(sampled: Sampled, temperature_K: float) -> FloatArray:
    """(count * frames,) energies in eV of what the kept frames are a sample of, newest trajectory first."""
    count = int(sampled.count)
    return mixture_energies(sampled.energies[:count, :count], temperature_K).ravel()


def added(sampled: Sampled, walkers: Sequence[State], positions: FloatArray, params: Params) -> Sampled:
    """With one more trajectory, the newest; the oldest goes where the memory is full.

    The newest trajectory's energies, row and column 0 of the table, are for the caller to fill in.

    Args:
        sampled: before.
        walkers: after the trajectory.
        positions: (frames, atoms, 3) of the trajectory.
        params: that made it.
    """
    kept = len(sampled.positions)

    def first(new: Array, old: Array) -> Array:
        return np.concatenate([np.asarray(new, old.dtype)[None], old])[:kept]

    table = np.zeros_like(sampled.energies)
    table[1:, 1:] = sampled.energies[:-1, :-1]
    return Sampled(
        walkers=tuple(walkers),
        positions=first(positions, sampled.positions),
        energies=table,
        params=jax.tree.map(first, params, sampled.params),
        count=np.array(min(kept, int(sampled.count) + 1)),
        age=np.array(0),
    )


def trajectory(sampled: Sampled, k: int, structure: Structure, temperature_K: float) -> Trajectory:
    """Trajectory k as one that observables can be taken of; its energies are not those of any potential."""
    frames = len(sampled.positions[k])
    return Trajectory(
        structure=structure,
        temperature_K=temperature_K,
        positions=sampled.positions[k],
        cells=np.broadcast_to(structure.cell, (frames, 3, 3)),
        energies=np.zeros(frames),
        kinetic_energies=np.zeros(frames),
        timestep_fs=1.0,
        sample_every=1,
    )
