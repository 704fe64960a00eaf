"""Molecular dynamics: ``start`` makes a state, ``advance`` moves it on, ``simulate`` does both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fusepot.gradient import precision
from fusepot.potential import Potential
from fusepot.sampling.ensembles import Ensemble
from fusepot.sampling.limits import DEFAULT_LIMITS, Limits
from fusepot.sampling.loop import run
from fusepot.sampling.state import SKIN, State, start
from fusepot.sampling.trajectory import Trajectory
from fusepot.structure import Structure


class System(NamedTuple):
    """One state point, or one replica of it."""

    structure: Structure
    ensemble: Ensemble
    seed: int


def simulate(
    potential: Potential,
    structure: Structure,
    *,
    ensemble: Ensemble,
    steps: int,
    timestep_fs: float,
    sample_every: int,
    equilibration_steps: int = 0,
    seed: int = 0,
    skin: float = SKIN,
    limits: Limits = DEFAULT_LIMITS,
) -> Trajectory:
    """Run molecular dynamics and keep a frame every ``sample_every`` steps.

    Args:
        potential: the potential; of a committee the mean.
        structure: where it begins; any periodicity and cell, also cells smaller than the cutoff.
        ensemble: ``Nve``, ``Nvt``, ``NvtNoseHoover`` or ``Npt``.
        steps: after equilibration; a multiple of ``sample_every``.
        timestep_fs: time step.
        sample_every: steps between frames; the first frame comes after as many.
        equilibration_steps: not recorded; a multiple of ``sample_every``.
        seed: of velocities and random forces. The same call gives the same bits on the same machine.
        skin: distance in Å by which the pair list exceeds the cutoff at first; results do not depend on it.
        limits: when to give up.

    Returns:
        The trajectory after equilibration.

    Raises:
        InputError: see ``start`` and ``advance``.
        SimulationDiverged: not finite, too hot, or atoms overlap; nothing of such a run is returned.
    """
    return simulate_many(
        potential,
        [System(structure, ensemble, seed)],
        steps=steps,
        timestep_fs=timestep_fs,
        sample_every=sample_every,
        equilibration_steps=equilibration_steps,
        skin=skin,
        limits=limits,
    )[0]


def simulate_many(
    potential: Potential,
    systems: Sequence[System],
    *,
    steps: int,
    timestep_fs: float,
    sample_every: int,
    equilibration_steps: int = 0,
    skin: float = SKIN,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Trajectory]:
    """State points and replicas in one program; see ``simulate`` and ``advance_many``."""
    states = [start(potential, s.structure, s.ensemble, seed=s.seed, skin=skin) for s in systems]
    ensembles = [system.ensemble for system in systems]
    trajectories: list[Trajectory] = []
    for count in (equilibration_steps, steps):
        states, trajectories = advance_many(
            potential,
            states,
            ensembles,
            steps=count,
            timestep_fs=timestep_fs,
            sample_every=sample_every,
            limits=limits,
        )
    return trajectories


def advance(
    potential: Potential,
    state: State,
    ensemble: Ensemble,
    *,
    steps: int,
    timestep_fs: float,
    sample_every: int,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[State, Trajectory]:
    """Move one system on; see ``advance_many``."""
    (after,), (trajectory,) = advance_many(
        potential,
        [state],
        [ensemble],
        steps=steps,
        timestep_fs=timestep_fs,
        sample_every=sample_every,
        limits=limits,
    )
    return after, trajectory


def advance_many(
    potential: Potential,
    states: Sequence[State],
    ensembles: Sequence[Ensemble],
    *,
    steps: int,
    timestep_fs: float,
    sample_every: int,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[list[State], list[Trajectory]]:
    """Move several systems on by the same number of steps, in one compiled program.

    Twice n steps are, bit by bit, 2 n steps. The potential, the ensemble's numbers and even its kind may differ from
    those of the call before: nothing is compiled again for other parameters, temperatures, cells or seeds.

    Args:
        potential: the potential.
        states: from ``start`` or from here, with the same number of atoms.
        ensembles: one per state, of the same kind, with the same chain.
        steps: a multiple of ``sample_every``.
        timestep_fs: time step.
        sample_every: steps between frames.
        limits: when to give up.

    Returns:
        The states and the trajectories, one of each per system.

    Raises:
        InputError: no systems, systems that do not fit together, or an unusable number.
        SimulationDiverged: see ``simulate``; the states given remain as they were.
    """
    with precision(potential.dtype):
        return run(
            potential,
            states,
            ensembles,
            steps=steps,
            timestep_fs=timestep_fs,
            sample_every=sample_every,
            limits=limits,
        )
