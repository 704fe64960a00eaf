"""The compiled kernel of NEP against its definition in JAX: values, padding, transformations, instruction sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.data import atomic_numbers

import potentials
import structures
from fusepot import native
from fusepot.errors import InputError
from fusepot.gradient import Engine, energy_and_pair_gradient, forces_and_virial, precision
from fusepot.graph import Graph, build_graph
from fusepot.models import nep_kernel
from fusepot.models.nep import NepConfig
from fusepot.models.zbl import Zbl
from fusepot.potential import Potential, cast_params
from fusepot.structure import Structure

pytestmark = pytest.mark.skipif(native.library() is None, reason=str(native.load()))

ELEMENTS = {1: ("Ti",), 2: ("Ti", "Al"), 3: ("Cu", "Ti", "Al")}
SMALL: dict[str, Any] = {"neurons": 7, "n_max_radial": 2, "n_max_angular": 1}
LARGE: dict[str, Any] = {"neurons": 30, "n_max_radial": 6, "n_max_angular": 4}


def repulsion(species: int) -> Zbl:
    """Acts below 2.8 Å, on rattled neighbours too."""
    return Zbl(inner=1.4, outer=2.8, numbers=tuple(atomic_numbers[symbol] for symbol in ELEMENTS[species]))


# (number of species, hyper-parameters): every l_max with and without the terms of higher order, tables of all sizes.
MODELS: dict[str, tuple[int, dict[str, Any]]] = {
    "default": (1, LARGE | {"n_max_radial": 4}),
    "l_max 1": (2, SMALL | {"l_max": 1, "four_body": False}),
    "l_max 1, 5-body": (1, SMALL | {"l_max": 1, "four_body": False, "five_body": True, "basis_size_radial": 4}),
    "l_max 2, 4-body": (3, SMALL | {"l_max": 2, "basis_size_angular": 5, "n_max_angular": 0}),
    "l_max 3, 4- and 5-body, ZBL": (
        2,
        SMALL | {"l_max": 3, "five_body": True, "zbl": repulsion(2), "n_max_angular": 6},
    ),
    "l_max 4": (1, SMALL | {"four_body": False, "angular_cutoff": 3.7, "basis_size_angular": 10}),
    "all, unequal cutoffs": (
        3,
        LARGE | {"five_body": True, "zbl": repulsion(3), "cutoff": 6.0, "angular_cutoff": 3.9, "neurons": 13},
    ),
    "one basis function": (
        2,
        LARGE | {"basis_size_radial": 1, "basis_size_angular": 1, "n_max_angular": 9, "neurons": 1},
    ),
}
STRUCTURES: dict[str, Structure] = {
    "crystal": structures.hcp((2, 2, 1)),
    "rattled": structures.bcc((2, 2, 2), rattle=0.3, seed=1),
    "skewed": structures.triclinic((1, 1, 1), seed=2),
    "slab": structures.slab(seed=3),
    "cluster": structures.cluster(11, seed=4),
    "short dimer": structures.dimer(1.3),
    "dimer": structures.dimer(2.4),
    "long dimer": structures.dimer(4.99),
    "lone atom": structures.atom(),
}


def with_elements(structure: Structure, elements: tuple[str, ...], seed: int) -> Structure:
    """The same positions with elements at random."""
    numbers = np.random.default_rng(seed).choice([atomic_numbers[symbol] for symbol in elements], len(structure))
    return Structure(structure.positions, numbers, structure.cell, structure.pbc)


def graph_of(potential: Potential, *systems: Structure) -> Graph:
    return build_graph(list(systems), cutoff=potential.cutoff, elements=potential.elements, dtype="float64")


def evaluator(potential: Potential, engine: Engine) -> Callable[[Any, Graph], tuple[jax.Array, jax.Array]]:
    return lambda params, graph: energy_and_pair_gradient("nep", potential.config, params, graph, engine=engine)


@lru_cache
def compiled(config: NepConfig, engine: Engine, simd: str) -> Callable[[Any, Graph], tuple[jax.Array, jax.Array]]:
    return jax.jit(lambda params, graph: energy_and_pair_gradient("nep", config, params, graph, engine=engine))


def evaluate(
    potential: Potential, graph: Graph, engine: Engine, dtype: str = "float64"
) -> tuple[np.ndarray, np.ndarray]:
    """Energies and pair gradient."""
    run = compiled(potential.config, engine, native.simd() if engine == "auto" else "")
    with precision(dtype):
        found = run(cast_params(potential.params, dtype), graph._replace(vectors=graph.vectors.astype(dtype)))
        return np.asarray(found[0]), np.asarray(found[1])


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.fixture
def every_simd(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Goes through the instruction sets of this machine, each forced while it is the turn of it."""

    def turns() -> Any:
        for name in native.available_simd():
            monkeypatch.setenv(native.SIMD_VARIABLE, name)
            yield name

    return turns


@pytest.mark.parametrize("name", MODELS)
def test_kernel_equals_xla(name: str, every_simd: Callable[[], Any]) -> None:
    """All structures in one padded graph, compared system by system; each instruction set in both precisions."""
    species, hyper = MODELS[name]
    seed = list(MODELS).index(name)
    potential = potentials.nep(ELEMENTS[species], seed=seed, **hyper)
    systems = [with_elements(s, potential.elements, seed + k) for k, s in enumerate(STRUCTURES.values())]
    graph = graph_of(potential, *systems)
    energies, gradient = evaluate(potential, graph, "xla")
    assert 0.1 < np.abs(gradient).max() < 1e3, f"seed {seed}: nothing to compare"
    pair_system = graph.system[graph.centers]
    for simd in every_simd():
        double = evaluate(potential, graph, "auto")
        single = evaluate(potential, graph, "auto", "float32")
        for index, system in enumerate(STRUCTURES):
            atoms = graph.atom_mask & (graph.system == index)
            pairs = graph.pair_mask & (pair_system == index)
            case = f"seed {seed}, {simd}, {system}"
            assert relative(double[0][atoms], energies[atoms]) < 1e-11, case
            assert np.abs(single[0][atoms] - energies[atoms]).max() < 1e-5 * np.abs(energies).max(), case
            if pairs.any():
                scale = max(np.abs(gradient[pairs]).max(), 1e-3)
                assert np.abs(double[1][pairs] - gradient[pairs]).max() < 1e-11 * scale, case
                assert np.abs(single[1][pairs] - gradient[pairs]).max() < 1e-5 * max(scale, 1), case
        for result, kind in ((double, np.float64), (single, np.float32)):
            assert result[0].dtype == result[1].dtype == kind
            assert not result[0][~graph.atom_mask].any()
            assert not result[1][~graph.pair_mask].any()


def test_many_neighbors(every_simd: Callable[[], Any]) -> None:
    """More than 200 in a row, far more than in its neighbours' rows."""
    potential = potentials.nep(("Ti", "Al"), seed=31, angular_cutoff=4.6, l_max=2, **SMALL)
    rng = np.random.default_rng(31)
    positions = np.concatenate([rng.uniform(0, 5.3, (250, 3)), rng.uniform(8, 30, (40, 3))])
    dense = Structure(positions, rng.choice([22, 13], 290), np.zeros((3, 3)), np.zeros(3, dtype=bool))
    graph = graph_of(potential, dense)
    assert np.bincount(graph.centers[graph.pair_mask]).max() > 200
    # As many neighbours would saturate every neuron, and nothing would be left to compare.
    params = potential.params | {"scaler": potential.params["scaler"] / 100}
    potential = replace(potential, params=params | {"hidden_bias": potential.params["hidden_bias"] / 10})
    expected = evaluate(potential, graph, "xla")
    assert np.abs(expected[1]).max() > 1e-3
    for simd in every_simd():
        found = evaluate(potential, graph, "auto")
        assert max(map(relative, found, expected)) < 1e-10, f"seed 31, {simd}"


@pytest.fixture(scope="module")
def alloy() -> tuple[Potential, Graph]:
    potential = potentials.nep(("Ti", "Al"), seed=41, angular_cutoff=4.5, **SMALL)
    return potential, graph_of(
        potential, with_elements(structures.bcc((2, 2, 1), rattle=0.2, seed=41), ("Ti", "Al"), 41)
    )


def test_masked_atoms_and_missing_numbers(alloy: tuple[Potential, Graph]) -> None:
    """An atom that does not count has no energy and its pairs no gradient; NaN stays with its atom."""
    potential, graph = alloy
    mask = graph.atom_mask & (np.arange(len(graph.species)) != 2)
    got, expected = (evaluate(potential, graph._replace(atom_mask=mask), engine) for engine in ("auto", "xla"))
    assert max(map(relative, got, expected)) < 1e-11
    assert expected[0][2] == got[0][2] == 0
    for bad, atom in ((np.nan, 1), (0.0, 3)):
        vectors = graph.vectors.copy()
        vectors[np.flatnonzero(graph.centers == atom)[2]] = bad
        got, expected = (evaluate(potential, graph._replace(vectors=vectors), engine) for engine in ("auto", "xla"))
        assert np.isnan(expected[0]).nonzero()[0].tolist() == np.isnan(got[0]).nonzero()[0].tolist() == [atom]
        assert np.isnan(got[1][graph.centers == atom]).any()
        assert not np.isnan(got[1][graph.centers != atom]).any()


def test_derivatives_are_those_of_xla() -> None:
    """Directional derivative of the forces (a Hessian) and parameter gradient of a force loss."""
    potential = potentials.nep(("Ti",), seed=51, l_max=1, four_body=False, **SMALL)
    graph = graph_of(potential, structures.bcc((2, 1, 1), rattle=0.2, seed=51))
    with precision("float64"):
        graph = jax.tree.map(jnp.asarray, graph)
    direction = np.random.default_rng(5).normal(size=graph.vectors.shape)

    def derivatives(engine: Engine) -> list[np.ndarray]:
        run = evaluator(potential, engine)

        def loss(params: Any) -> jax.Array:
            energies, gradient = run(params, graph)
            return jnp.sum(forces_and_virial(graph, gradient)[0] ** 2) + energies.sum()

        def both(params: Any, vectors: Any) -> tuple[Any, Any]:
            tangent = jax.jvp(lambda v: run(params, graph._replace(vectors=v)), (vectors,), (direction,))
            return tangent, jax.grad(loss)(params)

        return [np.asarray(leaf) for leaf in jax.tree.leaves(jax.jit(both)(potential.params, graph.vectors))]

    with precision("float64"):
        for got, expected in zip(derivatives("auto"), derivatives("xla"), strict=True):
            assert np.abs(expected).max() > 1e-4
            assert relative(got, expected) < 1e-10


def test_inside_loops_and_maps(alloy: tuple[Potential, Graph]) -> None:
    """scan, lax.map and vmap over displaced structures and over members of a committee."""
    potential, graph = alloy
    run = evaluator(potential, "auto")
    stretched = np.stack([graph.vectors * scale for scale in (1.0, 0.99, 0.98)])
    params = jax.tree.map(lambda leaf: np.stack([leaf, 1.01 * leaf]), potential.params)

    def energies(vectors: Any) -> jax.Array:
        return run(potential.params, graph._replace(vectors=vectors))[0]

    with precision("float64"):
        expected = np.stack([np.asarray(energies(vectors)) for vectors in stretched])
        scanned = jax.lax.scan(lambda carry, v: (carry + 1, energies(v)), 0, jnp.asarray(stretched))[1]
        for got in (scanned, jax.lax.map(energies, stretched), jax.vmap(energies)(stretched)):
            np.testing.assert_array_equal(np.asarray(got), expected)
        members = jax.jit(jax.vmap(lambda p: run(p, graph)[1]))(params)
        second = run(jax.tree.map(lambda leaf: leaf[1], params), graph)[1]
        np.testing.assert_array_equal(np.asarray(members[1]), np.asarray(second))


def test_it_is_a_custom_call_unless_told_otherwise(
    alloy: tuple[Potential, Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    potential, graph = alloy

    def text(engine: Engine) -> str:
        with precision("float64"):
            return jax.jit(evaluator(potential, engine)).lower(potential.params, graph).as_text()

    assert "fusepot_nep_ffi_f64" in text("auto")
    assert "fusepot_nep_ffi" not in text("xla")
    monkeypatch.setenv("FUSEPOT_ENGINE", "xla")
    assert "fusepot_nep_ffi" not in text("auto")


def test_an_installation_without_compiler(alloy: tuple[Potential, Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    potential, _ = alloy
    monkeypatch.setattr(native, "library_path", lambda: None)
    native.load.cache_clear()
    try:
        assert native.load() == "fusepot was installed without a C++ compiler"
        assert nep_kernel.kernel(potential.config) is None
        assert nep_kernel.block_kernel(NepConfig(), potential.params, "float32") is None
    finally:
        monkeypatch.undo()
        native.load.cache_clear()


def test_an_unknown_instruction_set_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.SIMD_VARIABLE, "mmx")
    with pytest.raises(InputError, match="FUSEPOT_SIMD: got mmx, expected one of default"):
        native.simd()
