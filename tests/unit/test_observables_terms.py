"""Per-frame terms against the energy's finite differences and against ``predict``; frames and their pairs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import potentials
import structures
from fusepot import samples
from fusepot.committee import join
from fusepot.errors import InputError, NonFiniteEnergy
from fusepot.gradient import precision
from fusepot.graph import Capacity
from fusepot.models import ARCHITECTURES
from fusepot.observables import ENERGY, Term, evaluate, make_frames
from fusepot.observables.elastic import Cubic, Hexagonal, cubic_matrix, hexagonal_matrix
from fusepot.observables.frames import graph_at
from fusepot.observables.observe import evaluate_frames
from fusepot.observables.registered.elasticity import born_cubic, born_hexagonal
from fusepot.observables.terms import BORN, STRESS, STRESS_STRESS, Snapshot
from fusepot.observables.voigt import DIRECTIONS, to_tensor, to_voigt
from fusepot.potential import Potential, cast_params, predict, predict_many
from fusepot.sampling.trajectory import Trajectory
from fusepot.structure import FloatArray, Structure


def trajectory_of(structure: Structure, positions: FloatArray, cells: FloatArray | None = None) -> Trajectory:
    count = len(positions)
    cells = np.repeat(structure.cell[None], count, axis=0) if cells is None else cells
    return Trajectory(structure, 300.0, positions, cells, np.zeros(count), np.zeros(count), 1.0, 1)


def single(structure: Structure) -> Trajectory:
    return trajectory_of(structure, structure.positions[None])


def frames_of(potential: Potential, trajectory: Trajectory) -> Any:
    return make_frames(trajectory, cutoff=potential.cutoff, elements=potential.elements)


def terms_at(potential: Potential, structure: Structure, terms: set[Term]) -> dict[str, FloatArray]:
    found = evaluate_frames(potential, frames_of(potential, single(structure)), terms)
    return {name: series.values[0] for name, series in found.items()}


def test_born_term_is_the_second_derivative_by_strain() -> None:
    """All 21 components on a triclinic cell of two elements."""
    potential = potentials.nep(("Ti", "Al"))
    structure = samples.rattled(potential.elements, potential.cutoff, side=2, seed=8)
    found = terms_at(potential, structure, {BORN, STRESS})
    scale = np.abs(found["born"]).max()
    assert np.allclose(found["born"], found["born"].T, rtol=1e-10, atol=1e-10 * scale)

    step, capacity = 4e-4, predict_many(potential, [structure.strained(0.01 * np.eye(3))])[1]

    def energies(strains: FloatArray) -> FloatArray:
        return np.array([predict(potential, structure.strained(e), at_least=capacity).energy for e in strains])

    rest = predict(potential, structure).energy
    ahead, behind = energies(step * DIRECTIONS), energies(-step * DIRECTIONS)
    numeric = np.zeros((6, 6))
    for a, b in product(range(6), repeat=2):
        if a > b:
            both = step * (DIRECTIONS[a] + DIRECTIONS[b])
            single_steps = ahead[[a, b]].sum() + behind[[a, b]].sum()
            numeric[a, b] = numeric[b, a] = (energies(np.array([both, -both])).sum() - single_steps + 2 * rest) / 2
    numeric[np.diag_indices(6)] = ahead + behind - 2 * rest
    numeric /= step**2 * structure.volume
    assert np.abs(numeric - found["born"]).max() < 2e-5 * scale, (numeric, found["born"])
    slopes = (ahead - behind) / (2 * step * structure.volume)
    assert np.allclose(slopes, found["stress"], atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["lennard-jones", pytest.param("dimenet++", marks=pytest.mark.slow)])
def test_born_term_along_one_strain(name: str) -> None:
    """One row by differences of the virial."""
    potential = potentials.potential_of(name)
    structure = samples.rattled(potential.elements, potential.cutoff, side=2, seed=9)
    found = terms_at(potential, structure, {BORN})["born"]
    step, a = 1e-3, 3

    def derivatives(s: float) -> FloatArray:
        deformation = np.eye(3) + s * DIRECTIONS[a]
        virial = predict(potential, structure.strained(s * DIRECTIONS[a])).virial
        # dE/d(epsilon) at a strained cell, by the strain of the unstrained one, is the symmetric part of virial F^-T.
        turned = virial @ np.linalg.inv(deformation)
        return to_voigt(turned + turned.T) / 2

    numeric = (derivatives(step) - derivatives(-step)) / (2 * step * structure.volume)
    assert np.abs(numeric - found[a]).max() < 1e-5 * np.abs(found).max(), (numeric, found[a])


def test_symmetric_born_terms() -> None:
    """The cheap rows give the whole matrix where it has the symmetry."""

    class Rows:
        def __init__(self, matrix: Any) -> None:
            self.matrix = np.asarray(matrix)

        def born(self, rows: Any) -> Any:
            return jnp.asarray(self.matrix[list(rows)])

    with precision("float64"):
        five = hexagonal_matrix(Hexagonal(*map(jnp.asarray, (176.0, 87.0, 68.0, 190.0, 51.0))))
        three = cubic_matrix(Cubic(*map(jnp.asarray, (168.0, 121.0, 75.0))))
        for matrix, function in ((five, born_hexagonal), (three, born_cubic)):
            assert np.allclose(function(Rows(matrix)), matrix)  # type: ignore[arg-type]


def test_voigt() -> None:
    components = np.arange(1.0, 7.0)
    tensor = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    assert np.array_equal(to_tensor(components), tensor)
    assert np.array_equal(to_voigt(tensor), components)
    assert np.allclose(np.einsum("aij,ij->a", DIRECTIONS, tensor), components)


def solid(seed: int) -> Trajectory:
    base = structures.alloy((2, 2, 2), seed=seed)
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(size=(12, 1, 3)), axis=0)  # the whole crystal moves; no pair changes
    return trajectory_of(base, base.positions + 0.12 * rng.normal(size=(12, len(base), 3)) + drift)


def diffusing(seed: int) -> Trajectory:
    base = structures.alloy((2, 2, 2), seed=seed)
    steps = np.random.default_rng(seed).normal(size=(12, len(base), 3))
    return trajectory_of(base, base.positions + 0.25 * np.cumsum(steps, axis=0))


def wrapped(seed: int) -> Trajectory:
    solid_ = solid(seed)
    scaled = solid_.positions @ np.linalg.inv(solid_.structure.cell)
    return replace(solid_, positions=(scaled % 1) @ solid_.structure.cell)


def breathing(seed: int) -> Trajectory:
    """A changing cell, as at constant pressure."""
    base, rng = structures.alloy((2, 2, 2), seed=seed), np.random.default_rng(seed)
    strained = [base.strained(0.05 * rng.normal(size=(3, 3))) for _ in range(12)]
    return trajectory_of(base, np.array([s.positions for s in strained]), np.array([s.cell for s in strained]))


KINDS = {"solid": solid, "diffusing": diffusing, "wrapped": wrapped, "breathing": breathing}


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_as_predicted(kind: str) -> None:
    """Energy and stress of each frame from common pair lists, against a fresh neighbour search for each."""
    seed = 4
    trajectory = KINDS[kind](seed)
    sizes = Capacity(atoms=16, pairs=1200, neighbors=72, systems=1).rounded()
    for potential in (potentials.nep(("Al", "Ti")), potentials.lennard_jones(("Al", "Ti"))):
        frames = make_frames(trajectory, cutoff=5.0, elements=potential.elements, at_least=sizes)
        assert frames.capacity == sizes, "the test compiles more than once"
        assert (len(frames.lists.centers) == 1) == (kind in ("solid", "breathing"))
        found = evaluate_frames(potential, frames, {ENERGY, STRESS, STRESS_STRESS})
        for k in range(len(trajectory)):
            expected = predict(potential, trajectory.frame(k), at_least=sizes)
            references = sum(potential.reference_energies[s == "Ti"] for s in trajectory.structure.symbols)
            assert np.isclose(found["energy"].values[k] + references, expected.energy, rtol=1e-11), (kind, seed, k)
            stress = to_voigt(expected.stress)
            assert np.allclose(found["stress"].values[k], stress, rtol=1e-8, atol=1e-10), (kind, seed, k)
            assert np.allclose(found["stress_stress"].values[k], np.outer(stress, stress), rtol=1e-7, atol=1e-10)


def test_lists_hold_little_more_than_a_frame_needs() -> None:
    base = structures.hcp((4, 4, 3))
    rng = np.random.default_rng(2)
    trajectory = trajectory_of(base, base.positions + 0.1 * rng.normal(size=(200, len(base), 3)))
    frames = make_frames(trajectory, cutoff=5.0, elements=("Ti",))
    listed = frames.lists.pair_mask.sum()
    with jax.enable_x64(True):
        used = [int(graph_at(frames, k, cutoff=5.0, dtype="float32").pair_mask.sum()) for k in range(3)]
    assert len(frames.lists.centers) == 1
    assert max(used) <= listed < 1.5 * min(used), (used, listed)
    longer = make_frames(trajectory, cutoff=5.0, elements=("Ti",), at_least=frames.capacity)
    assert longer.capacity == frames.capacity


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_float32_models_stay_in_float32(architecture: str) -> None:
    """Sums are float64 around them, and nothing inside is lifted."""
    potential = potentials.potential_of(architecture).with_dtype("float32")
    params = cast_params(potential.params, "float32")
    frames = frames_of(potential, single(samples.rattled(potential.elements, potential.cutoff)))
    with precision("float64"):
        graph = graph_at(frames, 0, cutoff=potential.cutoff, dtype="float32")

        def model(params: Any, vectors: Any) -> Any:
            return Snapshot(potential.model, params, graph).gradient(vectors, "xla")

        assert graph.vectors.dtype == np.float32
        assert not list(float64_in(jax.make_jaxpr(model)(params, graph.vectors).jaxpr))


def test_float32_is_close_to_float64() -> None:
    potential = potentials.lennard_jones(("Ti", "Al"))
    frames = frames_of(potential, single(samples.rattled(potential.elements, potential.cutoff, side=4)))
    terms = {ENERGY, STRESS, BORN}
    exact, rough = (evaluate_frames(potential.with_dtype(kind), frames, terms) for kind in ("float64", "float32"))
    for name, series in rough.items():
        assert series.values.dtype == np.float64
        scale = np.abs(exact[name].values).max()
        assert 0 < np.abs(series.values - exact[name].values).max() < 1e-5 * scale, name


def float64_in(jaxpr: Any) -> Any:
    """Equations of a jaxpr, inner ones included, that make float64."""
    for equation in jaxpr.eqns:
        yield from (equation for v in equation.outvars if getattr(v.aval, "dtype", None) == np.float64)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                if hasattr(inner, "jaxpr") or hasattr(inner, "eqns"):
                    yield from float64_in(getattr(inner, "jaxpr", inner))


@pytest.mark.parametrize(
    ("name", "options"), [("nep", {"engine": "auto"}), ("lennard-jones", {"engine": "xla", "batch": 2})]
)
def test_gradients_by_parameters(name: str, options: dict[str, Any]) -> None:
    """Of all terms at once, against differences along a random direction, with and without kernel and batches."""
    seed, elements = 6, ("Al", "Ti")
    small = potentials.nep(elements, neurons=4, n_max_radial=1, n_max_angular=1, l_max=1, four_body=False)
    potential = {"nep": small, "lennard-jones": potentials.lennard_jones(elements)}[name]
    frames, model = frames_of(potential, solid(seed)[:3]), potential.model
    rng = np.random.default_rng(seed)
    # A direction that keeps the tables of species pairs as they are: smooth, one scale per parameter.
    direction = {name: 0.1 * rng.normal() * leaf for name, leaf in potential.params.items()}
    mix = rng.normal(size=(6, 6))

    def total(params: Any) -> jax.Array:
        series = evaluate(model, params, frames, terms={ENERGY, STRESS, BORN}, **options)
        energy, stress, born = (series[name].values for name in ("energy", "stress", "born"))
        return jnp.sum(energy**2) / 100 + jnp.sum(stress @ mix @ stress.T) + jnp.sum(born * mix)

    with precision("float64"):
        both = jax.jit(jax.value_and_grad(total))

        def along(step: float) -> float:
            return float(both({name: leaf + step * direction[name] for name, leaf in potential.params.items()})[0])

        gradient = both(potential.params)[1]
        slope = sum(float(np.sum(gradient[name] * direction[name])) for name in direction)
        numeric = (8 * (along(1e-4) - along(-1e-4)) - (along(2e-4) - along(-2e-4))) / 1.2e-3
    assert np.isclose(slope, numeric, rtol=1e-7), (seed, slope, numeric)


def test_a_committee_is_its_mean() -> None:
    one = potentials.lennard_jones()
    parts = [one, replace(one, params={name: 1.03 * np.asarray(leaf) for name, leaf in one.params.items()})]
    structure = structures.hcp((2, 2, 1), rattle=0.1)
    both = terms_at(join(parts), structure, {ENERGY, STRESS, BORN})
    each = [terms_at(part, structure, {ENERGY, STRESS, BORN}) for part in parts]
    for name, value in both.items():
        assert np.allclose(value, (each[0][name] + each[1][name]) / 2, rtol=1e-9), name


def test_sparse_terms() -> None:
    potential, structure = potentials.lennard_jones(), structures.hcp((2, 2, 1), rattle=0.1)
    trajectory = trajectory_of(
        structure, structure.positions + 0.01 * np.arange(5)[:, None, None] * structure.positions
    )
    frames = frames_of(potential, trajectory)
    dense, sparse = (evaluate_frames(potential, frames, {ENERGY, BORN}, sparse_every=n) for n in (1, 3))
    assert sparse["born"].frames.tolist() == [0, 3]
    assert sparse["energy"].frames.tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(sparse["born"].values, dense["born"].values[[0, 3]])


def test_misuse() -> None:
    potential = potentials.lennard_jones()
    trajectory = single(structures.hcp((2, 2, 2)))
    frames, model = frames_of(potential, trajectory), potential.model
    with pytest.raises(InputError, match="precision"):
        evaluate(model, potential.params, frames, terms={ENERGY})
    with precision("float64"):
        with pytest.raises(InputError, match="sparse_every: got 0"):
            evaluate(model, potential.params, frames, terms={BORN}, sparse_every=0)
        with pytest.raises(InputError, match="two different terms named energy"):
            evaluate(model, potential.params, frames, terms={ENERGY, Term("energy", lambda f: f.stress)})
    with pytest.raises(InputError, match="no frames"):
        frames_of(potential, trajectory[:0])
    with pytest.raises(InputError, match="three periodic directions"):
        frames_of(potential, single(replace(structures.hcp(), pbc=np.array([True, True, False]))))
    broken = replace(potential, params={**potential.params, "sigma": potential.params["sigma"] * np.nan})
    with pytest.raises(NonFiniteEnergy, match="energy of frame 0"):
        evaluate_frames(broken, frames, {ENERGY})
