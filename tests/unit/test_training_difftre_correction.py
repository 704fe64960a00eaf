"""The EXP trainer's loss on oscillators: its correction makes loss and gradient right on average, also for mixtures."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fusepot.observables import Observable
from fusepot.structure import FloatArray
from fusepot.training.difftre import loss_of
from oscillators import EXACT, KT, PARTICLES, SEED, SPREAD, SQUARE, STATE, Theta, mixed, sample, values_of

pytestmark = pytest.mark.usefixtures("float64")


def toy_loss(
    theta: Theta,
    x: Any,
    reference: Any,
    target: float,
    *,
    observable: Observable,
    blocks: int = 10,
    corrected: bool = True,
    trajectories: int = 1,
) -> Any:
    """Loss and outcome of frames (frames, particles)."""
    values = {term.name: values_of(theta, x)[term.name] for term in observable.terms}
    return loss_of(
        values,
        reference,
        jnp.array([target]),
        jnp.array([1.0]),
        STATE,
        observables=(observable,),
        frames={name: np.arange(len(x)) for name in values},
        blocks=blocks,
        corrected=corrected,
        trajectories=trajectories,
    )


class Replicas(NamedTuple):
    """Of many independent samples: loss and its gradient by (k, c), their means and the means' errors."""

    mean: FloatArray
    error: FloatArray
    scatter: float  # of the observable
    estimated: float  # root mean square of its estimated errors


def replicas(
    observable: Observable, theta: Theta, sampled_by: Theta, target: float, *, frames: int, copies: int = 3000
) -> tuple[Replicas, Replicas]:
    """Without and with correction, of the same samples."""

    def one(x: Any) -> Any:
        reference = values_of(sampled_by, x)["energy"]

        def at(kc: Any) -> Any:
            options = {"observable": observable, "target": target}
            both = [toy_loss(Theta(*kc, theta.zero), x, reference, corrected=c, **options) for c in (False, True)]
            return jnp.stack([loss for loss, _ in both]), tuple(outcome for _, outcome in both)

        kc = jnp.array([theta.k, theta.c])
        losses, outcomes = at(kc)
        slopes, _ = jax.jacrev(at, has_aux=True)(kc)
        rows = [jnp.array([loss, *slope]) for loss, slope in zip(losses, slopes, strict=True)]
        return [(row, o.values[0], o.errors[0]) for row, o in zip(rows, outcomes, strict=True)]

    x = sample(sampled_by, (copies, frames), np.random.default_rng(SEED))
    found = [
        Replicas(
            numbers.mean(axis=0),
            numbers.std(axis=0) / np.sqrt(copies),
            float(values.std()),
            float(np.sqrt((errors**2).mean())),
        )
        for numbers, values, errors in jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(x))
    ]
    return found[0], found[1]


def true_loss(observable: Observable, theta: Theta, target: float) -> FloatArray:
    """With its gradient by (k, c)."""

    def at(k: Any, c: Any) -> Any:
        return (EXACT[observable.name](Theta(k, c, theta.zero)) - target) ** 2

    value, slope = jax.value_and_grad(at, argnums=(0, 1))(theta.k, theta.c)
    return np.array([value, *slope])


@pytest.mark.parametrize(
    ("observable", "sampled_by", "frames"),
    [
        (SQUARE, Theta(1.0, 0.3), 40),
        (SPREAD, Theta(1.0, 0.3), 40),
        (SQUARE, Theta(1.1, 0.3 - 0.2 * np.sqrt(KT)), 80),
        (SPREAD, Theta(1.1, 0.3 - 0.2 * np.sqrt(KT)), 320),
    ],
    ids=["mean", "variance", "mean, reweighted", "variance, reweighted"],
)
def test_corrected_loss_and_gradient_are_right_on_average(
    observable: Observable, sampled_by: Theta, frames: int
) -> None:
    """However short the trajectory; without the correction the loss is too large by the variance.

    The target is 1.5 standard errors away, so that the excess is no detail. What is left is of second order in the
    inverse number of frames: a fifth of the excess at most.
    """
    theta = Theta(1.0, 0.3)
    variance = {"square": (2 * KT**2 + 4 * theta.c**2 * KT) / (PARTICLES * frames), "spread": 2 / frames}
    target = float(EXACT[observable.name](theta)) + 1.5 * np.sqrt(variance[observable.name])
    plain, corrected = replicas(observable, theta, sampled_by, target, frames=frames)
    expected = true_loss(observable, theta, target)
    where = f"{observable.name}, seed {SEED}: {corrected}, {plain}, {expected}"
    excess, left = plain.mean - expected, corrected.mean - expected
    assert np.all(np.abs(left) < 4 * corrected.error + 0.2 * np.abs(excess)), where
    # The excess is the variance, and what the bias of the estimate does to a squared deviation.
    assert excess[0] > 8 * plain.error[0], where
    assert abs(excess[0] / plain.scatter**2 - 1) < (0.1 if observable is SQUARE and sampled_by == theta else 0.6), where
    assert np.abs(excess / plain.error).max() > 5, ("gradients: the test is blunt", where)
    assert 0.9 < corrected.estimated / corrected.scatter < 1.15, where


def test_gradient_without_correction_prefers_quiet_observables() -> None:
    """At the very minimum of the true loss the excess still has a slope, toward smaller variances.

    It is twice that of the variance v: the variance of a reweighted mean is the average of (p/p_ref)^2 (O - <O>)^2.
    """
    theta, frames = Theta(1.0, 0.3), 40
    plain, corrected = replicas(SQUARE, theta, theta, float(EXACT["square"](theta)), frames=frames)
    k, c, count = theta.k, theta.c, PARTICLES * frames
    # v = (2 kT^2/k^2 + 4 c^2 kT/k) over the numbers that are averaged
    slope = 2 * np.array([-4 * KT**2 / k**3 - 4 * c**2 * KT / k**2, 8 * c * KT / k]) / count
    assert np.abs(slope / plain.error[1:]).max() > 5, "the test is blunt"
    where = f"{plain}, {corrected}, {slope}, seed {SEED}"
    assert np.all(np.abs(plain.mean[1:] - slope) < 4 * plain.error[1:] + 0.1 * np.abs(slope)), where
    assert np.all(np.abs(corrected.mean[1:]) < 4 * corrected.error[1:] + 0.1 * np.abs(slope)), where


def test_errors_and_correction_of_a_mixture_of_trajectories() -> None:
    """Blocks have a part of every trajectory: averages of trajectories differ by more than noise."""
    width, copies, frames = np.sqrt(KT), 1500, 60
    thetas = [Theta(1.0, 0.3), Theta(1.1, 0.3 + 0.3 * width), Theta(1.2, 0.3 + 0.4 * width)]
    x, reference = mixed(thetas, frames, copies)
    for observable in (SQUARE, SPREAD):
        target = float(EXACT[observable.name](thetas[0]))

        def one(x: Any, reference: Any, observable: Observable = observable, target: float = target) -> Any:
            found, outcome = toy_loss(thetas[0], x, reference, target, observable=observable, trajectories=3)
            return found, outcome.values[0], outcome.errors[0], outcome.effective

        found, values, errors, effective = map(np.asarray, jax.jit(jax.vmap(one))(x, reference))
        where = f"{observable.name}, seed {SEED}"
        assert 1.3 * frames < effective.mean() < 2.5 * frames, (where, effective.mean())
        ratio = np.sqrt((errors**2).mean()) / values.std()
        # Free energies of the mixture are held fixed when a block is left out, which takes some of the scatter.
        assert 0.85 < ratio < 1.1, (where, ratio)
        assert abs(values.mean() - target) < 4 * values.std() / np.sqrt(copies) + 0.1 * values.std(), where
        assert abs(found.mean()) < 4 * found.std() / np.sqrt(copies) + 0.3 * values.var(), (where, found.mean())
