"""What LAMMPS needs of a committee: the mean at every step, and each member's gradient where it asks for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import committees
import potentials
import served
import structures
from fusepot.committee import deviation
from fusepot.potential import Potential, predict, predict_members
from fusepot.serving.lammps import PairArrays, PairServer
from fusepot.structure import FloatArray


def scatter(arrays: PairArrays, gradient: FloatArray, atoms: int, pairs: int) -> FloatArray:
    """Forces as the pair style makes them: each pair pulls at its two atoms."""
    forces = np.zeros((atoms, 3))
    np.add.at(forces, arrays.centers[:pairs], gradient[:pairs])
    np.subtract.at(forces, arrays.others[:pairs], gradient[:pairs])
    return forces


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("make", [committees.lennard_jones, committees.nep])
def test_member_gradients_scatter_to_the_forces_of_members(make: object, dtype: str) -> None:
    potential: Potential = make(dtype=dtype)  # type: ignore[operator]
    structure = structures.alloy((2, 1, 1), seed=1)
    server = PairServer(potential, ["Al", "Ti"])
    assert server.members == 3
    arrays, n, e = served.arrays_for(server, structure)
    server.bind(arrays)
    server.compute(n, e, members=True)
    assert arrays.member_gradients is not None
    (expected,), _ = predict_members(potential.with_dtype("float64"), [structure])
    tolerance = (1e-12 if dtype == "float64" else 1e-5) * max(np.abs(one.forces).max() for one in expected)
    forces = [scatter(arrays, gradient, n, e) for gradient in arrays.member_gradients]
    for found, member in zip(forces, expected, strict=True):
        np.testing.assert_allclose(found, member.forces, atol=tolerance)
    members = [one._replace(forces=found) for one, found in zip(expected, forces, strict=True)]
    np.testing.assert_allclose(deviation(members).forces, deviation(expected).forces, atol=tolerance)
    assert deviation(expected).max_force > 0.05
    mean = predict(potential.with_dtype("float64"), structure)
    np.testing.assert_allclose(arrays.energies[:n], mean.energies, atol=tolerance)
    np.testing.assert_allclose(scatter(arrays, arrays.gradient, n, e), mean.forces, atol=tolerance)
    assert not arrays.member_gradients[:, e:].any(), "padding has no gradient"


def test_asking_for_members_changes_nothing_else() -> None:
    """Else the frequency of the output would change the trajectory."""
    server = PairServer(committees.nep(dtype="float32"), ["Al", "Ti"])
    arrays, n, e = served.arrays_for(server, structures.alloy((2, 1, 1), seed=1))
    server.bind(arrays)
    server.compute(n, e)
    assert np.isnan(arrays.member_gradients).all(), "nobody asked"
    before = arrays.energies.copy(), arrays.gradient.copy()
    server.compute(n, e, members=True)
    np.testing.assert_array_equal(arrays.energies, before[0])
    np.testing.assert_array_equal(arrays.gradient, before[1])
    np.testing.assert_allclose(arrays.member_gradients.mean(axis=0), arrays.gradient, atol=1e-12)


def test_a_single_potential_is_a_committee_of_one() -> None:
    server = PairServer(potentials.lennard_jones(committees.ELEMENTS), ["Al", "Ti"])
    arrays, n, e = served.arrays_for(server, structures.alloy((2, 1, 1), seed=1))
    server.bind(arrays)
    server.compute(n, e, members=True)
    assert server.members == 1
    np.testing.assert_array_equal(arrays.member_gradients[0], arrays.gradient)


def test_the_array_is_needed_only_where_it_is_asked_for() -> None:
    server = PairServer(committees.lennard_jones(), ["Al", "Ti"])
    arrays, n, e = served.arrays_for(server, structures.alloy((2, 1, 1), seed=1))
    server.bind(replace(arrays, member_gradients=None))
    server.compute(n, e)
    assert np.isfinite(arrays.gradient).all()
    with pytest.raises(AssertionError, match="member_gradients"):
        server.compute(n, e, members=True)


def test_summary_says_how_many() -> None:
    summary = PairServer(committees.lennard_jones(), ["Al", "Ti"]).summary()
    assert summary.startswith("fusepot: committee of 3 lennard-jones potentials for Ti Al, cutoff 5 Å, 1 hop, float64")


def test_compiled_code_comes_with_a_model_for_each_member() -> None:
    kernels = PairServer(committees.nep(2), ["Al", "Ti"]).block_kernels
    assert len({kernel.model for kernel in kernels}) == len(kernels) == 2
    assert PairServer(committees.nep(2), ["Al", "Ti"], engine="xla").block_kernels == ()
