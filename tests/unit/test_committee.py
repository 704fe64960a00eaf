"""Committees against their members one by one, and against the formulas of the deviation written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import committees
import potentials
import structures
from fusepot import gradient
from fusepot.committee import deviation, join, provenances, split
from fusepot.errors import InputError, NonFiniteEnergy
from fusepot.graph import Graph, build_graph
from fusepot.members import each_member
from fusepot.models import ARCHITECTURES, lennard_jones
from fusepot.potential import Potential, Prediction, mean, predict, predict_many, predict_members
from fusepot.testing import verify

ALLOY = structures.alloy((2, 1, 1), seed=1)
CELLS = [ALLOY, structures.cluster(8, seed=4), structures.same_neighbor_two_images()]


def close(found: Prediction, expected: Prediction, *, tolerance: float = 1e-12) -> None:
    for name, a, b in zip(Prediction._fields, found, expected, strict=True):
        scale = max(1.0, np.nanmax(np.abs(b), initial=0.0))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.fixture(scope="module", params=committees.PARTS)
def parts(request: pytest.FixtureRequest) -> list[Potential]:
    return committees.PARTS[request.param]()


class Compared(NamedTuple):
    """What a committee says about ``CELLS``, and what its members say when they are loaded one by one."""

    mean: list[Prediction]
    members: list[tuple[Prediction, ...]]
    alone: list[list[Prediction]]


@pytest.fixture(scope="module")
def compared(parts: list[Potential]) -> Compared:
    together, capacity = predict_many(join(parts), CELLS)
    alone = [[predict(part, cell, at_least=capacity) for part in parts] for cell in CELLS]
    return Compared(together, predict_members(join(parts), CELLS)[0], alone)


def test_a_committee_is_the_mean_of_its_members(compared: Compared) -> None:
    for found, alone in zip(compared.mean, compared.alone, strict=True):
        first, second, third = alone
        total = (a + b + c for a, b, c in zip(first, second, third, strict=True))
        close(found, Prediction(*(value / 3 for value in total)))
    assert np.abs(compared.mean[0].forces).max() > 0.1, "forces too small to compare anything"


def test_each_member_predicts_what_it_predicts_alone(compared: Compared) -> None:
    for found, alone in zip(compared.members, compared.alone, strict=True):
        assert len(found) == 3
        for a, b in zip(found, alone, strict=True):
            close(a, b)


def test_deviation_is_the_formula(compared: Compared) -> None:
    """Loops over members, atoms and components; the definition, nothing vectorised."""
    found, alone = compared.members[0], compared.alone[0]
    count, atoms = len(alone), len(ALLOY)
    expected = []
    for i in range(atoms):
        total = 0.0
        for axis in range(3):
            values = [float(one.forces[i, axis]) for one in alone]
            average = sum(values) / count
            total += sum((value - average) ** 2 for value in values) / count
        expected.append(total**0.5)
    average = sum(one.energy for one in alone) / count
    spread = (sum((one.energy - average) ** 2 for one in alone) / count) ** 0.5 / atoms
    result = deviation(found)
    scale = max(1.0, max(np.abs(one.forces).max() for one in alone))
    np.testing.assert_allclose(result.forces, expected, atol=1e-12 * scale)
    assert result.energy == pytest.approx(spread, abs=1e-12 * scale)
    assert (result.max_force, result.min_force) == (result.forces.max(), result.forces.min())
    assert result.mean_force == pytest.approx(sum(expected) / atoms, abs=1e-12 * scale)
    assert result.max_force > 0.05, "members too alike to compare anything"


def test_deviation_of_known_numbers() -> None:
    """Two members whose forces on an atom differ by (6, 8, 0): each is 5 eV/Å from the mean."""
    base = predict(potentials.lennard_jones(), structures.hcp())
    other = base._replace(energy=base.energy + 3.0, forces=base.forces + np.array([[6.0, 8, 0], [0, 0, 0]]))
    found = deviation([base, other])
    np.testing.assert_allclose(found.forces, [5.0, 0.0], atol=1e-12)
    assert found.energy == pytest.approx(3.0 / 2 / 2)


def test_one_member_has_no_deviation() -> None:
    found = deviation([predict(potentials.lennard_jones(), structures.hcp())])
    assert np.isnan(found.energy)
    assert np.isnan(found.forces).all()
    assert found.forces.shape == (2,)
    assert np.isnan([found.max_force, found.mean_force, found.min_force]).all()


def test_a_committee_of_one_is_the_single_potential(parts: list[Potential]) -> None:
    only = join(parts[:1])
    assert only is parts[0]
    assert split(only) == (only,)
    (members,), _ = predict_members(only, [ALLOY])
    for a, b in zip(members[0], predict(parts[0], ALLOY), strict=True):
        np.testing.assert_array_equal(a, b)


def test_equal_members_are_the_single_potential() -> None:
    single = committees.nep_parts(1)[0]
    twins = replace(single, params=jax.tree.map(lambda leaf: np.stack([leaf] * 2), single.params), members=2)
    (members,), _ = predict_members(twins, [ALLOY])
    close(mean(members), predict(single, ALLOY))
    assert deviation(members).max_force < 1e-12


def test_split_undoes_join_and_committees_can_be_joined(parts: list[Potential]) -> None:
    committee = join([join(parts[:2]), parts[2]])
    assert committee.members == 3
    for found, part in zip(split(committee), parts, strict=True):
        assert replace(found, params=None) == replace(part, params=None)
        for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(part.params), strict=True):
            np.testing.assert_array_equal(a, b)
    assert provenances(committee) == [part.provenance for part in parts]
    assert provenances(replace(committee, provenance={})) == [{}, {}, {}]


def test_float32_members_are_averaged_in_float64() -> None:
    """Energies of thousands of eV: the mean of three float32 numbers is not rounded to float32."""
    single = committees.lennard_jones_parts()
    (members,), _ = predict_members(join(single).with_dtype("float32"), [ALLOY])
    found = predict(join(single).with_dtype("float32"), ALLOY)
    assert found.energy == pytest.approx(sum(m.energy for m in members) / 3, abs=1e-13)
    close(found, predict(join(single), ALLOY), tolerance=1e-5)


def test_a_member_that_is_not_finite_is_named() -> None:
    committee = committees.lennard_jones()
    epsilon = committee.params["epsilon"].copy()
    epsilon[1] = np.nan
    with pytest.raises(NonFiniteEnergy, match="member 2 of 3 returned"):
        predict(replace(committee, params={**committee.params, "epsilon": epsilon}), ALLOY)


def test_committees_compile_once_whatever_their_parameters() -> None:
    from fusepot.potential import _compiled

    first = committees.lennard_jones(cutoff=4.321)  # a cutoff of its own has compiled code of its own
    shifted = replace(first, params={**first.params, "epsilon": 1.1 * first.params["epsilon"]})
    for potential in (first, shifted, first):
        predict(potential, ALLOY)
    assert _compiled(first.model)._cache_size() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": ("Al", "Ti")}, r"B: got elements Al Ti, expected Ti Al as in A\. .*\[model\]"),
        (
            {"reference_energies": (-1.0, -1.25)},
            r"reference energies -1\.0, -1\.25 eV, expected -1\.0, -1\.5 eV.*--seed",
        ),
        ({"dtype": "float32"}, "B: got dtype float32, expected float64 as in A"),
        ({"params": {"epsilon": np.ones((2, 2))}}, "B: got 1 arrays missing, the first is sigma"),
    ],
)
def test_only_potentials_of_one_kind_can_be_joined(change: dict[str, Any], message: str) -> None:
    first, second = committees.lennard_jones_parts(2)
    with pytest.raises(InputError, match=message):
        join([first, replace(second, **change)], names=["A", "B"])


def test_the_first_difference_of_configurations_is_named() -> None:
    first, second = (committees.nep_parts(1, neurons=n)[0] for n in (5, 6))
    with pytest.raises(InputError, match=r"potential 2: got config\.neurons 6, expected 5 as in potential 1"):
        join([first, second])
    with pytest.raises(InputError, match="potential 2: got architecture lennard-jones, expected nep"):
        join([first, *committees.lennard_jones_parts(1)])


def test_the_same_parameters_twice_would_hide_deviation() -> None:
    first, second = committees.lennard_jones_parts(2)
    with pytest.raises(InputError, match=r"C: got the parameters of A, expected others.*training\.seed"):
        join([first, second, replace(first, provenance={})], names=["A", "B", "C"])
    with pytest.raises(InputError, match="potentials: got none"):
        join([])


@pytest.mark.parametrize("members", [0, -1, 1.0, "2", None])
def test_members_is_a_positive_whole_number(members: Any) -> None:
    with pytest.raises(InputError, match="members: got"):
        replace(potentials.lennard_jones(), members=members)


@pytest.mark.parametrize("make", [committees.lennard_jones, committees.nep])
def test_committees_pass_the_conformance_kit(make: Callable[[int], Potential]) -> None:
    known = {"forces continuous at the cutoff"} if make is committees.lennard_jones else set()
    failed = {result.name: result for result in verify(make(2)) if not result.passed}
    assert failed.keys() == known, failed


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lennard-Jones with a compiled kernel as NEP has it: foreign code, which vmap can only call once per member."""
    calls: list[int] = []

    def kernel(config: Any) -> Any:
        def on_host(params: Any, graph: Graph) -> Any:
            calls.append(np.ndim(params["epsilon"]))
            with gradient.precision("float64"):
                found = gradient._by_xla("lennard-jones", config, params, jax.tree.map(np.asarray, graph))
            return tuple(np.asarray(value) for value in found)

        def evaluate(params: Any, graph: Graph) -> Any:
            atoms, vectors = graph.species.shape, graph.vectors
            shapes = (jax.ShapeDtypeStruct(atoms, vectors.dtype), jax.ShapeDtypeStruct(vectors.shape, vectors.dtype))
            return jax.pure_callback(on_host, shapes, params, graph, vmap_method="sequential")

        return evaluate

    monkeypatch.setitem(ARCHITECTURES, "lennard-jones", replace(lennard_jones.ARCHITECTURE, kernel=kernel))
    return calls


def test_a_kernel_is_called_for_each_member(kernel_calls: list[int]) -> None:
    """Under vmap, engine "auto" still takes the kernel on a CPU, and its derivative is still that of XLA."""
    committee = committees.lennard_jones(cutoff=4.8765)
    graph = build_graph([ALLOY], cutoff=committee.cutoff, elements=committee.elements, dtype="float64")

    def evaluate(engine: gradient.Engine) -> Callable[[Any], Any]:
        def one(params: Any) -> Any:
            return gradient.energy_and_pair_gradient(
                "lennard-jones", committee.config, params, graph, engine=engine
            )  # fmt: skip

        return jax.jit(lambda params: each_member(one, params, members=committee.members))

    def loss(engine: gradient.Engine) -> Callable[[Any], Any]:
        return lambda params: sum((value**2).sum() for value in evaluate(engine)(params))

    with gradient.precision("float64"):
        expected, found = (jax.device_get(evaluate(engine)(committee.params)) for engine in ("xla", "auto"))
        assert kernel_calls == [2, 2, 2], "one call per member, each with the parameters of one"
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-11)
        slopes = [jax.device_get(jax.grad(loss(engine))(committee.params)) for engine in ("xla", "auto")]
    for name in slopes[0]:
        np.testing.assert_allclose(slopes[1][name], slopes[0][name], rtol=1e-9)
    kernel_calls.clear()
    close(predict(committee, ALLOY), mean([predict(part, ALLOY) for part in split(committee)]))
    assert kernel_calls == [2] * 6
