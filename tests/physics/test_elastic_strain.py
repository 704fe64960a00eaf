"""Elastic constants of a compressed crystal near T = 0 against explicit finite strain with relaxed atoms.

Under pressure the several kinds of elastic constants differ, so this tells which ones are computed.
"""

from __future__ import annotations

from itertools import product

import jax
import numpy as np
import pytest
from ase.build import bulk
from scipy.optimize import root

import potentials
from fusepot.neighbors import find_pairs
from fusepot.observables import (
    ENERGY,
    estimate,
    find_observable,
    make_frames,
    reweight,
    state_point,
    terms_of,
)  # fmt: skip
from fusepot.observables.elastic import stress_strain_coefficients
from fusepot.observables.observe import evaluate_frames
from fusepot.observables.voigt import DIRECTIONS, to_voigt
from fusepot.potential import Prediction, predict
from fusepot.structure import FloatArray, Structure
from fusepot.units import GPA_PER_EV_PER_A3
from harmonic import gaussian

A = 2.76  # Å, compressed: 2.84 Å is about the equilibrium
POTENTIAL = potentials.lennard_jones(cutoff=1.53 * A)  # between the second and the third shell: no pair crosses it
CELL = Structure.from_ase(bulk("Ti", "hcp", a=A, c=1.62 * A))
TEMPERATURE, FRAMES, SEED = 2.0, 1000, 5


def relaxed(strained: Structure) -> Prediction:
    """Prediction for a two-atom cell after the second atom has found its place."""

    def moved(shift: FloatArray) -> Structure:
        positions = strained.positions + np.array([np.zeros(3), shift])
        return Structure(positions, strained.numbers, strained.cell, strained.pbc)

    found = root(lambda shift: predict(POTENTIAL, moved(shift)).forces[1], np.zeros(3), tol=1e-12)
    prediction = predict(POTENTIAL, moved(found.x))
    assert np.abs(prediction.forces).max() < 1e-8
    return prediction


def lagrangian(strain: FloatArray) -> Structure:
    """The cell after a symmetric deformation A with (A A - 1)/2 equal to ``strain``."""
    values, axes = np.linalg.eigh(np.eye(3) + 2 * strain)
    return CELL.strained((axes * np.sqrt(values)) @ axes.T - np.eye(3))


def brugger(a: int, b: int, *, step: float = 1.5e-3) -> float:
    """(1/V) d2E/d(eta_a)d(eta_b) of relaxed energies, eV/Å^3."""
    signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    energies = [relaxed(lagrangian(step * (s * DIRECTIONS[a] + t * DIRECTIONS[b]))).energy for s, t in signs]
    return (energies[0] - energies[1] - energies[2] + energies[3]) / (4 * step**2 * CELL.volume)


def hessian(structure: Structure, *, step: float = 1e-4) -> FloatArray:
    """Second derivatives of the energy by positions, from forces."""
    rows = []
    for atom, axis in product(range(len(structure)), range(3)):
        shift = np.zeros_like(structure.positions)
        shift[atom, axis] = step
        ahead, behind = (
            predict(POTENTIAL, Structure(structure.positions + s, structure.numbers, structure.cell, structure.pbc))
            for s in (shift, -shift)
        )
        rows.append((behind.forces - ahead.forces).ravel() / (2 * step))
    matrix = np.array(rows)
    return (matrix + matrix.T) / 2


@pytest.fixture(scope="module")
def cold() -> dict[str, FloatArray]:
    """Constants (6, 6) and stress (6,) in GPa with their errors, sampled from the harmonic approximation."""
    crystal = Structure.from_ase(CELL.to_ase().repeat((3, 3, 2)))
    trajectory = gaussian(crystal, hessian(crystal), TEMPERATURE, FRAMES, seed=SEED)
    names = ("elastic_constants", "stress", "pressure")
    observables = [find_observable(name) for name in names]
    frames = make_frames(trajectory, cutoff=POTENTIAL.cutoff, elements=POTENTIAL.elements)
    series = evaluate_frames(POTENTIAL, frames, terms_of(observables) | {ENERGY}, sparse_every=5)
    with jax.enable_x64(True):  # the sampled energies are harmonic: reweighting makes the frames anharmonic ones
        weights = jax.tree.map(np.asarray, reweight(trajectory.energies, series["energy"].values, TEMPERATURE))
    assert weights.kish > 0.9 * FRAMES, weights.kish
    found = {o.name: estimate(o, series, weights.values, state_point(trajectory)) for o in observables}
    values = {name: f.value for name, f in found.items()}
    return values | {f"{name} error": f.correlated_error for name, f in found.items()}


def test_brugger_constants(cold: dict[str, FloatArray]) -> None:
    rest = relaxed(CELL)
    pressure = -np.trace(rest.stress) / 3 * GPA_PER_EV_PER_A3
    assert pressure > 3, "the crystal must be under pressure for the kinds of constants to differ"
    assert abs(cold["pressure"] - pressure) < 0.01 * pressure
    assert np.allclose(cold["stress"], to_voigt(rest.stress) * GPA_PER_EV_PER_A3, rtol=0.01, atol=0.02)
    lengths = np.linalg.norm(find_pairs(CELL, 3 * A).vectors, axis=1)
    assert np.abs(lengths - POTENTIAL.cutoff).min() > 0.2
    for a, b in [(0, 0), (2, 2), (3, 3), (4, 4), (5, 5), (0, 1), (0, 2), (1, 2)]:
        expected = brugger(a, b) * GPA_PER_EV_PER_A3
        found, error = cold["elastic_constants"][a, b], cold["elastic_constants error"][a, b]
        # Half a per cent for what is anharmonic and for the kinetic term of one free particle.
        assert abs(found - expected) < 5 * error + 0.005 * abs(expected), (SEED, a, b, found, error, expected)
        assert error < 0.02 * abs(expected), ("the test is blunt", SEED, a, b, error, expected)


def test_stress_strain_coefficients(cold: dict[str, FloatArray]) -> None:
    step, columns = 1e-4, []
    for direction in DIRECTIONS:
        ahead, behind = (relaxed(CELL.strained(s * direction)).stress for s in (step, -step))
        columns.append(to_voigt(ahead - behind) / (2 * step))
    expected = np.array(columns).T * GPA_PER_EV_PER_A3
    with jax.enable_x64(True):
        found = np.asarray(stress_strain_coefficients(cold["elastic_constants"], cold["stress"]))
    limit = 5 * cold["elastic_constants error"] + 0.005 * np.abs(expected) + 0.05
    assert (np.abs(found - expected) < limit).all(), (SEED, found - expected)
    # Twice the pressure separates them from Brugger's: the comparison can tell.
    assert np.abs(cold["elastic_constants"] - expected)[0, 1] > 2 * limit[0, 1], limit


def test_hexagonal_average_agrees(cold: dict[str, FloatArray]) -> None:
    c = cold["elastic_constants"]
    error = 5 * cold["elastic_constants error"].max()
    assert abs(c[0, 0] - c[1, 1]) < error
    assert abs(c[5, 5] - (c[0, 0] - c[0, 1]) / 2) < error
    assert abs(c[3, 3] - c[4, 4]) < error
