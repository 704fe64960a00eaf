"""Radial and angular distribution functions of what is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

import structures
from fusepot.errors import InputError
from fusepot.observables import angular_distribution, radial_distribution
from fusepot.sampling.trajectory import Trajectory
from fusepot.structure import FloatArray, Structure

SEED = 12


def trajectory_of(structure: Structure, positions: FloatArray) -> Trajectory:
    count = len(positions)
    cells = np.repeat(structure.cell[None], count, axis=0)
    return Trajectory(structure, 300.0, positions, cells, np.zeros(count), np.zeros(count), 1.0, 1)


def still(structure: Structure, count: int = 10) -> Trajectory:
    return trajectory_of(structure, np.repeat(structure.positions[None], count, axis=0))


def ideal_gas(atoms: int, frames: int, numbers: np.ndarray | None = None) -> Trajectory:
    """Independent atoms in an oblique cell."""
    cell = np.array([[9.0, 0.0, 0.0], [3.0, 8.0, 0.0], [-2.0, 4.0, 7.0]])
    scaled = np.random.default_rng(SEED).uniform(size=(frames, atoms, 3))
    numbers = np.full(atoms, 18) if numbers is None else numbers
    return trajectory_of(Structure(scaled[0] @ cell, numbers, cell, np.ones(3, dtype=bool)), scaled @ cell)


def test_ideal_gas() -> None:
    """G = 1 - 1/N below half the cell, and images make it more beyond; within error bars that have the right size."""
    gas = ideal_gas(60, 200)
    found = radial_distribution(gas, r_max=5.0, bins=25)
    # Beyond the shortest lattice vector the images of the atom itself would add; 5 Å is below it.
    assert min(np.linalg.norm(v) for v in gas.structure.cell) > 5
    scores = (found.values - (1 - 1 / 60)) / np.maximum(found.errors, 1e-12)
    enough = found.centers > 1  # many pairs in the bin
    assert np.abs(scores[enough]).max() < 6, (SEED, scores)
    assert 0.3 < np.mean(scores[enough] ** 2) < 3, (SEED, scores)
    assert found.frames.shape == (200, 25)
    assert np.allclose(found.frames.mean(axis=0), found.values)


def test_far_distances_count_every_image() -> None:
    """At distances of several cells g is 1: r_max is not bound by the cell."""
    found = radial_distribution(ideal_gas(20, 20), r_max=25.0, bins=25)
    assert np.allclose(found.values[20:], 1, atol=0.15), (SEED, found.values)
    assert abs(found.values[15:].mean() - 1) < 0.02, (SEED, found.values)


def test_hcp_shells() -> None:
    a, c = structures.A_TI, structures.C_TI
    found = radial_distribution(still(structures.hcp()), r_max=5.6, bins=560)
    density = 2 / structures.hcp().volume
    shells = 4 / 3 * np.pi * np.diff(np.linspace(0, 5.6, 561) ** 3)
    counts = found.values * density * shells
    near = np.sqrt(a**2 / 3 + c**2 / 4)
    expected = {near: 6, a: 6, np.sqrt(4 * a**2 / 3 + c**2 / 4): 6, c: 2, np.sqrt(3) * a: 6}
    expected |= {np.sqrt(7 * a**2 / 3 + c**2 / 4): 12, np.hypot(a, c): 12}
    for radius, number in expected.items():
        bin_ = int(radius / 0.01)
        assert counts[bin_ - 1 : bin_ + 2].sum() == pytest.approx(number), (radius, number)
    assert counts.sum() == pytest.approx(sum(expected.values()))
    assert np.allclose(found.errors, 0)


def test_partial_distributions() -> None:
    """Of two elements: the whole is the mean of the parts, and an element sees the other one as it is seen."""
    numbers = np.array([13] * 10 + [22] * 30)
    gas = ideal_gas(40, 10, numbers)
    parts = {(a, b): radial_distribution(gas, r_max=5.0, elements=(a, b)) for a in ("Al", "Ti") for b in ("Al", "Ti")}
    assert np.allclose(parts["Al", "Ti"].values, parts["Ti", "Al"].values)
    share = {"Al": 0.25, "Ti": 0.75}
    mean = sum(share[a] * share[b] * part.values for (a, b), part in parts.items())
    assert np.allclose(mean, radial_distribution(gas, r_max=5.0).values)


def test_angles_of_fcc() -> None:
    """Twelve neighbours: 24 angles of 60 degrees, 12 of 90, 24 of 120 and 6 of 180."""
    found = angular_distribution(still(structures.fcc()), cutoff=3.4, bins=100)
    width = 0.02
    assert np.sum(found.values) * width == pytest.approx(1)
    counts = found.values * width * 66
    for cosine, number in ((0.5, 24), (0.0, 12), (-0.5, 24), (-1.0, 6)):
        close = np.abs(found.centers - cosine) < 0.021
        assert counts[close].sum() == pytest.approx(number), cosine
    assert (counts > 0.5).sum() <= 7


def test_angles_of_a_gas_are_uniform_in_the_cosine() -> None:
    found = angular_distribution(ideal_gas(60, 100), cutoff=4.0, bins=10)
    scores = (found.values - 0.5) / found.errors
    assert np.abs(scores).max() < 6, (SEED, scores)
    assert found.errors.max() < 0.01


def test_misuse() -> None:
    with pytest.raises(InputError, match="three periodic directions"):
        radial_distribution(still(structures.slab()), r_max=4.0)
    with pytest.raises(InputError, match="elements: got Cu"):
        radial_distribution(still(structures.hcp()), r_max=4.0, elements=("Ti", "Cu"))
    with pytest.raises(InputError, match="two neighbours"):
        angular_distribution(still(structures.hcp()), cutoff=1.0)
    with pytest.raises(InputError, match="blocks"):
        radial_distribution(still(structures.hcp(), 3), r_max=4.0)
