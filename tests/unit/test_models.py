"""DimeNet++ against explicit triplets, its bases against scipy, Lennard-Jones against ASE and a plain loop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from scipy.special import eval_legendre, spherical_jn

import potentials
import structures
from fusepot.gradient import precision
from fusepot.models import ARCHITECTURES, bases
from fusepot.models.dimenetpp import RADIAL_TOLERANCE
from fusepot.neighbors import find_pairs
from fusepot.potential import Potential, Prediction, predict, predict_many
from fusepot.structure import Structure
from reference import positions

SMALL = {
    "hcp, 2 atoms": structures.hcp(),
    "hcp, 2 atoms, rattled": structures.hcp(rattle=0.1, seed=1),
    "hcp, 16 atoms": structures.hcp((2, 2, 2)),
    "bcc, 16 atoms, rattled": structures.bcc((2, 2, 2), rattle=0.2, seed=2),
    "same neighbour through two images": structures.same_neighbor_two_images(),
    "cluster": structures.cluster(seed=3),
    "dimer": structures.dimer(2.7),
    "atom": structures.atom(),
}
ALLOYS = {
    "triclinic alloy": structures.alloy((2, 2, 1), seed=4),
    "slab": structures.slab(seed=5),
    "dimer": structures.dimer(2.4, ("Al", "Ti")),
}


def agree(potential: Potential, cases: dict[str, Structure], tolerance: float) -> None:
    """Energy, forces and virial (stress times volume) against the oracle, relative to the largest value."""
    expected = positions.dimenet(potential, list(cases.values()))
    found, _ = predict_many(potential, list(cases.values()))
    references = dict(zip(potential.elements, potential.reference_energies, strict=True))
    start = 0
    for (name, structure), prediction, virial in zip(cases.items(), found, expected.virials, strict=True):
        rows = slice(start, start + len(structure))
        start = rows.stop
        energies = prediction.energies - [references[symbol] for symbol in structure.symbols]
        for kind, value, reference in [
            ("energies", energies, expected.energies[rows]),
            ("forces", prediction.forces, expected.forces[rows]),
            ("virial", prediction.virial, virial),
        ]:
            error = np.abs(value - reference).max() / max(1.0, np.abs(reference).max())
            assert error < tolerance, f"{kind} of {name}: {error:.2e}"
        if structure.pbc.all():
            np.testing.assert_allclose(prediction.stress * structure.volume, prediction.virial, atol=1e-12)
    assert np.abs(expected.forces).max() > 1e-3, "the parameters give no forces: nothing was compared"


def test_dimenet_equals_triplets() -> None:
    agree(potentials.dimenet(), SMALL, 1e-10)


def test_dimenet_equals_triplets_with_two_elements_and_the_default_hyper_parameters() -> None:
    config = ARCHITECTURES["dimenet++"].config()
    params = potentials.random_params("dimenet++", config, 2, seed=3)
    agree(Potential("dimenet++", config, ("Ti", "Al"), (-3.0, -2.0), params, "float64"), ALLOYS, 1e-10)


OTHER: list[dict[str, Any]] = [
    {"cutoff": 4.1, "n_blocks": 2, "n_radial": 4, "n_spherical": 5, "envelope_exponent": 5, "n_residual_after": 0},
    {"cutoff": 5.6, "n_blocks": 1, "n_radial": 8, "n_spherical": 2, "n_residual_before": 2, "n_output_layers": 0},
    {"n_blocks": 0, "n_output_layers": 2, "type_embedding_size": 3, "embedding_size": 7, "angle_embedding_size": 5},
]


@pytest.mark.parametrize("hyper", OTHER)
def test_dimenet_equals_triplets_with_other_hyper_parameters(hyper: dict[str, Any]) -> None:
    agree(potentials.dimenet(("Ti", "Al"), seed=7, **hyper), ALLOYS, 1e-10)


def test_dimenet_equals_triplets_on_256_atoms() -> None:
    agree(potentials.dimenet(seed=5), {"256 atoms": structures.hcp((8, 4, 4), rattle=0.15, seed=6)}, 1e-10)


def test_dimenet_tells_elements_apart() -> None:
    """Swapping which element sits where changes the energy; a table indexed by atoms would depend on their order."""
    potential = potentials.dimenet(("Ti", "Al"))
    for first, second in (("Ti", "Ti"), ("Al", "Al")):
        energies = predict(potential, structures.dimer(2.5, (first, second))).energies
        assert energies[0] == pytest.approx(energies[1], abs=1e-12), f"{first}{second}"
    mixed = predict(potential, structures.dimer(2.5, ("Ti", "Al"))).energies
    swapped = predict(potential, structures.dimer(2.5, ("Al", "Ti"))).energies
    np.testing.assert_allclose(mixed, swapped[::-1], rtol=1e-12)


def test_a_fresh_network_returns_zero() -> None:
    """And has the shapes that configuration and elements imply, in float32."""
    config = ARCHITECTURES["dimenet++"].config(
        n_blocks=1, embedding_size=8, n_residual_before=0, n_residual_after=0, n_output_layers=0
    )

    params = ARCHITECTURES["dimenet++"].init(config, 2, jax.random.key(0))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
    assert params["~"]["species"].shape == (2, config.type_embedding_size)
    np.testing.assert_allclose(params["~"]["frequencies"], np.pi * np.arange(1, 7), rtol=1e-6)
    weights = [params[name]["w"] for name in params if name.endswith("_energy")]
    assert len(weights) == 2
    assert all((weight == 0).all() for weight in weights)
    own = np.asarray(params["block_1_own"]["w"], np.float64)
    gram = own.T @ own
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(len(gram)), atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 3e-13)])
@pytest.mark.parametrize(("n_spherical", "n_radial", "exponent"), [(7, 6, 6), (5, 4, 5), (2, 1, 3), (7, 16, 6)])
def test_chebyshev_table(dtype: str, tolerance: float, n_spherical: int, n_radial: int, exponent: int) -> None:
    """Enough terms for either precision, against the formula in scipy's functions."""
    table = bases.spherical_bessel_chebyshev(n_spherical, n_radial, exponent, RADIAL_TOLERANCE[dtype])
    x = np.linspace(0.02, 1.0, 301)
    sums = np.polynomial.chebyshev.chebval(2 * x - 1, np.moveaxis(table, -1, 0))
    for degree in range(n_spherical):
        zeros = bases.spherical_bessel_zeros(degree, n_radial)
        for n, zero in enumerate(zeros):
            norm = np.sqrt(2 / spherical_jn(degree + 1, zero) ** 2 * (2 * degree + 1) / (4 * np.pi))
            formula = bases.envelope(x, exponent) * norm * spherical_jn(degree, zero * x)
            np.testing.assert_allclose(sums[degree, n], formula, atol=tolerance * norm)


def test_spherical_bessel_zeros() -> None:
    for degree in range(8):
        zeros = np.array(bases.spherical_bessel_zeros(degree, 8))
        assert (np.diff(zeros) > 3).all()
        np.testing.assert_allclose(spherical_jn(degree, zeros), 0, atol=1e-14)
        # Between zeros the function keeps its sign, so that none was missed.
        for a, b in zip(np.array([1e-3, *zeros[:-1]]) + 1e-6, zeros - 1e-6, strict=True):
            assert len(set(np.sign(spherical_jn(degree, np.linspace(a, b, 50))))) == 1


def test_chebyshev_and_legendre_recurrences() -> None:
    with precision("float64"):
        x = jnp.linspace(-1, 1, 57)
        found = np.asarray(bases.chebyshev(x, 40))
        assert bases.chebyshev(jnp.ones((5, 2)), 7, axis=1).shape == (5, 7, 2)
    np.testing.assert_allclose(found, np.cos(np.arange(40) * np.arccos(np.asarray(x))[:, None]), atol=1e-12)
    for degree, row in enumerate(bases.legendre_in_chebyshev(7)):
        np.testing.assert_allclose(found[:, :7] @ row, eval_legendre(degree, np.asarray(x)), atol=1e-14)


@pytest.mark.parametrize("exponent", [3, 5, 6, 8])
def test_envelope_and_two_derivatives_vanish_at_the_cutoff(exponent: int) -> None:
    with precision("float64"):
        function = lambda x: bases.envelope(x, exponent)  # noqa: E731
        derivatives = [function]
        for _ in range(3):
            derivatives.append(jax.grad(derivatives[-1]))
        values = [float(f(jnp.float64(1.0))) for f in derivatives]
        assert float(function(jnp.float64(0.0))) == 1.0
    np.testing.assert_allclose(values[:3], 0, atol=1e-11)
    assert abs(values[3]) > 1


def test_bessel_basis() -> None:
    d, cutoff = np.linspace(0.5, 4.9, 23), 5.0
    with precision("float64"):
        found = bases.bessel_basis(jnp.asarray(d), jnp.pi * jnp.arange(1.0, 7.0), cutoff, 6)
    x = d / cutoff
    envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    expected = np.sqrt(2 / cutoff) * np.sin(np.arange(1, 7) * np.pi * x[:, None]) / d[:, None] * envelope[:, None]
    np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize("name", SMALL)
def test_lennard_jones_equals_ase(name: str) -> None:
    potential = potentials.lennard_jones()
    epsilon, sigma = float(potential.params["epsilon"][0, 0]), float(potential.params["sigma"][0, 0])
    atoms = SMALL[name].to_ase()
    atoms.calc = LennardJones(epsilon=epsilon, sigma=sigma, rc=potential.cutoff)
    found = predict(potential, SMALL[name])
    scale = max(1.0, np.abs(atoms.get_forces()).max())
    assert found.energy - len(atoms) * potential.reference_energies[0] == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=1e-11 * scale)
    if atoms.pbc.all():
        np.testing.assert_allclose(found.stress, atoms.get_stress(voigt=False), atol=1e-12 * scale)


@pytest.mark.parametrize("name", ALLOYS)
def test_lennard_jones_of_two_elements_equals_a_plain_loop(name: str) -> None:
    potential, structure = potentials.lennard_jones(("Ti", "Al")), ALLOYS[name]
    found, expected = predict(potential, structure), plain_lennard_jones(potential, structure)
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-11, atol=1e-11)


def plain_lennard_jones(potential: Potential, structure: Structure) -> Prediction:
    pairs = find_pairs(structure, potential.cutoff)
    kinds = [potential.elements.index(symbol) for symbol in structure.symbols]
    energies = np.array([potential.reference_energies[k] for k in kinds])
    forces, virial = np.zeros((len(structure), 3)), np.zeros((3, 3))
    for i, j, vector in zip(pairs.centers, pairs.others, pairs.vectors, strict=True):
        epsilon, sigma = (float(potential.params[key][kinds[i], kinds[j]]) for key in ("epsilon", "sigma"))
        r, rc = float(np.linalg.norm(vector)), potential.cutoff
        energy = 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6 - (sigma / rc) ** 12 + (sigma / rc) ** 6)
        slope = 4 * epsilon * (-12 * (sigma / r) ** 12 + 6 * (sigma / r) ** 6) / r
        energies[i] += energy / 2
        forces[i] += slope * vector / r  # the other half comes from the pair seen from j
        virial += np.outer(vector, vector) / r * slope / 2
    return Prediction(float(energies.sum()), energies, forces, virial, virial / structure.volume)
