"""The EXP trainer's loss against numpy and finite differences, and the goals in it."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

import structures
from fusepot.data.targets import Condition, Target
from fusepot.errors import InputError
from fusepot.observables import find_observable, terms_of
from fusepot.observables.terms import ENERGY
from fusepot.structure import FloatArray
from fusepot.training.difftre import goals_of, loss_of
from fusepot.units import BOLTZMANN_EV_PER_K, GPA_PER_EV_PER_A3
from oscillators import KT, SEED, STATE, Values

pytestmark = pytest.mark.usefixtures("float64")


# Plain numpy


NAMES = ("pressure", "energy_per_atom", "C11", "C11_adiabatic")
OBSERVABLES = tuple(find_observable(name, symmetry="cubic" if "C" in name else None) for name in NAMES)
TARGETS, WEIGHTS = np.array([1.0, -0.3, 4.0, 5.0]), np.array([0.7, 300.0, 0.02, 0.01])
FRAMES, EVERY, BLOCKS = 60, 3, 5


def known_frames(frames: int) -> dict[str, FloatArray]:
    return {t.name: np.arange(0, frames, EVERY if t.sparse else 1) for t in terms_of(OBSERVABLES) | {ENERGY}}


def random_terms(frames: int, seed: int) -> tuple[Values, FloatArray]:
    """Terms like those of a crystal, and energies of the potential that sampled; weights differ by factors of e."""
    rng = np.random.default_rng(seed)
    energy = -2.0 + 2 * KT * rng.normal(size=frames)
    stress = 0.01 * rng.normal(size=(frames, 6)) + 0.01 * (energy + 2.0)[:, None] / KT
    born = 0.5 + 0.1 * rng.normal(size=(frames // EVERY, 6, 6))
    values = {
        "energy": energy,
        "energy_energy": energy**2,
        "stress": stress,
        "energy_stress": energy[:, None] * stress,
        "stress_stress": stress[:, :, None] * stress[:, None, :],
        "born_cubic": born + born.transpose(0, 2, 1),
    }
    return values, energy + KT * rng.normal(size=frames)


def plain_observables(a: Values) -> FloatArray:
    """The four of ``NAMES`` from averages, written out."""
    s, V, N = a["stress"], STATE.volume, STATE.atoms
    pressure = N * KT / V - s[:3].sum() / 3
    fluctuation = a["stress_stress"] - np.outer(s, s)
    constants = [a["born_cubic"][k, k] - s[k] - V / KT * fluctuation[k, k] + 2 * N * KT / V for k in range(3)]
    slope = (a["energy_stress"] - a["energy"] * s) / (KT * STATE.temperature_K)
    slope[:3] -= N * BOLTZMANN_EV_PER_K / V
    capacity = (a["energy_energy"] - a["energy"] ** 2) / (KT * STATE.temperature_K) + 1.5 * N * BOLTZMANN_EV_PER_K
    added = [V * STATE.temperature_K * slope[k] ** 2 / capacity for k in range(3)]
    numbers = [pressure, a["energy"] / N, np.mean(constants), np.mean(constants) + np.mean(added)]
    return np.array(numbers) * [GPA_PER_EV_PER_A3, 1, GPA_PER_EV_PER_A3, GPA_PER_EV_PER_A3]


def plain_loss(
    values: Values, reference: FloatArray, *, corrected: bool, trajectories: int = 1
) -> tuple[float, FloatArray, FloatArray, float]:
    """Loss, observables, errors and Kish's number, with loops."""
    boltzmann = np.exp(-(values["energy"] - reference) / KT)
    known = known_frames(len(boltzmann))
    length = len(boltzmann) // trajectories

    def observe(left_out: int | None) -> FloatArray:
        averages = {}
        for name, frames in known.items():
            kept = [k for k, i in enumerate(frames) if i % length * BLOCKS // length != left_out]
            w = np.array([boltzmann[frames[k]] for k in kept])
            averages[name] = sum(w[n] * values[name][k] for n, k in enumerate(kept)) / w.sum()
        return plain_observables(averages)

    found, without = observe(None), np.array([observe(block) for block in range(BLOCKS)])
    variance = (BLOCKS - 1) / BLOCKS * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    if corrected:
        found = BLOCKS * found - (BLOCKS - 1) * without.mean(axis=0)
    loss = float(WEIGHTS @ ((found - TARGETS) ** 2 - corrected * variance))
    return loss, found, np.sqrt(variance), float(boltzmann.sum() ** 2 / (boltzmann**2).sum())


def loss(values: Values, reference: FloatArray, **options: Any) -> Any:
    known = known_frames(len(reference))
    options = {"observables": OBSERVABLES, "frames": known, "blocks": BLOCKS} | options
    return loss_of(values, reference, TARGETS, WEIGHTS, STATE, **options)


@pytest.mark.parametrize("trajectories", [1, 2])
@pytest.mark.parametrize("corrected", [False, True])
def test_loss_is_that_of_plain_numpy(corrected: bool, trajectories: int) -> None:
    values, reference = random_terms(FRAMES, SEED)
    run = jax.jit(partial(loss, corrected=corrected, trajectories=trajectories))
    found, outcome = run(values, reference)
    expected = plain_loss(values, reference, corrected=corrected, trajectories=trajectories)
    assert float(found) == float(outcome.loss)
    assert 1 < expected[-1] < 0.7 * FRAMES, "the weights hardly differ"
    for name, one, other in zip(outcome._fields, outcome, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, err_msg=f"{name}, seed {SEED}")
    # The numbers depend on what is tested.
    for options in ({"corrected": not corrected}, {"trajectories": 3 - trajectories}):
        other = plain_loss(values, reference, **({"corrected": corrected, "trajectories": trajectories} | options))
        same = not corrected and "trajectories" in options  # blocks are for errors then
        assert abs(other[0] / expected[0] - 1) > 1e-3 or same, options


@pytest.mark.parametrize(("corrected", "trajectories"), [(False, 1), (True, 3)])
def test_gradient_by_finite_differences(corrected: bool, trajectories: int) -> None:
    """By every kind of term: some single entries, and a random direction in all of them at once."""
    values, reference = random_terms(FRAMES, SEED + 1)
    run = jax.jit(partial(loss, reference=reference, corrected=corrected, trajectories=trajectories))
    slopes = jax.tree.map(np.asarray, jax.jit(jax.grad(lambda v: run(v)[0]))(values))
    rng = np.random.default_rng(SEED)
    for name, value in values.items():
        directions = [rng.normal(size=value.shape)]
        for _ in range(4):
            directions.append(np.zeros(value.shape))
            directions[-1][tuple(rng.integers(n) for n in value.shape)] = 1.0
        for number, direction in enumerate(directions):
            size = 1e-4 * value.std() / np.sqrt((direction**2).sum())
            ahead, behind = (float(run(values | {name: value + sign * size * direction})[0]) for sign in (1, -1))
            expected, found = (ahead - behind) / (2 * size), float(np.vdot(slopes[name], direction))
            scale = np.abs(slopes[name]).max() * np.sqrt((direction**2).sum())
            assert abs(found - expected) < 2e-5 * scale, (name, number, found, expected, f"seed {SEED}")
        assert np.abs(slopes[name]).max() > 0, name


def test_constants_in_the_energy_do_not_matter() -> None:
    """A shift of the sampling potential's energies, or of both; the observables here do not see the zero."""
    values, reference = random_terms(FRAMES, SEED)
    options = {"observables": OBSERVABLES[:1] + OBSERVABLES[2:3], "corrected": True, "blocks": BLOCKS}

    @jax.jit
    def shifted(own: float, theirs: float) -> jax.Array:
        moved = values | {"energy": values["energy"] + own}
        goals = TARGETS[[0, 2]], WEIGHTS[[0, 2]], STATE
        return loss_of(moved, reference + theirs, *goals, frames=known_frames(FRAMES), **options)[0]

    for own, theirs in ((0.0, 100.0), (100.0, 0.0), (-3.0, -3.0)):
        assert float(shifted(own, theirs)) == pytest.approx(float(shifted(0.0, 0.0)), rel=1e-9), (own, theirs)


# Goals


def target(observable: str, unit: str, value: float = 1.0, weight: float = 2.0) -> Target:
    return Target(observable, value, weight, unit, "a test", None)


def condition(*targets: Target) -> Condition:
    return Condition(300.0, structures.hcp(), targets)


def test_goals() -> None:
    goals = goals_of(condition(target("C13", "GPa", 68.0, 0.1), target("pressure", "GPa", -1.0, 3.0)), "hexagonal")
    assert goals.names == ("C13", "pressure")
    assert [observable.name for observable in goals.observables] == ["hexagonal.C13", "pressure"]
    assert (goals.values, goals.weights) == ((68.0, -1.0), (0.1, 3.0))
    assert {term.name for term in goals.terms} == {"energy", "stress", "stress_stress", "born_hexagonal"}


@pytest.mark.parametrize(
    ("wrong", "symmetry", "message"),
    [
        (target("pressure", "bar"), None, r"unit of pressure.*bar.*GPa"),
        (target("presure", "GPa"), None, r"presure.*Did you mean pressure"),
        (target("C13", "GPa"), None, r"C13.*give a symmetry"),
        (target("C13", "GPa"), "cubic", "C13"),
        (target("pressure", "GPa"), "tetragonal", "tetragonal"),
    ],
)
def test_unusable_goals(wrong: Target, symmetry: str | None, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        goals_of(condition(target("energy_per_atom", "eV"), wrong), symmetry)


@pytest.mark.parametrize("name", ["stress", "elastic_constants"])
def test_goals_are_single_numbers(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}, of shape.*single number"):
        goals_of(condition(target(name, "GPa")), None)
