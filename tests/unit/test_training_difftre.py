"""The EXP trainer's loss: against numpy, finite differences, and oscillators whose averages are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import structures
from fusepot.data.targets import Condition, Target
from fusepot.errors import InputError
from fusepot.gradient import precision
from fusepot.observables import Observable, StatePoint, find_observable, terms_of
from fusepot.observables.mixture import mixture_energies
from fusepot.observables.terms import ENERGY, Term
from fusepot.structure import FloatArray
from fusepot.training.difftre import goals_of, loss_of, signal_of
from fusepot.units import BOLTZMANN_EV_PER_K, GPA_PER_EV_PER_A3

SEED = 5
STATE = StatePoint(np.float64(300.0), np.float64(170.0), np.float64(8.0))
KT = BOLTZMANN_EV_PER_K * 300.0
Values = dict[str, Any]


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with precision("float64"):
        yield


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


# Oscillators: U = sum over particles of k/2 (x - c)^2 + zero, all averages known

PARTICLES = 5


class Theta(NamedTuple):
    k: Any
    c: Any
    zero: Any = 0.0


def oscillators(theta: Theta, x: Any) -> Values:
    """Terms of frames x (..., particles)."""
    energy = (theta.k * (x - theta.c) ** 2 / 2 + theta.zero).sum(axis=-1)
    mean = x.mean(axis=-1)
    return {
        "energy": energy,
        "energy_energy": energy**2,
        "square": (x**2).mean(axis=-1),
        "mean": mean,
        "mean_mean": mean**2,
    }


def sample(theta: Theta, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    return theta.c + rng.normal(size=(*shape, PARTICLES)) * np.sqrt(KT / theta.k)


def _unregistered(name: str, value: Callable[[Mapping[str, Any]], Any], *terms: str) -> Observable:
    return Observable(name, "1", (ENERGY, *(Term(t, lambda frame: frame) for t in terms)), lambda a, state: value(a))


SQUARE = _unregistered("square", lambda a: a["square"], "square")
SPREAD = _unregistered("spread", lambda a: (a["mean_mean"] - a["mean"] ** 2) * PARTICLES / KT, "mean", "mean_mean")
ENERGY_EACH = _unregistered("energy", lambda a: a["energy"] / PARTICLES)
CAPACITY = _unregistered(
    "capacity", lambda a: (a["energy_energy"] - a["energy"] ** 2) / KT**2 / PARTICLES, "energy_energy"
)
EXACT: dict[str, Callable[[Theta], Any]] = {
    "square": lambda theta: theta.c**2 + KT / theta.k,
    "spread": lambda theta: 1 / theta.k,
    "energy": lambda theta: KT / 2 + theta.zero,
    "capacity": lambda theta: 0.5 + 0 * theta.k,
}


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
    values = {term.name: oscillators(theta, x)[term.name] for term in observable.terms}
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
        reference = oscillators(sampled_by, x)["energy"]

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


def mixed(thetas: list[Theta], frames: int, copies: int) -> tuple[FloatArray, FloatArray]:
    """Frames (copies, K * frames, particles) of several oscillators, and energies of their mixture."""
    rng = np.random.default_rng(SEED)
    x = np.stack([sample(theta, (copies, frames), rng) for theta in thetas], axis=1)
    tables = np.stack([oscillators(theta, x)["energy"] for theta in thetas], axis=1)
    mixture = np.stack([mixture_energies(table, 300.0) for table in tables])
    return x.reshape(copies, -1, PARTICLES), mixture.reshape(copies, -1)


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


# Signal to noise


def block_parts(x: Any, cotangents: Values, theta: Theta, blocks: int, trajectories: int) -> tuple[Any, Any]:
    """What ``exp.py`` makes of a sample: contributions of blocks to the gradient by theta, and their shares."""

    def pulled(x: Any, cotangents: Values) -> Any:
        def functional(theta: Theta) -> Any:
            values = oscillators(theta, x)
            return sum(jnp.vdot(cotangents[name], values[name]) for name in cotangents)

        return jnp.stack(jax.grad(functional)(Theta(*map(jnp.asarray, theta))))

    def blocked(values: Any) -> Any:
        shape = (trajectories, blocks, -1, *values.shape[1:])
        return jnp.moveaxis(values.reshape(shape), 0, 1).reshape(blocks, -1, *values.shape[1:])

    parts = jax.vmap(pulled)(blocked(x), jax.tree.map(blocked, cotangents))
    energy = oscillators(theta, x)["energy"]
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

        values = {term.name: oscillators(thetas[0], x)[term.name] for term in observable.terms}
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
