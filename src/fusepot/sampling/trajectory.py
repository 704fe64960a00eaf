"""Trajectory: the frames of one simulation, in numpy float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fusepot.errors import InputError
from fusepot.structure import FloatArray, Structure
from fusepot.units import BOLTZMANN_EV_PER_K


def degrees_of_freedom(atoms: int) -> int:
    """Degrees of freedom of the velocities: the total momentum of several atoms is zero and takes three."""
    return 3 * atoms - 3 if atoms > 1 else 3


@dataclass(frozen=True)
class Trajectory:
    """Frames at equal distances in time; frame k is the state ``(k + 1) * sample_every`` steps after the beginning.

    Attributes:
        structure: where the simulation began: atomic numbers, periodicity, initial cell and positions.
        temperature_K: target temperature, or that of the initial velocities at constant energy.
        positions: (frames, atoms, 3) in Å, unwrapped: an atom that leaves the cell keeps going.
        cells: (frames, 3, 3) lattice vectors as rows in Å; equal at constant volume.
        energies: (frames,) potential energy in eV, reference energies included.
        kinetic_energies: (frames,) in eV.
        timestep_fs: time step.
        sample_every: steps between frames.

    Raises:
        InputError: arrays whose shapes do not belong together.
    """

    structure: Structure
    temperature_K: float  # noqa: N815
    positions: FloatArray
    cells: FloatArray
    energies: FloatArray
    kinetic_energies: FloatArray
    timestep_fs: float
    sample_every: int

    def __post_init__(self) -> None:
        frames = len(self.positions)
        atoms = len(self.structure)
        for name, inner in {"positions": (atoms, 3), "cells": (3, 3), "energies": (), "kinetic_energies": ()}.items():
            if (got := np.shape(getattr(self, name))) != (frames, *inner):
                raise InputError(name, got=f"shape {got}", expected=f"shape {(frames, *inner)}")

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def frames(self) -> int:
        """How many frames."""
        return len(self)

    @property
    def times_ps(self) -> FloatArray:
        """(frames,) time since the beginning of this trajectory in ps."""
        times: FloatArray = 1e-3 * self.timestep_fs * self.sample_every * np.arange(1.0, len(self) + 1)
        return times

    @property
    def temperatures_K(self) -> FloatArray:  # noqa: N802
        """(frames,) instantaneous temperatures ``2 E_kin / (k_B (3 N - 3))``; of a single atom with 3 in place."""
        return 2 * self.kinetic_energies / (BOLTZMANN_EV_PER_K * degrees_of_freedom(len(self.structure)))

    @property
    def volumes(self) -> FloatArray:
        """(frames,) cell volumes in Å^3; NaN unless all three directions are periodic."""
        if not self.structure.pbc.all():
            return np.full(len(self), np.nan)
        volumes: FloatArray = np.abs(np.linalg.det(self.cells)).astype(np.float64)
        return volumes

    def frame(self, index: int) -> Structure:
        """One frame as a structure."""
        return replace(self.structure, positions=self.positions[index], cell=self.cells[index])

    def __getitem__(self, frames: slice) -> Trajectory:
        """Some of the frames: ``[100:]``, ``[:-5]``, ``[::2]``; a step multiplies ``sample_every``.

        Raises:
            InputError: not a slice, or one that runs backwards.
        """
        if not isinstance(frames, slice) or (frames.step is not None and frames.step < 1):
            raise InputError(
                "frames",
                got=repr(frames),
                expected="a slice with a positive step",
                remedy="Use frame(index) for a single frame.",
            )
        return replace(
            self,
            positions=self.positions[frames],
            cells=self.cells[frames],
            energies=self.energies[frames],
            kinetic_energies=self.kinetic_energies[frames],
            sample_every=self.sample_every * (frames.step or 1),
        )


def concatenate(parts: Sequence[Trajectory]) -> Trajectory:
    """One trajectory from parts that follow one another; begins where the first one began.

    Raises:
        InputError: no parts, or parts of different atoms, temperature, time step or sampling interval.
    """
    if not parts:
        raise InputError("parts", got="no trajectory", expected="at least one")
    first = parts[0]
    for index, part in enumerate(parts[1:], start=1):
        for name in ("temperature_K", "timestep_fs", "sample_every"):
            if getattr(part, name) != getattr(first, name):
                got = f"{name} {getattr(part, name)} in part {index}"
                raise InputError("parts", got=got, expected=f"{getattr(first, name)} as in part 0")
        same = np.array_equal(part.structure.numbers, first.structure.numbers)
        if not (same and np.array_equal(part.structure.pbc, first.structure.pbc)):
            raise InputError("parts", got=f"other atoms in part {index}", expected="the atoms of part 0")
    return replace(
        first,
        positions=np.concatenate([part.positions for part in parts]),
        cells=np.concatenate([part.cells for part in parts]),
        energies=np.concatenate([part.energies for part in parts]),
        kinetic_energies=np.concatenate([part.kinetic_energies for part in parts]),
    )
