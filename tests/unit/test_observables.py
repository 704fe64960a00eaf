"""Elastic tensors, moduli, the registry, and ``observe`` from end to end."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import potentials
import structures
from fusepot.errors import InputError
from fusepot.observables import OBSERVABLES, Observable, StatePoint, Term, find_observable, observe
from fusepot.observables.elastic import cubic, cubic_matrix, hexagonal, hexagonal_matrix
from fusepot.observables.moduli import hill, reuss, voigt
from fusepot.observables.voigt import COMPONENTS, IDENTITY
from fusepot.potential import predict_many
from fusepot.samples import rotation
from fusepot.sampling.trajectory import Trajectory
from fusepot.structure import FloatArray
from fusepot.units import BOLTZMANN_EV_PER_K, GPA_PER_EV_PER_A3

pytestmark = pytest.mark.usefixtures("float64")

SEED = 21


def random_constants() -> FloatArray:
    matrix = np.random.default_rng(SEED).normal(size=(6, 6)) * 10
    return matrix + matrix.T + 200 * np.eye(6)


def rotated(constants: FloatArray, turn: FloatArray) -> FloatArray:
    """C_ijkl with all four indices turned."""
    index = np.zeros((3, 3), dtype=int)
    for a, (i, j) in enumerate(COMPONENTS):
        index[i, j] = index[j, i] = a
    tensor = constants[index[:, :, None, None], index[None, None]]
    tensor = np.einsum("ai,bj,ck,dl,ijkl->abcd", turn, turn, turn, turn, tensor)
    return np.array([[tensor[(*first, *second)] for second in COMPONENTS] for first in COMPONENTS])


def test_hexagonal_average_is_that_over_rotations() -> None:
    """Eight angles integrate a tensor of rank four exactly; half turns about x are part of the symmetry."""
    constants, total = random_constants(), np.zeros((6, 6))
    flip = np.diag([1.0, -1.0, -1.0])
    for angle in np.arange(8) * np.pi / 4:
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        total += (rotated(constants, turn) + rotated(constants, turn @ flip)) / 16
    assert np.allclose(hexagonal_matrix(hexagonal(constants)), total)
    assert np.allclose(hexagonal_matrix(hexagonal(total)), total)
    assert np.isclose(total[5, 5], (total[0, 0] - total[0, 1]) / 2)


def test_cubic_average_is_that_over_the_group() -> None:
    constants, total, count = random_constants(), np.zeros((6, 6)), 0
    for permutation in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)):
        for signs in np.ndindex(2, 2, 2):
            turn = np.eye(3)[list(permutation)] * (1 - 2 * np.array(signs))
            total, count = total + rotated(constants, turn), count + 1
    assert np.allclose(cubic_matrix(cubic(constants)), total / count)


def test_moduli_of_an_isotropic_tensor() -> None:
    bulk, shear = 110.0, 43.0
    isotropic = cubic_matrix(cubic(np.diag([2 * shear] * 3 + [shear] * 3) + 0.0))
    isotropic = isotropic + (bulk - 2 / 3 * shear) * np.outer(IDENTITY, IDENTITY)
    for average in (voigt, reuss, hill):
        found = average(rotated(np.asarray(isotropic), rotation()))
        assert np.isclose(found.bulk, bulk)
        assert np.isclose(found.shear, shear)
        assert np.isclose(found.poisson, (3 * bulk - 2 * shear) / (2 * (3 * bulk + shear)))


def test_moduli_are_the_papers() -> None:
    """Titanium at 4 K; Voigt's averages of any tensor do not change with orientation and bound the others."""
    five = (176.1, 86.9, 68.3, 190.5, 50.8)
    C11, C12, C13, C33, C44 = five
    matrix = hexagonal_matrix(hexagonal(np.zeros((6, 6)))._replace(C11=C11, C12=C12, C13=C13, C33=C33, C44=C44))
    found = voigt(matrix)
    assert np.isclose(found.bulk, 2 / 9 * (C11 + C12 + 2 * C13 + C33 / 2))
    assert np.isclose(found.shear, (12 * C44 + 7 * C11 - 5 * C12 + 2 * C33 - 4 * C13) / 30)
    assert np.isclose(found.poisson, (3 * found.bulk - 2 * found.shear) / (2 * found.shear + 6 * found.bulk))
    constants = random_constants()
    turned = rotated(constants, rotation())
    for average in (voigt, reuss, hill):
        assert np.allclose(average(turned), average(constants))
    assert np.allclose(voigt(hexagonal_matrix(hexagonal(constants))), voigt(constants))
    assert reuss(constants).shear < hill(constants).shear < voigt(constants).shear


def test_pressure_of_an_ideal_gas() -> None:
    state = StatePoint(temperature_K=300.0, volume=1e4, atoms=50)
    averages = {"stress": jnp.zeros(6)}
    expected = 50 * BOLTZMANN_EV_PER_K * 300 / 1e4 * GPA_PER_EV_PER_A3
    assert np.isclose(find_observable("pressure").value(averages, state), expected)
    assert np.isclose(find_observable("pressure_bar").value(averages, state), 1e4 * expected)
    assert np.allclose(find_observable("stress").value(averages, state), -expected * IDENTITY)
    averages = {"stress": jnp.array([0.01, 0.03, -0.05, 0.1, 0.2, 0.3])}
    basal, axial, mean = (
        find_observable(name, symmetry="hexagonal").value(averages, state)
        for name in ("pressure_basal", "pressure_axial", "pressure")
    )
    assert np.allclose([basal, axial], expected + GPA_PER_EV_PER_A3 * np.array([-0.02, 0.05]))
    assert np.isclose((2 * basal + axial) / 3, mean)
    # N k T / V in SI: 50 atoms in 10 nm^3.
    assert np.isclose(expected * 1e9, 50 * 1.380649e-23 * 300 / 1e-26, rtol=1e-6)


def test_registry() -> None:
    assert {"pressure", "bulk_modulus", "hexagonal.C13", "cubic.C44", "hexagonal.C33_adiabatic"} <= set(OBSERVABLES)
    assert all(name == observable.name for name, observable in OBSERVABLES.items())
    assert find_observable("C11", symmetry="hexagonal").name == "hexagonal.C11"
    assert find_observable("hexagonal.C11").name == "hexagonal.C11"
    assert find_observable("pressure", symmetry="cubic").name == "pressure"
    with pytest.raises(InputError, match="give a symmetry"):
        find_observable("C11")
    with pytest.raises(InputError, match="Did you mean pressure"):
        find_observable("presure")
    with pytest.raises(InputError, match="symmetry: got trigonal"):
        find_observable("C11", symmetry="trigonal")


@pytest.mark.parametrize("observable", OBSERVABLES.values(), ids=lambda o: o.name)
def test_shapes(observable: Observable) -> None:
    shapes = {"stress": (6,), "energy_stress": (6,), "stress_stress": (6, 6)} | {
        f"born{which}": (6, 6) for which in ("", "_hexagonal", "_cubic")
    }
    averages = {t.name: jnp.ones(shapes.get(t.name, ())) for t in observable.terms}
    state = StatePoint(temperature_K=300.0, volume=1e4, atoms=50)
    assert jnp.shape(observable.value(averages, state)) == observable.shape


def wiggling(frames: int = 40) -> Trajectory:
    base = structures.hcp((2, 2, 2))
    positions = base.positions + 0.05 * np.random.default_rng(SEED).normal(size=(frames, len(base), 3))
    cells = np.repeat(base.cell[None], frames, axis=0)
    return Trajectory(base, 900.0, positions, cells, np.zeros(frames), np.zeros(frames), 2.0, 50)


def test_observe() -> None:
    """Values against ``predict``; a new observable with a new term is a few lines; reweighting shifts averages."""
    trajectory, potential = wiggling(), potentials.lennard_jones()
    spread = Term("spread", lambda frame: jnp.var(jnp.linalg.norm(frame.graph.vectors.astype(float), axis=1)))
    own = Observable("spread", "Å^2", (spread,), lambda averages, state: averages["spread"] * state.atoms)
    wanted = [find_observable("pressure"), own]
    found = observe(potential, trajectory, wanted)
    assert found.effective_frames == 40
    predictions, _ = predict_many(potential, [trajectory.frame(k) for k in range(40)])
    stresses = np.array([p.stress for p in predictions])
    kinetic = 16 * BOLTZMANN_EV_PER_K * 900 / trajectory.structure.volume
    series = (kinetic - np.trace(stresses, axis1=1, axis2=2) / 3) * GPA_PER_EV_PER_A3
    pressure = found.estimates["pressure"]
    assert np.isclose(pressure.value, series.mean())
    assert np.isclose(pressure.error, np.std(series.reshape(10, 4).mean(axis=1), ddof=1) / np.sqrt(10))
    assert pressure.unit == "GPa"
    assert found.estimates["spread"].value > 0

    other = replace(potential, params={**potential.params, "epsilon": 1.02 * np.asarray(potential.params["epsilon"])})
    moved = observe(other, trajectory, wanted[:1], sampled_by=potential)
    energies = np.array([p.energy for p in predictions])
    weights = np.exp(-0.02 * (energies - energies.mean()) / (BOLTZMANN_EV_PER_K * 900))
    weights /= weights.sum()
    shifted = np.sum(weights * (kinetic * GPA_PER_EV_PER_A3 + 1.02 * (series - kinetic * GPA_PER_EV_PER_A3)))
    assert np.isclose(moved.estimates["pressure"].value, shifted, rtol=1e-7)
    assert 1 < moved.effective_frames < 40


def test_elastic_constants_need_one_cell() -> None:
    trajectory = wiggling(10)
    changing = replace(trajectory, cells=trajectory.cells * np.linspace(1, 1.01, 10)[:, None, None])
    with pytest.raises(InputError, match="one cell for bulk_modulus"):
        observe(potentials.lennard_jones(), changing, [find_observable("pressure"), find_observable("bulk_modulus")])
    with pytest.raises(InputError, match="blocks: got 10 for 4 frames"):
        observe(potentials.lennard_jones(), wiggling(4), [find_observable("pressure")])
