from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import structures
from fusepot.errors import InputError
from fusepot.sampling.trajectory import Trajectory, concatenate
from fusepot.units import BOLTZMANN_EV_PER_K


def example(frames: int = 6) -> Trajectory:
    crystal, rng = structures.bcc(), np.random.default_rng(0)
    return Trajectory(
        structure=crystal,
        temperature_K=300.0,
        positions=rng.normal(size=(frames, 2, 3)),
        cells=np.broadcast_to(crystal.cell, (frames, 3, 3)),
        energies=rng.normal(size=frames),
        kinetic_energies=np.full(frames, 1.5 * BOLTZMANN_EV_PER_K * 300.0),
        timestep_fs=2.0,
        sample_every=50,
    )


def test_derived_quantities() -> None:
    trajectory = example()
    assert (len(trajectory), trajectory.frames) == (6, 6)
    np.testing.assert_allclose(trajectory.times_ps, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(trajectory.temperatures_K, 300.0)  # two atoms, total momentum zero: 3 degrees of freedom
    np.testing.assert_allclose(trajectory.volumes, 3.26**3)
    np.testing.assert_array_equal(trajectory.frame(4).positions, trajectory.positions[4])
    opened = replace(trajectory, structure=replace(trajectory.structure, pbc=np.array([True, True, False])))
    assert np.isnan(opened.volumes).all()


def test_slices_and_concatenation() -> None:
    trajectory = example()
    every_other = trajectory[1::2]
    assert every_other.sample_every == 100
    np.testing.assert_array_equal(every_other.energies, trajectory.energies[1::2])
    joined = concatenate([trajectory[:2], trajectory[2:]])
    for name in ("positions", "cells", "energies", "kinetic_energies", "times_ps"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(trajectory, name))


def test_misuse_names_the_argument() -> None:
    trajectory = example()
    with pytest.raises(InputError, match=r"energies: got shape \(5,\), expected shape \(6,\)"):
        replace(trajectory, energies=np.zeros(5))
    with pytest.raises(InputError, match="frame\\(index\\)"):
        trajectory[3]  # type: ignore[index]
    with pytest.raises(InputError, match="positive step"):
        trajectory[::-1]
    with pytest.raises(InputError, match="sample_every 100 in part 1"):
        concatenate([trajectory, trajectory[::2]])
    with pytest.raises(InputError, match="at least one"):
        concatenate([])
