"""Averages, error bars and reweighting on the harmonic crystal, whose answers are exact at every temperature.

With the centre of mass at rest but N atoms in the kinetic terms, one free particle too many is counted: the exact
answers are those of ``harmonic.py`` plus kT/V in the pressure and kT/V (d_ik d_jl + d_il d_jk) in the constants.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import structures
from fusepot.model import Model
from fusepot.models import ARCHITECTURES
from fusepot.observables import (
    Series,
    StatePoint,
    average,
    estimate,
    evaluate,
    find_observable,
    reweight,
    state_point,
    terms_of,
)
from fusepot.observables.elastic import thermal
from fusepot.observables.frames import Frames
from fusepot.observables.terms import ENERGY
from fusepot.observables.voigt import EXCHANGE, IDENTITY
from fusepot.sampling.trajectory import Trajectory
from fusepot.units import BOLTZMANN_EV_PER_K, GPA_PER_EV_PER_A3
from harmonic import SPRINGS, Crystal

CRYSTALS = {
    "fcc": Crystal(structures.fcc((2, 2, 2)), 3.45, (2.0,)),
    "hcp": Crystal(structures.hcp((2, 2, 2)), 3.5, (2.0,)),
    "triclinic of two elements": Crystal(structures.alloy((2, 2, 1)), 4.2, (1.5, 3.0)),
}
FRAMES, SEED = 1500, 11
SYMMETRIES = {"fcc": "cubic", "hcp": "hexagonal"}
NAMES = ("elastic_constants", "pressure", "heat_capacity", "energy_per_atom")
OBSERVABLES = [find_observable(name) for name in NAMES]
OBSERVABLES.append(  # one that is not registered
    replace(
        find_observable("heat_capacity"), name="stress_slope", value=lambda a, state: thermal(a, state).stress_slope
    )
)
UPPER = np.triu_indices(6)
LIMIT = 5.0  # standard errors; the largest of 21 normal numbers exceeds 4 once in 750 draws


@pytest.fixture(autouse=True)
def springs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "springs", SPRINGS)


class Sampled(NamedTuple):
    crystal: Crystal
    trajectory: Trajectory
    model: Model
    params: Any
    frames: Frames
    state: StatePoint


@cache
def sampled(name: str, temperature: float) -> Sampled:
    crystal = CRYSTALS[name]
    trajectory = crystal.sample(temperature, FRAMES, seed=SEED)
    return Sampled(crystal, trajectory, *crystal.frames(trajectory), state_point(trajectory))


def series_of(case: Sampled, observables: Any, **options: Any) -> Any:
    def run(params: Any, frames: Frames) -> Any:
        terms = terms_of(observables) | {ENERGY}
        return evaluate(case.model, params, frames, terms=terms, batch=50, engine="xla", **options)

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jit(run)(case.params, case.frames))


@cache
def dense_series(name: str, temperature: float) -> Any:
    """Of everything that tests ask of a crystal: compiled once."""
    symmetric = [find_observable("elastic_constants", symmetry=SYMMETRIES[name])] if name in SYMMETRIES else []
    return series_of(sampled(name, temperature), [*OBSERVABLES, *symmetric])


def exact(case: Sampled, stiffness: Any = None) -> np.ndarray:
    extra = case.state.kinetic_pressure / case.state.atoms * EXCHANGE
    return (case.crystal.constants(stiffness) + extra) * GPA_PER_EV_PER_A3


@pytest.mark.parametrize(
    ("name", "temperature"),
    [("fcc", 3000.0), ("hcp", 100.0), ("hcp", 3000.0), ("triclinic of two elements", 100.0)],
)
def test_elastic_constants_are_exact_at_any_temperature(name: str, temperature: float) -> None:
    case = sampled(name, temperature)
    series = dense_series(name, temperature)
    weights = np.full(FRAMES, 1 / FRAMES)
    found = {o.name: estimate(o, series, weights, case.state) for o in OBSERVABLES}
    constants, expected = found["elastic_constants"], exact(case)
    where = f"{name}, {temperature} K, seed {SEED}"

    scores = ((constants.value - expected) / constants.correlated_error)[UPPER]
    assert np.abs(scores).max() < LIMIT, (where, scores)
    assert np.mean(scores**2) > 0.05, ("errors are too large", where, scores)
    # Jackknife errors have nine degrees of freedom, so their ratio is wider; on average both agree.
    ratio = (constants.error / constants.correlated_error)[UPPER]
    assert 0.7 < np.sqrt(np.mean(ratio**2)) < 1.4, (where, ratio)

    # The test is sharp: errors are small against the relaxation inside the cell and against the kinetic term.
    unrelaxed = case.crystal.constants(relaxed=False) * GPA_PER_EV_PER_A3
    if name != "fcc":
        assert np.abs((unrelaxed - expected) / constants.correlated_error)[UPPER].max() > 15, where
    if temperature > 1000:
        kinetic = case.state.kinetic_pressure * GPA_PER_EV_PER_A3
        assert kinetic / np.diag(constants.correlated_error).min() > 10, where

    pressure, one = found["pressure"], case.state.kinetic_pressure / case.state.atoms * GPA_PER_EV_PER_A3
    assert abs(pressure.value - one) < LIMIT * pressure.correlated_error, (where, pressure, one)
    # 3 N - 3 oscillators of potential energy kT/2 each, their momenta and those of one atom more; no expansion.
    atoms, kT = case.state.atoms, BOLTZMANN_EV_PER_K * temperature
    capacity = found["heat_capacity"]
    assert abs(capacity.value - (3 - 1.5 / atoms)) < LIMIT * capacity.correlated_error, (where, capacity)
    energy = found["energy_per_atom"]
    assert abs(energy.value - 1.5 * (1 - 1 / atoms) * kT) < LIMIT * energy.correlated_error, (where, energy)
    # Springs do not expand: only the one free particle's pressure changes with temperature.
    slope = found["stress_slope"]
    scores = (slope.value + case.state.kinetic_pressure / (atoms * temperature) * IDENTITY) / slope.correlated_error
    assert np.abs(scores).max() < LIMIT, (where, scores)


@pytest.mark.parametrize("name", SYMMETRIES)
def test_symmetry_makes_errors_smaller_and_the_born_term_cheaper(name: str) -> None:
    symmetry, case = SYMMETRIES[name], sampled(name, 3000.0)
    full = find_observable("elastic_constants")
    averaged = find_observable("elastic_constants", symmetry=symmetry)
    weights, dense = np.full(FRAMES, 1 / FRAMES), dense_series(name, 3000.0)
    born = f"born_{symmetry}"
    sparse = {**dense, born: Series(dense[born].values[::7], dense[born].frames[::7])}
    everything = estimate(full, dense, weights, case.state)
    for series, limit in ((dense, 1.0), (sparse, 1.5)):
        found = estimate(averaged, series, weights, case.state)
        scores = ((found.value - exact(case)) / found.correlated_error.clip(1e-12))[:3, :3]
        assert np.abs(scores).max() < LIMIT, (name, SEED, scores)
        assert np.diag(found.correlated_error).sum() < limit * np.diag(everything.correlated_error).sum(), SEED


def test_reweighting_to_other_springs() -> None:
    """Stiffer springs of one kind: constants and energies from frames of the others."""
    case, frames = sampled("triclinic of two elements", 300.0), FRAMES
    constants = find_observable("elastic_constants")
    stiffness = np.array([0.0, 1.65, 3.6])
    before = series_of(case, [constants])
    after = series_of(case._replace(params={**case.params, "stiffness": stiffness}), [constants])
    with jax.enable_x64(True):
        weights = jax.tree.map(np.asarray, reweight(before["energy"].values, after["energy"].values, 300.0))
    assert 0.3 * frames < weights.kish <= weights.entropic < 0.95 * frames, (SEED, weights.kish, weights.entropic)
    found = estimate(constants, after, weights.values, case.state)
    scores = ((found.value - exact(case, stiffness[1:])) / found.correlated_error)[UPPER]
    assert np.abs(scores).max() < LIMIT, (SEED, scores)
    energy = find_observable("energy_per_atom")
    expected = 1.5 * (1 - 1 / case.state.atoms) * BOLTZMANN_EV_PER_K * 300
    right = estimate(energy, after, weights.values, case.state)
    wrong = estimate(energy, after, np.full(frames, 1 / frames), case.state)
    assert abs(right.value - expected) < LIMIT * right.correlated_error, (SEED, right, expected)
    assert abs(wrong.value - expected) > 3 * wrong.correlated_error, ("the test is blunt", SEED, wrong, expected)


def test_gradients_by_springs() -> None:
    """Of a mixture of constants: exactly that of the reweighted estimate, and within errors the analytic one."""
    temperature, copies = 300.0, 6
    case = sampled("triclinic of two elements", temperature)
    parts = [np.arange(FRAMES)[copy::copies][: FRAMES // copies] for copy in range(copies)]
    constants = find_observable("elastic_constants")
    terms = terms_of([constants]) | {ENERGY}
    mixture = np.random.default_rng(SEED).normal(size=(6, 6))

    def part(chosen: np.ndarray) -> Frames:
        return Frames(*(leaf[chosen] for leaf in case.frames[:3]), *case.frames[3:])

    def value(stiffness: jax.Array, reference: jax.Array, frames: Frames) -> jax.Array:
        params = {**case.params, "stiffness": stiffness}
        series = evaluate(case.model, params, frames, terms=terms, batch=50, engine="xla")
        weights = reweight(reference, series["energy"].values, temperature)
        return jnp.sum(mixture * constants.value(average(series, weights.values), case.state))

    with jax.enable_x64(True):
        k, energies = jnp.asarray(case.params["stiffness"]), series_of(case, [])["energy"].values
        both = jax.jit(jax.value_and_grad(value))
        slopes = np.array([both(k, energies[chosen], part(chosen))[1][1:] for chosen in parts])
        for kind in (0, 1):
            step = jnp.zeros(3).at[kind + 1].set(1e-4)
            ahead, behind = (both(k + s, energies[parts[0]], part(parts[0]))[0] for s in (step, -step))
            assert np.isclose(slopes[0, kind], (ahead - behind) / 2e-4, rtol=1e-5), (SEED, kind, slopes)

    base, steps = np.array(case.crystal.stiffness), 1e-4 * np.eye(2)
    expected = [np.sum(mixture * (exact(case, base + s) - exact(case, base - s))) / 2e-4 for s in steps]
    error = np.std(slopes, axis=0, ddof=1) / np.sqrt(copies)
    scores = (slopes.mean(axis=0) - expected) / error
    assert np.abs(scores).max() < 7, (SEED, scores)  # Student's t with five degrees of freedom: once in 1000
    assert np.abs(expected / error).max() > 10, ("the test is blunt", SEED, expected, error)
