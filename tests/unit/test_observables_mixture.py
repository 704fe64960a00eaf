"""Mixtures of trajectories: MBAR against pymbar and against oscillators whose averages are known.

pymbar turns jax to float64 for the whole process when it is imported, so it runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from fusepot.errors import InputError
from fusepot.gradient import precision
from fusepot.observables import average, reweight
from fusepot.observables.mixture import mixture_energies
from fusepot.observables.terms import Series
from fusepot.structure import FloatArray
from fusepot.units import BOLTZMANN_EV_PER_K

pytestmark = pytest.mark.usefixtures("float64")

TEMPERATURE = 300.0
KT = BOLTZMANN_EV_PER_K * TEMPERATURE
SEED = 7

REFERENCE = """
import logging, sys
import numpy as np
sys.modules["jax"] = None  # pymbar's numpy solvers will do
logging.disable(logging.WARNING)
from pymbar import MBAR

del sys.modules["jax"]  # scipy looks at it
given, found = np.load(sys.argv[1]), {}
for name in {key.split(".")[0] for key in given}:
    reduced, other, seen = (given[f"{name}.{part}"] for part in ("reduced", "other", "seen"))
    counts = np.full(len(reduced), reduced.shape[1] // len(reduced))
    protocol = [{"method": "adaptive", "tol": 1e-14, "options": {"min_sc_iter": 2, "maxiter": 1000}}]
    mbar = MBAR(reduced, counts, solver_protocol=protocol)
    found[f"{name}.free"], found[f"{name}.weights"] = mbar.f_k, mbar.weights()
    for k, values in enumerate(seen):
        result = mbar.compute_expectations(values, other[None])
        found[f"{name}.mean{k}"], found[f"{name}.sigma{k}"] = result["mu"][0], result["sigma"][0]
np.savez(sys.argv[2], **found)
"""


class Well(NamedTuple):
    """``kT stiffness (x - center)^2 / 2`` in ``dimensions``."""

    stiffness: float
    center: float
    dimensions: int = 1

    def energies(self, x: FloatArray) -> FloatArray:
        return KT * self.stiffness / 2 * ((x - self.center) ** 2).sum(axis=-1)

    def sample(self, frames: int, rng: np.random.Generator) -> FloatArray:
        return self.center + rng.normal(size=(frames, self.dimensions)) / np.sqrt(self.stiffness)

    @property
    def free_energy(self) -> float:
        """-log Z, but for what all wells have in common."""
        return self.dimensions / 2 * np.log(self.stiffness)


class Case(NamedTuple):
    """Trajectories of some wells, and another well whose averages are wanted."""

    wells: tuple[Well, ...]
    other: Well
    frames: int = 400

    def sample(self, seed: int) -> FloatArray:
        """(K, frames, dimensions)."""
        rng = np.random.default_rng(seed)
        return np.stack([well.sample(self.frames, rng) for well in self.wells])

    def table(self, x: FloatArray) -> FloatArray:
        """(K, K, frames)."""
        return np.stack([well.energies(x) for well in self.wells])


CASES = {
    "one": Case((Well(1.0, 0.0),), Well(1.3, 0.4)),
    "two": Case((Well(1.0, 0.0), Well(2.0, 0.7)), Well(1.5, 0.2)),
    "three of unequal overlap": Case((Well(1.0, 0.0), Well(1.2, 0.3), Well(4.0, 3.0)), Well(1.1, 0.2)),
    "three in many dimensions": Case((Well(1.0, 0.0, 60), Well(1.1, 0.1, 60), Well(1.3, 0.2, 60)), Well(1.0, 0.05, 60)),
    "two that hardly overlap": Case((Well(1.0, 0.0), Well(1.0, 6.0)), Well(1.1, -0.1)),
}


def seen(x: FloatArray) -> FloatArray:
    """(2, n) quantities to average."""
    x = x.reshape(-1, x.shape[-1])
    return np.stack([x.mean(axis=-1), (x**2).mean(axis=-1)])


@pytest.fixture(scope="module")
def by_pymbar(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FloatArray]:
    folder: Path = tmp_path_factory.mktemp("pymbar")
    given = {}
    for name, case in CASES.items():
        x = case.sample(SEED)
        given[f"{name}.reduced"] = case.table(x).reshape(len(case.wells), -1) / KT
        given[f"{name}.other"] = case.other.energies(x).ravel() / KT
        given[f"{name}.seen"] = seen(x)
    np.savez(folder / "given.npz", **given)
    command = [sys.executable, "-c", REFERENCE, str(folder / "given.npz"), str(folder / "found.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "found.npz") as found:
        return dict(found)


def weights_of(mixture: FloatArray, energies: FloatArray) -> FloatArray:
    return np.asarray(reweight(mixture.ravel(), energies.ravel(), TEMPERATURE).values)


@pytest.mark.parametrize("name", CASES)
def test_weights_and_free_energies_are_those_of_pymbar(name: str, by_pymbar: dict[str, FloatArray]) -> None:
    case = CASES[name]
    table = case.table(case.sample(SEED))
    mixture = mixture_energies(table, TEMPERATURE)
    assert mixture.shape == table.shape[1:]
    # Weights reach over hundreds of orders of magnitude: compare their logarithms where they are numbers at all.
    for k, expected in enumerate(by_pymbar[f"{name}.weights"].T):
        found = weights_of(mixture, table[k])
        np.testing.assert_allclose(
            found, expected, rtol=1e-7, atol=1e-12, err_msg=f"{name}, potential {k}, seed {SEED}"
        )
    found = [-np.log(np.exp((mixture - energies).ravel() / KT).mean()) for energies in table]
    np.testing.assert_allclose(
        np.array(found) - found[0], by_pymbar[f"{name}.free"], rtol=0, atol=1e-8, err_msg=f"{name}, seed {SEED}"
    )


@pytest.mark.parametrize("name", CASES)
def test_expectations_are_those_of_pymbar(name: str, by_pymbar: dict[str, FloatArray]) -> None:
    """Of a potential that has no trajectory."""
    case = CASES[name]
    x = case.sample(SEED)
    weights = weights_of(mixture_energies(case.table(x), TEMPERATURE), case.other.energies(x))
    frames = np.arange(len(weights))
    found = average({str(k): Series(values, frames) for k, values in enumerate(seen(x))}, weights)
    for k in range(2):
        np.testing.assert_allclose(found[str(k)], by_pymbar[f"{name}.mean{k}"], rtol=1e-8, err_msg=f"{name}, {SEED}")


def test_the_reference_left_no_trace(by_pymbar: dict[str, FloatArray]) -> None:
    assert by_pymbar
    assert "pymbar" not in sys.modules
    with precision("float32"):
        assert jax.numpy.zeros(()).dtype == np.float32


@pytest.mark.parametrize("name", CASES)
def test_constants_do_not_matter(name: str) -> None:
    """Each potential may have its own zero of energy."""
    case = CASES[name]
    table = case.table(case.sample(SEED))
    shifts = np.array([300.0, -5.0, 70.0])[: len(table)]
    plain = mixture_energies(table, TEMPERATURE)
    shifted = mixture_energies(table + shifts[:, None, None], TEMPERATURE)
    assert np.ptp(shifted - plain) < 1e-9, name
    for energies, shift in zip(table, shifts, strict=True):
        np.testing.assert_allclose(
            weights_of(plain, energies), weights_of(shifted, energies + shift), rtol=1e-8, atol=1e-14, err_msg=name
        )


def test_one_trajectory_is_its_own_mixture() -> None:
    energies = np.random.default_rng(SEED).normal(size=(1, 1, 20))
    found = mixture_energies(energies, TEMPERATURE)
    np.testing.assert_array_equal(found, energies[0])
    found[:] = 0
    assert energies.any(), "the argument changed"


def test_the_same_potential_several_times_is_one_long_trajectory() -> None:
    rng = np.random.default_rng(SEED)
    energies = rng.normal(size=(3, 50))
    found = mixture_energies(np.stack([energies, energies + 2, energies - 1]), TEMPERATURE)
    assert np.ptp(found - energies) < 1e-12


def test_order_of_trajectories_does_not_matter() -> None:
    case = CASES["three of unequal overlap"]
    table, order = case.table(case.sample(SEED)), [2, 0, 1]
    found = mixture_energies(table, TEMPERATURE)[order]
    turned = mixture_energies(table[np.ix_(order, order)], TEMPERATURE)
    assert np.ptp(found - turned) < 1e-10


def test_equations_are_solved_whatever_the_overlap() -> None:
    """Also where 10^5 iterations of equation 11 are too few, and where trajectories have nothing in common.

    What solves them holds N frames' worth of each potential. Kish's effective number for each of them is then N at
    least, since no weight exceeds 1/N.
    """
    for distance in (0.0, 1.0, 4.0, 8.0, 10.0, 14.0, 40.0):
        for count in (2, 3, 4):
            wells = tuple(Well(1.0 + 0.1 * k, k * distance) for k in range(count))
            case = Case(wells, wells[0])
            table = case.table(case.sample(SEED))
            mixture = mixture_energies(table, TEMPERATURE)
            where = f"{count} wells {distance} apart, seed {SEED}"
            for k, energies in enumerate(table):
                chosen = reweight(mixture.ravel(), energies.ravel(), TEMPERATURE)
                assert float(chosen.kish) > case.frames * (1 - 1e-7), (where, k, chosen.kish)
                assert float(chosen.values.max()) < (1 + 1e-7) / case.frames, (where, k)
                if distance > 8:
                    own = np.asarray(chosen.values).reshape(count, -1)[k]
                    assert own.sum() > 0.95, (where, k, own.sum())


def test_averages_and_free_energies_of_oscillators() -> None:
    """Against the analytic answers, over many independent samples; better than from the nearest trajectory alone."""
    case, copies = CASES["three of unequal overlap"], 60
    found, effective = [], []
    for copy in range(copies):
        x = case.sample(SEED + copy)
        table, other = case.table(x), case.other.energies(x)
        mixture = mixture_energies(table, TEMPERATURE)
        weights = weights_of(mixture, other)
        free = [-np.log(np.exp((mixture - energies).ravel() / KT).mean()) for energies in [*table, other]]
        found.append([*(seen(x) @ weights), *(np.array(free[1:]) - free[0])])
        alone = reweight(table[0, 0], other[0], TEMPERATURE).kish
        effective.append([float(reweight(mixture.ravel(), other.ravel(), TEMPERATURE).kish), float(alone)])
    stiffness, center, _ = case.other
    expected = [center, center**2 + 1 / stiffness]
    expected += [well.free_energy - case.wells[0].free_energy for well in (*case.wells[1:], case.other)]
    errors = np.std(found, axis=0, ddof=1) / np.sqrt(copies)
    scores = (np.mean(found, axis=0) - expected) / errors
    assert np.abs(scores).max() < 4, (SEED, scores)
    assert errors.max() < 0.03, ("the test is blunt", errors)
    mixed, alone = np.mean(effective, axis=0)
    assert mixed > 1.7 * alone, (SEED, mixed, alone)


@pytest.mark.parametrize(
    "energies",
    [np.zeros((2, 3)), np.zeros((2, 3, 5)), np.full((2, 2, 5), np.nan), np.full((1, 1, 5), np.inf)],
    ids=["two axes", "not square", "NaN", "infinite"],
)
def test_unusable_energies(energies: FloatArray) -> None:
    with pytest.raises(InputError, match="energies"):
        mixture_energies(energies, TEMPERATURE)
