"""predict: forces and virial against finite differences, periodicity, precision, misuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import potentials
import structures
from fusepot.errors import InputError, NonFiniteEnergy
from fusepot.gradient import precision
from fusepot.graph import Capacity
from fusepot.potential import Potential, predict, predict_many
from fusepot.structure import Structure

# Seeds for which no pair is within a finite-difference step of the cutoff: Lennard-Jones forces jump there.
STRUCTURES = {
    "alloy": structures.alloy((1, 1, 1), seed=1),
    "two images": structures.same_neighbor_two_images(),
    "slab": structures.slab(seed=12),
    "wire": structures.wire(seed=3),
    "cluster": structures.cluster(8, seed=4),
}


@pytest.fixture(scope="module")
def potential() -> Potential:
    return potentials.lennard_jones(("Ti", "Al"))


@pytest.mark.parametrize("name", STRUCTURES)
def test_forces_are_minus_the_gradient(name: str, potential: Potential) -> None:
    structure, step = STRUCTURES[name], 1e-5
    forces = predict(potential, structure).forces
    numeric = np.zeros_like(forces)
    for index in np.ndindex(*forces.shape):
        energies = []
        for sign in (1, -1):
            positions = structure.positions.copy()
            positions[index] += sign * step
            energies.append(predict(potential, replace(structure, positions=positions)).energy)
        numeric[index] = -(energies[0] - energies[1]) / (2 * step)
    np.testing.assert_allclose(forces, numeric, atol=1e-6 * max(1, np.abs(forces).max()))


@pytest.mark.parametrize("name", STRUCTURES)
def test_six_components_of_the_virial(name: str, potential: Potential) -> None:
    """Deform by hand: cell rows and positions times (1 + strain), one component of the strain at a time."""
    structure, step = STRUCTURES[name], 1e-5
    found = predict(potential, structure)
    for i, j in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:
        energies = []
        for sign in (1, -1):
            deformation = np.eye(3)
            deformation[i, j] += sign * step / 2
            deformation[j, i] += sign * step / 2
            deformed = replace(
                structure, positions=structure.positions @ deformation, cell=structure.cell @ deformation
            )
            energies.append(predict(potential, deformed).energy)
        numeric = (energies[0] - energies[1]) / (2 * step)
        scale = max(1.0, np.abs(found.virial).max())
        assert found.virial[i, j] == pytest.approx(numeric, abs=1e-6 * scale), f"{name}, component {i}{j}"
        assert found.virial[j, i] == found.virial[i, j]


def test_stress_is_virial_over_volume_and_tension_is_positive(potential: Potential) -> None:
    structure = structures.bcc()
    stretched, squeezed = (predict(potential, structure.strained(e * np.eye(3))) for e in (0.15, -0.15))
    assert np.trace(stretched.stress) > 0 > np.trace(squeezed.stress)
    volume = structure.strained(0.15 * np.eye(3)).volume
    np.testing.assert_allclose(stretched.stress * volume, stretched.virial, rtol=1e-14)


@pytest.mark.parametrize("name", ["slab", "wire", "cluster"])
def test_no_stress_without_volume(name: str, potential: Potential) -> None:
    found = predict(potential, STRUCTURES[name])
    assert np.isnan(found.stress).all()
    assert np.isfinite(found.virial).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_float64_numpy(dtype: str, potential: Potential) -> None:
    found = predict(potential.with_dtype(dtype), STRUCTURES["alloy"])
    assert type(found.energy) is float
    for array in found[1:]:
        assert type(array) is np.ndarray
        assert array.dtype == np.float64


def test_reference_energies_are_exact_in_float32(potential: Potential) -> None:
    """Thousands of eV per atom must not cost the digits of the network."""
    heavy = replace(potential, dtype="float32", reference_energies=(-23456.789, -6543.21))
    light = replace(potential, dtype="float32", reference_energies=(0.0, 0.0))
    structure = STRUCTURES["alloy"]
    offset = sum(heavy.reference_energies[heavy.elements.index(s)] for s in structure.symbols)
    difference = predict(heavy, structure).energy - predict(light, structure).energy
    assert difference == pytest.approx(offset, abs=1e-9)


def test_several_structures_at_once(potential: Potential) -> None:
    together, capacity = predict_many(potential, list(STRUCTURES.values()))
    for (name, structure), found in zip(STRUCTURES.items(), together, strict=True):
        for a, b in zip(found, predict(potential, structure), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10, err_msg=name)
    assert capacity.systems == len(STRUCTURES)
    assert capacity.atoms >= sum(map(len, STRUCTURES.values()))


def test_capacity_is_kept_and_grows(potential: Potential) -> None:
    _, capacity = predict_many(potential, [STRUCTURES["slab"]])
    assert predict_many(potential, [STRUCTURES["cluster"]], at_least=capacity)[1] == capacity
    small = Capacity(8, 8, 8, 1)
    found, grown = predict_many(potential, [STRUCTURES["slab"]], at_least=small)
    assert all(a >= b for a, b in zip(grown, capacity, strict=True))
    np.testing.assert_allclose(found[0].forces, predict(potential, STRUCTURES["slab"]).forces, atol=1e-11)


def test_non_finite_results_are_never_returned(potential: Potential) -> None:
    overlapping = structures.dimer(1e-3)
    with pytest.raises(NonFiniteEnergy, match=r"structure 0 \(2 atoms\).*overlapping"):
        predict(potential.with_dtype("float32"), overlapping)
    nan = replace(potential, params={**potential.params, "epsilon": np.full((2, 2), np.nan)})
    with pytest.raises(NonFiniteEnergy, match="structure 0"):
        predict_many(nan, [structures.dimer(2.5)])


def test_unknown_element(potential: Potential) -> None:
    with pytest.raises(InputError, match="element V, expected only Ti, Al"):
        predict(potential, structures.dimer(2.5, ("V", "Ti")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "nothing"}, "architecture: got nothing, expected one of dimenet"),
        ({"dtype": "bfloat16"}, "dtype: got bfloat16"),
        ({"elements": ("Ti", "Xy")}, "elements: got Xy"),
        ({"elements": ("Ti", "Ti")}, "each element once"),
        ({"elements": ("Ti",)}, "2 for 1 elements"),
        ({"elements": (), "reference_energies": ()}, "at least one element"),
    ],
)
def test_unusable_potentials(change: dict[str, Any], message: str, potential: Potential) -> None:
    with pytest.raises(InputError, match=message):
        replace(potential, **change)


def test_hops_and_cutoff() -> None:
    assert potentials.lennard_jones(cutoff=4.2).cutoff == 4.2
    assert potentials.lennard_jones().hops == 1
    assert potentials.dimenet(n_blocks=3).hops == 4


def test_precision_leaves_no_trace() -> None:
    with precision("float64"):
        assert jnp.ones(1).dtype == np.float64
        with precision("float32"):
            assert jnp.ones(1).dtype == np.float32
    assert jnp.ones(1).dtype == np.float32


def test_one_atom_is_its_reference_energy(potential: Potential) -> None:
    found = predict(potential, structures.atom("Al"))
    assert found.energy == -1.5
    assert (found.forces == 0).all()
    periodic = Structure(np.zeros((1, 3)), np.array([22]), 30 * np.eye(3), np.ones(3, dtype=bool))
    assert predict(potential, periodic).energy == -1.0
    assert (predict(potential, periodic).stress == 0).all()
