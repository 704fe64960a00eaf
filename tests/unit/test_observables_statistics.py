"""Error bars on correlated series whose errors are known; weights and averages."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from fusepot.errors import InputError
from fusepot.gradient import precision
from fusepot.observables import Series, average, jackknife, reweight
from fusepot.observables.elastic import StatePoint, adiabatic_change, thermal, total_stress
from fusepot.observables.statistics import (
    block_error,
    block_means,
    correlated_error,
    correlated_errors,
    linearised,
    statistical_inefficiency,
)
from fusepot.structure import FloatArray
from fusepot.units import BOLTZMANN_EV_PER_K

pytestmark = pytest.mark.usefixtures("float64")

SEED, COPIES, LENGTH, MEMORY = 3, 300, 2000, 0.8
EXPECTED = (1 + MEMORY) / (1 - MEMORY)  # statistical inefficiency of a process with memory phi


def autoregressive(copies: int = COPIES, length: int = LENGTH, seed: int = SEED) -> FloatArray:
    """(copies, length) series x_t = phi x_{t-1} + noise, stationary with unit variance."""
    noise = np.random.default_rng(seed).normal(size=(copies, length + 200)) * np.sqrt(1 - MEMORY**2)
    return lfilter([1], [1, -MEMORY], noise, axis=1)[:, 200:]


def variance(averages: Mapping[str, jax.Array]) -> jax.Array:
    return averages["xx"] - averages["x"] ** 2


def series_of(x: FloatArray, every: int = 1) -> dict[str, Series]:
    all_, some = np.arange(len(x)), np.arange(0, len(x), every)
    return {"x": Series(x, all_), "xx": Series(x[some] ** 2, some)}


def test_inefficiency_of_an_autoregressive_process() -> None:
    found = [statistical_inefficiency(x) for x in autoregressive()]
    assert abs(np.mean(found) / EXPECTED - 1) < 0.05, (SEED, np.mean(found))
    assert np.std(found) < 0.3 * EXPECTED
    white = np.random.default_rng(SEED).normal(size=LENGTH)
    assert 1 <= statistical_inefficiency(white) < 1.2
    assert statistical_inefficiency(np.full(10, 3.7)) == 1.0
    assert correlated_error(np.full(10, 3.7)) == pytest.approx(0, abs=1e-12)


def test_coverage_of_the_mean() -> None:
    """The true mean lies within one error bar in 68 %, or 66 % for ten blocks (Student's t)."""
    x = autoregressive()
    exact = np.sqrt(EXPECTED / LENGTH)
    for error, share in ((block_error, 0.66), (correlated_error, 0.68)):
        errors = np.array([error(row) for row in x])
        inside = np.mean(np.abs(x.mean(axis=1)) < errors)
        assert abs(inside - share) < 0.09, (SEED, error.__name__, inside)  # three standard errors of 300 copies
        assert abs(np.sqrt(np.mean(errors**2)) / exact - 1) < 0.1, (SEED, error.__name__)
    # Ignoring correlations would be far off: the test can tell.
    assert np.mean(np.abs(x.mean(axis=1)) < x.std(axis=1) / np.sqrt(LENGTH)) < 0.4


@pytest.mark.parametrize("every", [1, 5])
def test_coverage_of_a_nonlinear_function(every: int) -> None:
    """The variance, a function of two averages as elastic constants are, also from fewer frames for one of them."""
    x = autoregressive()
    weights = jnp.full(LENGTH, 1 / LENGTH)

    def both(row: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        series = series_of(row, every)
        blocked = jackknife(series, weights, variance)
        return variance(average(series, weights)), *blocked, linearised(series, weights, variance)

    values, errors, biases, contributions = (np.asarray(a) for a in jax.jit(jax.vmap(both))(jnp.asarray(x)))
    from_correlations = correlated_errors(contributions.T)
    assert np.allclose(contributions.mean(axis=1), 0, atol=1e-12)
    for name, error in (("blocks", errors), ("autocorrelation", from_correlations)):
        inside = np.mean(np.abs(values - 1) < error)
        assert abs(inside - 0.66) < 0.1, (SEED, every, name, inside)
        assert abs(np.sqrt(np.mean(error**2)) / values.std() - 1) < 0.15, (SEED, every, name)
    if every == 1:  # the mean is fitted: the variance comes out too small by g/n
        assert biases.mean() == pytest.approx(-EXPECTED / LENGTH, rel=0.3)


def test_jackknife_of_a_mean_is_the_block_error() -> None:
    x = autoregressive(1)[0]
    weights = np.full(LENGTH, 1 / LENGTH)
    found = jackknife({"x": Series(x, np.arange(LENGTH))}, weights, lambda a: a["x"])
    assert np.isclose(found.error, block_error(x), rtol=1e-12)
    assert abs(found.bias) < 1e-12
    shaped = np.stack([x, 2 * x], axis=1).reshape(LENGTH, 1, 2)
    assert block_means(shaped).shape == (10, 1, 2)
    assert np.allclose(correlated_errors(shaped), [[correlated_error(x), 2 * correlated_error(x)]])


def test_weights() -> None:
    rng, kT = np.random.default_rng(SEED), BOLTZMANN_EV_PER_K * 300
    reference, new = rng.normal(size=50), rng.normal(size=50) * 0.01
    weights = reweight(reference, reference + new - 1000, 300.0)
    expected = np.exp(-new / kT)
    expected /= expected.sum()
    assert np.allclose(weights.values, expected, rtol=1e-9)
    assert np.isclose(weights.kish, 1 / np.sum(expected**2))
    assert np.isclose(weights.entropic, np.exp(-np.sum(expected * np.log(expected))))
    equal = reweight(reference, reference, 300.0)
    assert np.isclose(equal.kish, 50)
    assert np.isclose(equal.entropic, 50)
    # All weight on one frame, all others underflow: no NaN, not even in gradients.
    apart = reference + 1e3 * np.arange(50)
    assert np.isclose(reweight(reference, apart, 300.0).entropic, 1)
    slope = jax.grad(lambda u: reweight(reference, u, 300.0).entropic)(jnp.asarray(apart))
    assert np.isfinite(slope).all()


def test_gradient_of_a_reweighted_average_is_a_covariance() -> None:
    """d<O>/dU_i = -w_i (O_i - <O>)/kT where O itself does not depend on U."""
    rng, kT = np.random.default_rng(SEED), BOLTZMANN_EV_PER_K * 300
    energies, x = rng.normal(size=30) * 0.02, rng.normal(size=30)
    series = series_of(x, 3)

    def value(energies: jax.Array) -> jax.Array:
        return average(series, reweight(np.zeros(30), energies, 300.0).values)["x"]

    weights = reweight(np.zeros(30), energies, 300.0).values
    expected = -weights * (x - np.sum(weights * x)) / kT
    assert np.allclose(jax.grad(value)(jnp.asarray(energies)), expected, rtol=1e-10)


def test_a_sparse_term_uses_the_weights_of_its_frames() -> None:
    x, weights = np.arange(6.0), np.arange(1.0, 7.0) / 21
    found = average(series_of(x, 2), weights)
    assert np.isclose(found["x"], np.sum(weights * x))
    assert np.isclose(found["xx"], (1 * 0 + 3 * 4 + 5 * 16) / 9)


def test_temperature_slopes_are_those_of_reweighting_in_temperature() -> None:
    """Heat capacity and stress slope from fluctuations against averages reweighted to nearby temperatures."""
    rng, T, dT = np.random.default_rng(SEED), 300.0, 0.01
    energy, stress = rng.normal(size=400) * 0.1, rng.normal(size=(400, 6)) * 0.01
    terms = {"energy": energy, "energy_energy": energy**2, "stress": stress, "energy_stress": energy[:, None] * stress}
    series = {name: Series(value, np.arange(400)) for name, value in terms.items()}

    def at(temperature: float) -> tuple[FloatArray, float]:
        state = StatePoint(temperature, 1000.0, 8)
        scaled = reweight(energy, energy * T / temperature, T)  # exp(-U/kT') over exp(-U/kT)
        averages = average(series, scaled.values)
        kinetic = 1.5 * 8 * BOLTZMANN_EV_PER_K * temperature
        return np.asarray(total_stress(averages["stress"], state)), float(averages["energy"]) + kinetic

    state = StatePoint(T, 1000.0, 8)
    found = thermal(average(series, np.full(400, 1 / 400)), state)
    (s1, e1), (s0, e0) = at(T + dT), at(T - dT)
    assert np.isclose(found.heat_capacity, (e1 - e0) / (2 * dT), rtol=1e-6)
    assert np.allclose(found.stress_slope, (s1 - s0) / (2 * dT), rtol=1e-5)
    # K_S - K_T = T V (dp/dT)^2 / C_V for an isotropic slope.
    slope = found._replace(stress_slope=np.array([-2e-5] * 3 + [0.0] * 3))
    assert np.isclose(adiabatic_change(slope, state)[:3, :3].mean(), T * 1000 * 4e-10 / slope.heat_capacity)


def test_misuse() -> None:
    x = np.arange(5.0)
    with pytest.raises(InputError, match="blocks: got 10 for 5 frames"):
        block_error(x)
    with pytest.raises(InputError, match="blocks: got 1 for 5 frames"):
        block_means(x, 1)
    with pytest.raises(InputError, match=r"term xx.*sparse_every"):
        jackknife(series_of(x, 5), np.full(5, 0.2), variance, blocks=2)
    with precision("float32"), pytest.raises(InputError, match="float64"):
        reweight(x, x, 300.0)
