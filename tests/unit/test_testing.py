"""The conformance kit must fail: one broken potential or evaluation for each check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import potentials
import structures
from fusepot.errors import InputError
from fusepot.graph import Capacity, Graph
from fusepot.models import ARCHITECTURES, lennard_jones
from fusepot.potential import Potential, Prediction, predict_many
from fusepot.structure import Structure
from fusepot.testing import CHECKS, CheckResult, handling, verify

Energy = Callable[[Any, Any, Graph], jax.Array]
Change = Callable[[Prediction, Structure], Prediction]


def only(check: str, **options: Any) -> CheckResult:
    (result,) = verify(potentials.lennard_jones(("Ti", "Al")), checks=[check], **options)
    return result


def served(change: Change) -> Any:
    """An evaluation that changes correct predictions."""

    def evaluate(
        potential: Potential, batch: Sequence[Structure], *, at_least: Capacity | None = None
    ) -> tuple[list[Prediction], Capacity]:
        found, capacity = predict_many(potential, batch, at_least=at_least)
        return [change(p, s) for p, s in zip(found, batch, strict=True)], capacity

    return evaluate


def swap_shear(p: Prediction, s: Structure) -> Prediction:
    order = [1, 0, 2]
    return p._replace(virial=p.virial[order][:, order], stress=p.stress[order][:, order])


def add_noise(p: Prediction, s: Structure, generator: Any = np.random.default_rng(0)) -> Prediction:  # noqa: B008
    return p._replace(forces=p.forces * (1 + 1e-15 * generator.normal(size=p.forces.shape)))


EVALUATIONS: list[tuple[str, str, Change]] = [
    ("forces too large", "forces are the gradient", lambda p, s: p._replace(forces=p.forces * 1.00001)),
    ("forces are the gradient itself", "forces are the gradient", lambda p, s: p._replace(forces=-p.forces)),
    (
        "virial of the wrong sign",
        "stress is the strain derivative",
        lambda p, s: p._replace(virial=-p.virial, stress=-p.stress),
    ),
    ("stress is pressure", "stress is the strain derivative", lambda p, s: p._replace(stress=-p.stress)),
    ("stress is the virial", "stress is the strain derivative", lambda p, s: p._replace(stress=p.virial)),
    ("stress is not symmetric", "stress is the strain derivative", lambda p, s: p._replace(stress=np.triu(p.stress))),
    ("yz and xz mixed up", "stress is the strain derivative", swap_shear),
    ("forces in the wrong order", "permutation", lambda p, s: p._replace(forces=np.sort(p.forces, axis=0))),
    ("forces do not rotate", "rotation", lambda p, s: p._replace(forces=np.abs(p.forces))),
    ("stress does not rotate", "rotation", lambda p, s: p._replace(stress=np.diag(np.diag(p.stress)))),
    ("depends on where atoms are", "translation", lambda p, s: p._replace(energy=p.energy + 1e-6 * s.positions.sum())),
    ("sum is an average", "extensivity", lambda p, s: p._replace(energy=p.energy / len(s))),
    ("net force", "balance", lambda p, s: p._replace(forces=p.forces + 1e-7)),
    ("energies do not add up", "balance", lambda p, s: p._replace(energies=p.energies + 1e-6)),
    ("noise", "determinism", add_noise),
    ("float32 output", "data types", lambda p, s: p._replace(forces=p.forces.astype(np.float32))),
    ("numpy scalar", "data types", lambda p, s: p._replace(energy=np.float32(p.energy))),
]  # fmt: skip


@pytest.mark.parametrize(("check", "change"), [e[1:] for e in EVALUATIONS], ids=[e[0] for e in EVALUATIONS])
def test_broken_evaluations_are_caught(check: str, change: Change) -> None:
    assert only(check).passed
    result = only(check, evaluate=served(change))
    assert not result.passed, result
    assert result.value > result.limit


def unshifted(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Lennard-Jones that jumps at the cutoff."""
    energies = lennard_jones.energy(config, params, graph)
    pairs = jax.ops.segment_sum(graph.pair_mask.astype(energies.dtype), graph.centers, len(graph.species))
    return energies - 1e-4 * pairs


def detached(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Part of the energy is hidden from the gradient."""
    hidden = graph._replace(vectors=jax.lax.stop_gradient(graph.vectors))
    return 0.999 * lennard_jones.energy(config, params, graph) + 0.001 * lennard_jones.energy(config, params, hidden)


def ordered(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Depends on the index of an atom, as a table indexed by atoms instead of elements would."""
    return lennard_jones.energy(config, params, graph) * (1 + 1e-3 * (jnp.arange(len(graph.species)) % 2))


def oriented(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Depends on the x axis."""
    stretched = graph._replace(vectors=graph.vectors * jnp.array([1.001, 1.0, 1.0], graph.vectors.dtype))
    return lennard_jones.energy(config, params, stretched)


def chiral(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Tells left from right: a triple product of sums over neighbours, each a vector."""
    squared = jnp.sum(graph.vectors**2, axis=1)
    decay = jnp.where(graph.pair_mask, (1 - squared / config.cutoff**2) ** 3, 0)[:, None] * graph.vectors
    sums = [jax.ops.segment_sum(decay * squared[:, None] ** n, graph.centers, len(graph.species)) for n in (0, 1, 2)]
    return lennard_jones.energy(config, params, graph) + jnp.sum(jnp.cross(sums[0], sums[1]) * sums[2], axis=1)


def intensive(config: Any, params: Any, graph: Graph) -> jax.Array:
    """An average over atoms where a sum should be."""
    return lennard_jones.energy(config, params, graph) / graph.atom_mask.sum()


def far_sighted(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Two hops, declared as one."""
    energies = lennard_jones.energy(config, params, graph)
    decay = (1 - jnp.sum(graph.vectors**2, axis=1) / config.cutoff**2) ** 3
    seen = jnp.where(graph.pair_mask, energies[graph.others] * decay, 0)
    return energies + jax.ops.segment_sum(seen, graph.centers, len(graph.species))


def padded(config: Any, params: Any, graph: Graph) -> jax.Array:
    """The length of arrays enters."""
    return lennard_jones.energy(config, params, graph) * (1 + 1e-5 * len(graph.species))


def pooled(config: Any, params: Any, graph: Graph) -> jax.Array:
    """One system sees another in the same batch."""
    return lennard_jones.energy(config, params, graph) * (1 + 1e-5 * graph.pair_mask.sum())


def mean_of_neighbors(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Divides by the number of neighbours."""
    pairs = jax.ops.segment_sum(graph.pair_mask.astype(graph.vectors.dtype), graph.centers, len(graph.species))
    return lennard_jones.energy(config, params, graph) / pairs


def truncated(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Keeps ten bits where single precision has 23, as accelerators do unless told otherwise."""
    if graph.vectors.dtype == jnp.float32:
        graph = graph._replace(vectors=jax.lax.reduce_precision(graph.vectors, exponent_bits=8, mantissa_bits=10))
    return lennard_jones.energy(config, params, graph)


def double_inside(config: Any, params: Any, graph: Graph) -> jax.Array:
    """Computes in double precision whatever was asked for."""
    with jax.enable_x64(True):
        vectors = graph.vectors.astype(jnp.float64)
        energies = lennard_jones.energy(config, params, graph._replace(vectors=vectors))
    return energies.astype(graph.vectors.dtype)


MODELS: list[tuple[Energy, str]] = [
    (unshifted, "energy continuous at the cutoff"),
    (lennard_jones.energy, "forces continuous at the cutoff"),
    (detached, "forces are the gradient"),
    (detached, "stress is the strain derivative"),
    (ordered, "permutation"),
    (oriented, "rotation"),
    (chiral, "rotation"),
    (intensive, "extensivity"),
    (far_sighted, "locality"),
    (padded, "padding"),
    (pooled, "batching"),
    (mean_of_neighbors, "isolated atom"),
    (truncated, "single precision"),
    (double_inside, "data types"),
]


@pytest.mark.parametrize(("energy", "check"), MODELS, ids=[f"{e.__name__}-{c}" for e, c in MODELS])
def test_broken_models_are_caught(energy: Energy, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"broken {energy.__name__}"  # compiled code is cached under this name
    monkeypatch.setitem(ARCHITECTURES, name, replace(lennard_jones.ARCHITECTURE, energy=energy))
    good = potentials.lennard_jones(("Ti", "Al"))
    (result,) = verify(replace(good, architecture=name), checks=[check])
    assert not result.passed, result
    assert result.detail


def test_a_lossy_file_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    load = handling.load_potential

    def lossy(path: Any) -> Potential:
        loaded = load(path)
        return replace(loaded, params=jax.tree.map(lambda leaf: leaf * (1 + 1e-15), loaded.params))

    assert only("save and load").passed
    monkeypatch.setattr(handling, "load_potential", lossy)
    assert not only("save and load").passed


def test_every_check_is_proven_able_to_fail() -> None:
    assert {check for _, check, _ in EVALUATIONS} | {check for _, check in MODELS} | {"save and load"} == set(CHECKS)


def test_a_given_structure_is_used() -> None:
    potential = potentials.lennard_jones(("Ti", "Al"))
    seen = []

    def watch(p: Prediction, s: Structure) -> Prediction:
        seen.append(len(s))
        return p

    reported: list[CheckResult] = []
    results = verify(
        potential,
        structures.cluster(7),
        checks=["forces are the gradient", "stress is the strain derivative", "extensivity"],
        evaluate=served(watch),
        report=reported.append,
    )
    assert results == reported
    assert all(result.passed for result in results), results
    assert set(seen) == {7, 14}


def test_unknown_check_and_unknown_element() -> None:
    potential = potentials.lennard_jones(("Ti",))
    with pytest.raises(InputError, match="checks: got beauty"):
        verify(potential, checks=["beauty"])
    (result,) = verify(potential, structures.alloy(), checks=["permutation"])
    assert not result.passed
    assert "Al" in result.detail


def test_exceptions_of_the_potential_are_failures() -> None:
    potential = potentials.lennard_jones(("Ti",))
    nan = replace(potential, params={**potential.params, "sigma": np.full((1, 1), np.nan)})
    results = verify(nan, checks=["permutation", "isolated atom"])
    assert not results[0].passed
    assert results[0].value == float("inf")
    assert "non-finite" in results[0].detail


def test_a_kink_of_the_force_at_the_cutoff_is_no_jump():
    """NEP's forces approach zero linearly; steep ones must pass as well."""
    base = potentials.nep(("Ti", "Al"))
    steep = replace(base, params={**base.params, "output": 100 * base.params["output"]})
    (result,) = verify(steep, checks=["forces continuous at the cutoff"])
    assert result.passed, result
