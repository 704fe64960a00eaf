"""The noise of the EXP trainer's gradients is their scatter between independent samples."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fusepot.observables import Observable
from fusepot.structure import FloatArray
from fusepot.training.difftre import loss_of, signal_of
from oscillators import CAPACITY, ENERGY_EACH, EXACT, KT, SEED, SQUARE, STATE, Theta, Values, mixed, values_of

pytestmark = pytest.mark.usefixtures("float64")


def block_parts(x: Any, cotangents: Values, theta: Theta, blocks: int, trajectories: int) -> tuple[Any, Any]:
    """What ``exp.py`` makes of a sample: contributions of blocks to the gradient by theta, and their shares."""

    def pulled(x: Any, cotangents: Values) -> Any:
        def functional(theta: Theta) -> Any:
            values = values_of(theta, x)
            return sum(jnp.vdot(cotangents[name], values[name]) for name in cotangents)

        return jnp.stack(jax.grad(functional)(Theta(*map(jnp.asarray, theta))))

    def blocked(values: Any) -> Any:
        shape = (trajectories, blocks, -1, *values.shape[1:])
        return jnp.moveaxis(values.reshape(shape), 0, 1).reshape(blocks, -1, *values.shape[1:])

    parts = jax.vmap(pulled)(blocked(x), jax.tree.map(blocked, cotangents))
    energy = values_of(theta, x)["energy"]
    shares = cotangents["energy"] + 2 * energy * cotangents.get("energy_energy", 0.0)
    return parts, blocked(shares).sum(axis=1)[:, None]


def many_gradients(
    observable: Observable, thetas: list[Theta], *, frames: int, copies: int, blocks: int = 10
) -> tuple[FloatArray, FloatArray]:
    """(copies, blocks, 3) contributions, (copies, blocks, 1) shares; far from the target its factor hardly varies."""
    x, reference = mixed(thetas, frames, copies)
    goal = float(EXACT[observable.name](thetas[0])) + 50.0

    def one(x: Any, reference: Any) -> Any:
        def at(values: Values) -> Any:
            return loss_of(
                values,
                reference,
                jnp.array([goal]),
                jnp.array([1.0]),
                STATE,
                observables=(observable,),
                frames={name: np.arange(len(x)) for name in values},
                blocks=blocks,
                corrected=False,
                trajectories=len(thetas),
            )[0]

        values = {term.name: values_of(thetas[0], x)[term.name] for term in observable.terms}
        return block_parts(x, jax.grad(at)(values), thetas[0], blocks, len(thetas))

    parts, shares = jax.jit(jax.vmap(one))(x, reference)
    return np.asarray(parts), np.asarray(shares)


@pytest.mark.parametrize(
    ("observable", "zero", "trajectories"),
    [(SQUARE, 0.0, 1), (SQUARE, -3.0, 3), (ENERGY_EACH, -3.0, 1), (ENERGY_EACH, 0.0, 3), (CAPACITY, -3.0, 3)],
    ids=lambda one: getattr(one, "name", str(one)),
)
def test_noise_of_a_gradient_is_its_scatter(observable: Observable, zero: float, trajectories: int) -> None:
    """Wherever the zero of energy lies, also where the observable depends on it, and for mixtures."""
    width, copies = np.sqrt(KT), 300
    thetas = [Theta(1.0, 0.3, zero), Theta(1.05, 0.3 + 0.2 * width, zero), Theta(1.1, 0.3 - 0.2 * width, zero)]
    parts, shares = many_gradients(observable, thetas[:trajectories], frames=300, copies=copies)
    signals = [signal_of(one, share) for one, share in zip(parts, shares, strict=True)]
    gradients = parts.sum(axis=1)
    np.testing.assert_allclose([s.norm for s in signals], np.linalg.norm(gradients, axis=1), rtol=1e-12)
    scatter = np.sqrt(gradients.var(axis=0, ddof=1).sum())
    noise = np.sqrt(np.mean([(s.norm / s.to_noise) ** 2 for s in signals]))
    where = f"{observable.name}, {trajectories}, zero {zero}, seed {SEED}: {noise}, {scatter}"
    assert 0.8 < noise / scatter < 1.3, where
    if observable is ENERGY_EACH:
        assert np.abs(shares.sum(axis=1)).min() > 1, where
    else:
        assert np.abs(shares.sum(axis=1)).max() < 1e-9 * np.abs(shares).max(), where


def test_the_energy_zero_is_no_noise() -> None:
    """What is proportional to the shares changes neither signal nor noise, however large."""
    rng = np.random.default_rng(SEED)
    parts, shares = rng.normal(size=(10, 4)), rng.normal(size=10)
    shares -= shares.mean()
    before = signal_of(parts, shares[:, None])
    after = signal_of(parts + np.outer(shares, [1e4, 0.0, -3e3, 7.0]), shares[:, None])
    np.testing.assert_allclose(after, before, rtol=1e-8)
    assert after.to_noise > 10 * signal_of(parts + np.outer(shares, [1e4, 0, 0, 0]), np.zeros((10, 1))).to_noise


def test_signal_of_plain_contributions() -> None:
    """Without shares: the standard error of a sum of independent parts."""
    parts = np.random.default_rng(SEED).normal(size=(10, 3)) + 1.0
    found = signal_of(parts, np.zeros((10, 1)))
    noise = np.sqrt(10 * parts.var(axis=0, ddof=1).sum())
    np.testing.assert_allclose(found, (np.linalg.norm(parts.sum(axis=0)), np.linalg.norm(parts.sum(axis=0)) / noise))
    assert signal_of(np.ones((5, 2)), np.zeros((5, 1))).to_noise == float("inf")
    assert signal_of(np.zeros((5, 2)), np.zeros((5, 1))).norm == 0.0
