"""The EXP trainer's gradients and averages against one program, finite differences, and the harmonic crystal.

Where simulations are not what is tested, frames are drawn at random instead: for the harmonic crystal from its exact
distribution, so that errors are known and nothing has to equilibrate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import potentials
import structures
from experiments import shared_compilation
from fusepot.data.targets import Condition, Experiment, Target
from fusepot.gradient import precision
from fusepot.observables import StatePoint, average, evaluate, make_frames, reweight
from fusepot.potential import Potential, predict_many
from fusepot.sampling import Nvt, advance
from fusepot.structure import FloatArray, Structure
from fusepot.training import exp, walks
from fusepot.training.difftre import loss_of
from fusepot.training.exp import ExpState, ExpTrainer
from fusepot.training.experiment_sections import ExperimentSection
from fusepot.training.interrupt import TrainingInterrupted
from fusepot.training.sampled import reference_energies, trajectory
from fusepot.training.views import View
from fusepot.training.walks import Diverged, walked
from fusepot.units import BOLTZMANN_EV_PER_K
from lattice_springs import LatticeSprings, hcp

SEED = 17
UNITS = {"energy_per_atom": "eV", "poisson_ratio": "1", "heat_capacity": "1"}
Params = Any


@pytest.fixture(autouse=True, scope="module")
def compiled_once() -> Iterator[None]:
    with shared_compilation():
        yield


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with precision("float64"):
        yield


def condition(temperature: float, structure: Structure, targets: dict[str, tuple[float, float]]) -> Condition:
    """Targets by name: value and weight."""
    return Condition(
        temperature,
        structure,
        tuple(
            Target(name, value, weight, UNITS.get(name, "GPa"), "a test", None)
            for name, (value, weight) in targets.items()
        ),
    )


def section(
    *, frames: int, replicas: int = 1, every: int = 1, reuse: dict[str, Any] | None = None, **changes: Any
) -> ExperimentSection:
    sampling = {"steps": frames * every, "sample_every": every, "replicas": replicas}
    sampling |= {"equilibration": 0, "relaxation": 0} | changes.pop("sampling", {})
    return ExperimentSection(path="none", epochs=1, sampling=sampling, reuse=reuse or {}, **changes)


Draw = Callable[[Potential, Structure, float, int, int], FloatArray]


@dataclass
class Drawn:
    """Instead of simulations: positions from a function of potential, structure, temperature, frames and a seed."""

    draw: Draw
    calls: list[float] = field(default_factory=list)  # the temperatures

    def __call__(
        self, potential: Potential, groups: Sequence[Any], ensembles: Sequence[Nvt], *, section: Any, **options: Any
    ) -> list[Any]:
        found = []
        for walkers, bath in zip(groups, ensembles, strict=True):
            self.calls.append(bath.temperature_K)
            arguments = walkers[0].structure, bath.temperature_K, section.frames * len(walkers), SEED + len(self.calls)
            found.append((walkers, self.draw(potential, *arguments)))
        return found


def rattled(potential: Potential, structure: Structure, temperature: float, frames: int, seed: int) -> FloatArray:
    shape = (frames, len(structure), 3)
    return structure.positions + 0.06 * np.random.default_rng(seed).normal(size=shape)


def scaled(params: Params, *factors: float) -> Params:
    """Leaf by leaf."""
    leaves, tree = jax.tree.flatten(params)
    return jax.tree.unflatten(tree, [np.asarray(leaf * f) for leaf, f in zip(leaves, factors, strict=True)])


def flat(params: Params) -> FloatArray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


# One program

LENNARD_JONES = potentials.lennard_jones(("Ti", "Al"), cutoff=5.0)
TWO_POINTS = Experiment(
    None,
    (
        condition(500.0, structures.alloy((1, 1, 2)), {"bulk_modulus_adiabatic": (90.0, 0.01), "pressure": (3.0, 0.1)}),
        condition(250.0, structures.hcp((2, 2, 1)), {"pressure": (-5.0, 0.2), "energy_per_atom": (-4.0, 2.0)}),
    ),
    "",
)


def frames_of(trainer: ExpTrainer, state: ExpState, k: int) -> Any:
    """All frames of a state point as if they were one trajectory, newest first."""
    point, where = state.points[k], trainer.experiment.conditions[k]
    parts = [trajectory(point, j, where.structure, where.temperature_K) for j in range(int(point.count))]
    whole = replace(
        parts[0],
        positions=np.concatenate([part.positions for part in parts]),
        cells=np.concatenate([part.cells for part in parts]),
        energies=np.zeros(sum(map(len, parts))),
        kinetic_energies=np.zeros(sum(map(len, parts))),
    )
    return make_frames(whole, cutoff=trainer.template.cutoff, elements=trainer.template.elements)


def monolithic(trainer: ExpTrainer, state: ExpState) -> Callable[[Params], tuple[FloatArray, FloatArray]]:
    """Losses (2, points), without and with correction, and their gradients (2, points, parameters).

    One ``jax.grad`` through all of it for each; the loss without correction is written out here.
    """
    frames = [frames_of(trainer, state, k) for k in range(len(state.points))]

    def chosen(params: Params, choice: Any) -> Any:
        plain, corrected = [], []
        for k, (where, goals) in enumerate(zip(trainer.experiment.conditions, trainer.goals, strict=True)):
            every = trainer.section.born_every
            model = trainer.template.model
            series = evaluate(model, params, frames[k], terms=goals.terms, sparse_every=every, engine="xla")
            reference = reference_energies(state.points[k], where.temperature_K)
            point = StatePoint(where.temperature_K, where.structure.volume, len(where.structure))
            averages = average(series, reweight(reference, series["energy"].values, where.temperature_K).values)
            terms = zip(goals.observables, goals.values, goals.weights, strict=True)
            plain.append(sum(w * (o.value(averages, point) - value) ** 2 for o, value, w in terms))
            loss, _ = loss_of(
                {name: one.values for name, one in series.items()},
                reference,
                np.array(goals.values),
                np.array(goals.weights),
                point,
                observables=goals.observables,
                frames={name: one.frames for name, one in series.items()},
                blocks=trainer.section.blocks,
                corrected=True,
                trajectories=int(state.points[k].count),
            )
            corrected.append(loss)
        found = jnp.array([plain, corrected])
        return jnp.vdot(choice, found), found

    # Compiling takes longer than running: do it quickly.
    options = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    run = jax.jit(jax.grad(chosen, has_aux=True), compiler_options=options)

    def both(params: Params) -> tuple[FloatArray, FloatArray]:
        found = [run(params, choice.reshape(2, -1)) for choice in np.eye(2 * len(frames))]
        slopes = np.array([flat(slope) for slope, _ in found])
        return np.asarray(found[0][1]), slopes.reshape(2, len(frames), -1)

    return both


def test_gradient_is_that_of_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two state points of different cells, atoms and targets, two trajectories of each.

    Right after simulating and after parameters moved, with and without correction, for both points and for one.
    """
    monkeypatch.setattr(exp, "walked", Drawn(rattled))
    own = section(frames=24, blocks=4, born_every=3, reuse={"method": "mbar", "effective_fraction": 0.95, "memory": 2})
    trainer = ExpTrainer(LENNARD_JONES, TWO_POINTS, own)
    params, state, views = LENNARD_JONES.params, trainer.begin(LENNARD_JONES.params), list[View]()
    for factors in ((1.0, 1.0), (1.02, 1.003)):
        params = scaled(LENNARD_JONES.params, *factors)
        state, views, stale = trainer.ensured(state, params, views, which=(0, 1))
        assert stale == [0, 1]
    program = monolithic(trainer, state)
    both = [replace(trainer, section=own.model_copy(update={"variance_corrected": c})) for c in (False, True)]
    for factors in ((1.0, 1.0), (1.003, 0.9995)):
        moved = scaled(params, *factors)
        _, views = trainer.look(state, moved, views)
        all_losses, all_slopes = program(moved)
        for one, losses, slopes in zip(both, all_losses, all_slopes, strict=True):
            views, outcomes = one.outcomes(views)
            where = f"{factors}, {'corrected' if one.section.variance_corrected else 'plain'}"
            np.testing.assert_allclose([outcome.loss for outcome in outcomes], losses, rtol=1e-9, err_msg=where)
            assert max(float(outcome.effective) for outcome in outcomes) < 47.99, ("the test is blunt", where)
            for which in ((0, 1), (1,)):
                gradient, signals = one.gradient(views, which=which)
                expected = slopes[list(which)].mean(axis=0)
                np.testing.assert_allclose(
                    flat(gradient), expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max(), err_msg=f"{where}, {which}"
                )
                norms = np.linalg.norm(slopes[list(which)], axis=1)
                np.testing.assert_allclose([signal.norm for signal in signals], norms, rtol=1e-8, err_msg=where)
                assert jax.tree.structure(gradient) == jax.tree.structure(params)
        assert not np.allclose(all_slopes[0], all_slopes[1], rtol=1e-3)


def test_gradient_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called as the training calls it: jax limited to float32 around it."""
    crystal = structures.hcp((2, 2, 1))
    experiment = Experiment(None, (condition(250.0, crystal, {"pressure": (3.0, 1.0)}),), "")
    found = []
    for dtype in ("float64", "float32"):
        monkeypatch.setattr(exp, "walked", Drawn(rattled))
        potential = replace(LENNARD_JONES, dtype=dtype)
        params = jax.tree.map(lambda leaf, dtype=dtype: np.asarray(leaf, dtype), LENNARD_JONES.params)
        trainer = ExpTrainer(potential, experiment, section(frames=20, blocks=4, born_every=1))
        with precision(dtype):
            state, views, _ = trainer.ensured(trainer.begin(params), params, [], which=[0])
            _, views = trainer.look(state, scaled(params, *(np.asarray([1.01, 1.0], dtype))), views)
            views, (outcome,) = trainer.outcomes(views)
            gradient, _ = trainer.gradient(views, which=[0])
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(gradient))
        found.append([float(outcome.loss), float(outcome.effective), *flat(gradient)])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-4 * np.abs(found[0]).max())


# Simulated again

FCC = structures.fcc((2, 2, 2))
# Between the shells of neighbours: the force of truncated Lennard-Jones jumps at the cutoff.
ALUMINIUM = potentials.lennard_jones(("Al",), cutoff=5.35)


def test_gradient_is_that_of_observables_simulated_again() -> None:
    """Finite differences between simulations with the same random numbers.

    A crystal under friction forgets where it came from: trajectories of slightly different parameters stay together,
    and differences are sharp.
    """
    experiment = Experiment(
        None, (condition(150.0, FCC, {"pressure": (-20.0, 1.0), "energy_per_atom": (-1.0, 3000.0)}),), ""
    )
    own = section(
        frames=400, every=10, blocks=10, born_every=1, variance_corrected=False, reuse={"method": "never"}, seed=SEED,
        sampling={"timestep_fs": 4.0, "friction_per_ps": 10.0, "equilibration": 500},
    )  # fmt: skip
    trainer = ExpTrainer(ALUMINIUM, experiment, own)
    params, views, gradients, noises = ALUMINIUM.params, list[View](), [], []
    fresh = trainer.begin(params)

    def loss(factors: tuple[float, float]) -> float:
        moved = scaled(params, *factors)
        _, views, _ = trainer.ensured(fresh, moved, [], which=[0])
        return float(trainer.outcomes(views)[1][0].loss)

    relative = 5e-3
    differences = []
    for leaf in (0, 1):
        up, down = (tuple(1 + sign * relative * (k == leaf) for k in (0, 1)) for sign in (1, -1))
        differences.append((loss(up) - loss(down)) / (2 * relative))  # times the parameter
    sizes = flat(params)
    state = fresh
    for _ in range(6):  # further trajectories of the same parameters
        state, views, stale = trainer.ensured(state._replace(points=_forgotten(state)), params, [], which=[0])
        assert stale == [0]
        views, _ = trainer.outcomes(views)
        gradient, (signal,) = trainer.gradient(views, which=[0])
        gradients.append(flat(gradient) * sizes)
        noises.append(signal.norm / signal.to_noise)
    mean, error = np.mean(gradients, axis=0), np.std(gradients, axis=0, ddof=1) / np.sqrt(len(gradients))
    where = f"seed {SEED}: {mean} +- {error}, {differences}"
    # Student's t with five degrees of freedom; the differences have an error themselves, and one of second order.
    assert np.all(np.abs(mean - differences) < 6 * error + 0.01 * np.abs(differences)), where
    assert np.all(error < 0.05 * np.abs(differences)), ("the test is blunt", where)


def _forgotten(state: ExpState) -> tuple[Any, ...]:
    """The walkers of the state points, without trajectories."""
    return tuple(point._replace(count=np.array(0)) for point in state.points)


# The harmonic crystal

SPRINGS = LatticeSprings(hcp())
STIFF: Params = {"push": np.array(0.1), "stiffness": np.array([1.5, 3.0])}
TEMPERATURES = (150.0, 400.0)
HARMONIC_FRAMES = 200


@pytest.fixture(scope="module", autouse=True)
def springs() -> Iterator[None]:
    with SPRINGS.registered():
        yield


def from_distribution(
    potential: Potential, structure: Structure, temperature: float, frames: int, seed: int
) -> FloatArray:
    return SPRINGS.sample(potential.params, temperature, frames, seed=seed)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    sampler = Drawn(from_distribution)
    monkeypatch.setattr(exp, "walked", sampler)
    return sampler


GOALS = ("C11", "C44", "pressure", "energy_per_atom")


@cache
def harmonic_experiment(*, off: float = 1.0) -> Experiment:
    """Targets some percent off, or a multiple; each goal contributes about as much to the loss."""
    conditions = []
    for temperature in TEMPERATURES:
        exact = SPRINGS.exact(STIFF, temperature)
        shifts = {name: 0.1 * exact[name] - 2.0 for name in GOALS[:-1]} | {GOALS[-1]: 0.3 * exact[GOALS[-1]]}
        targets = {name: (exact[name] + off * shift, shift**-2) for name, shift in shifts.items()}
        conditions.append(condition(temperature, SPRINGS.structure, targets))
    return Experiment("hexagonal", tuple(conditions), "")


def harmonic_trainer(*, off: float = 1.0, **changes: Any) -> ExpTrainer:
    own = section(frames=HARMONIC_FRAMES, **({"blocks": 10, "born_every": 5, "frames_at_once": 10} | changes))
    return ExpTrainer(SPRINGS.potential(STIFF), harmonic_experiment(off=off), own)


def exact_losses(params: Params) -> FloatArray:
    """(points,)."""
    found = []
    for where in harmonic_experiment().conditions:
        exact = SPRINGS.exact(params, where.temperature_K)
        found.append(sum(t.weight * (exact[t.observable] - t.value) ** 2 for t in where.targets))
    return np.array(found)


def exact_slopes(params: Params) -> FloatArray:
    """(points, parameters) in the order of ``flat``; losses are smooth, so differences are exact enough."""
    columns = []
    for k in range(3):
        ends = []
        for sign in (1, -1):
            vector = flat(params) + sign * 1e-4 * (np.arange(3) == k)
            ends.append(exact_losses({"push": vector[0], "stiffness": vector[1:]}))
        columns.append((ends[0] - ends[1]) / 2e-4)
    return np.array(columns).T


class Samples(NamedTuple):
    """Of independent trajectories: losses and gradients' noise (copies, points), gradients (copies, points, 3)."""

    losses: FloatArray
    slopes: FloatArray
    noises: FloatArray


@cache
def harmonic_samples(stiffer: float, *, off: float = 1.0, copies: int = 10) -> Samples:
    """Seen with stiffer springs than those of the simulations."""
    trainer = harmonic_trainer(off=off)
    params = scaled(STIFF, 1.0, stiffer)
    losses, slopes, noises = [], [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exp, "walked", Drawn(from_distribution))
        for _ in range(copies):
            state, views, _ = trainer.ensured(trainer.begin(STIFF), STIFF, [], which=(0, 1))
            _, views = trainer.look(state, params, views)
            views, outcomes = trainer.outcomes(views)
            losses.append([outcome.loss for outcome in outcomes])
            gradients = [trainer.gradient(views, which=(k,)) for k in (0, 1)]
            slopes.append([flat(gradient) for gradient, _ in gradients])
            noises.append([signal.norm / signal.to_noise for _, (signal,) in gradients])
            for k, view in enumerate(views):
                kish = trainer.effective(view, index=k)
                assert kish == pytest.approx(200, rel=1e-9) if stiffer == 1.0 else 100 < kish < 195, (k, kish)
    return Samples(np.array(losses), np.array(slopes), np.array(noises))


@pytest.mark.parametrize("stiffer", [1.0, 1.05], ids=["fresh", "reweighted"])
def test_gradient_on_the_harmonic_crystal(stiffer: float) -> None:
    """Loss and gradient are those of the exact observables, on average over independent trajectories."""
    samples, params = harmonic_samples(stiffer), scaled(STIFF, 1.0, stiffer)
    for name, found, expected in (
        ("loss", samples.losses, exact_losses(params)),
        ("gradient", samples.slopes, exact_slopes(params)),
    ):
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        where = f"{name}, seed {SEED}: {found.mean(axis=0)} +- {error}, {expected}"
        # Student's t with nine degrees of freedom: once in 5000
        assert np.all(np.abs(found.mean(axis=0) - expected) < 6 * error + 1e-6 * np.abs(expected)), where
        if name == "gradient":
            assert np.all(np.abs(expected / error).max(axis=1) > 10), ("the test is blunt", where)


# Reweighted blocks differ by their shares of the Born term besides, which the estimate does not know: it is too large.
@pytest.mark.parametrize(("stiffer", "most"), [(1.0, 1.6), (1.05, 3.5)], ids=["fresh", "reweighted"])
def test_noise_of_gradients_of_elastic_constants(stiffer: float, most: float) -> None:
    """What the trainer says of a single trajectory is the scatter between independent ones.

    Targets are far away, so that the deviations from them hardly scatter, which it does not see.
    """
    samples = harmonic_samples(stiffer, off=100.0, copies=15)
    scatter = np.sqrt(np.var(samples.slopes, axis=0, ddof=1).sum(axis=1))
    ratios = np.sqrt(np.mean(np.square(samples.noises), axis=0)) / scatter
    assert np.all((ratios > 0.5) & (ratios < most)), (ratios, SEED)


def test_derivatives_by_a_constant_stress_are_exact(drawn: Drawn) -> None:
    """What pushes changes pressure and constants by known amounts in every frame, with no noise at all."""
    trainer = harmonic_trainer(variance_corrected=False)
    _, views, _ = trainer.ensured(trainer.begin(STIFF), STIFF, [], which=(0, 1))
    views, outcomes = trainer.outcomes(views)
    gradient, _ = trainer.gradient(views, which=(0, 1))
    expected = 0.0
    for where, outcome in zip(trainer.experiment.conditions, outcomes, strict=True):
        ends = [SPRINGS.exact(STIFF | {"push": np.array(push)}, where.temperature_K) for push in (0.0, 1.0)]
        for target, value in zip(where.targets, outcome.values, strict=True):
            slope = ends[1][target.observable] - ends[0][target.observable]
            expected += 2 * target.weight * (float(value) - target.value) * slope / 2
    assert float(gradient["push"]) == pytest.approx(expected, rel=1e-8)
    assert abs(expected) > 1


# Reuse


def energies_of(params: Params, positions: FloatArray) -> FloatArray:
    """(frames,) by way of ``predict``."""
    potential = SPRINGS.potential(params)
    frames = [replace(SPRINGS.structure, positions=each) for each in positions]
    return np.array([prediction.energy for prediction in predict_many(potential, frames)[0]])


def kish(reference: FloatArray, energies: FloatArray, temperature: float) -> float:
    exponents = (energies - reference) / (BOLTZMANN_EV_PER_K * temperature)
    weights = np.exp(exponents.min() - exponents)
    return float(weights.sum() ** 2 / (weights**2).sum())


def test_never_simulates_after_every_change(drawn: Drawn) -> None:
    trainer = harmonic_trainer(reuse={"method": "never"})
    state, views, stale = trainer.ensured(trainer.begin(STIFF), STIFF, [], which=(0, 1))
    assert (stale, drawn.calls) == ([0, 1], [*TEMPERATURES])
    # The same parameters, with and without what is known already.
    for params, seen in ((STIFF, views), (scaled(STIFF, 1.0, 1.0), views), (STIFF, [])):
        state, views, stale = trainer.ensured(state, params, seen, which=(0, 1))
        assert stale == []
    moved = scaled(STIFF, 1.0, 1.001)
    before = state
    state, views, stale = trainer.ensured(state, moved, views, which=(1,))
    assert (stale, drawn.calls) == ([1], [*TEMPERATURES, TEMPERATURES[1]])
    assert state.points[0] is before.points[0]
    assert [int(point.count) for point in state.points] == [1, 1]
    assert all(view.params is moved for view in views)
    # The other one follows when its turn comes.
    _, _, stale = trainer.ensured(state, moved, views, which=(0, 1))
    assert stale == [0]


def test_reweighting_keeps_a_trajectory_while_enough_frames_count(drawn: Drawn) -> None:
    """The effective number is Kish's; ``predict`` and numpy say what it should be at every step."""
    frames, limit = HARMONIC_FRAMES, 0.8
    trainer = harmonic_trainer(reuse={"method": "reweight", "effective_fraction": limit})
    state, views, _ = trainer.ensured(trainer.begin(STIFF), STIFF, [], which=(0,))
    assert not views[1].terms
    sampled_with, positions, decisions = STIFF, state.points[0].positions[0], []
    for step in range(1, 9):
        params = scaled(STIFF, 1.0, 1 + 0.05 * step)
        expected = kish(energies_of(sampled_with, positions), energies_of(params, positions), TEMPERATURES[0])
        after, views, stale = trainer.ensured(state, params, views, which=(0,))
        assert stale == ([0] if expected < limit * frames else []), (step, expected)
        if stale:
            sampled_with, positions = params, after.points[0].positions[0]
            assert trainer.effective(views[0], index=0) == pytest.approx(frames, rel=1e-9)
        else:
            assert after.points[0] is state.points[0]
            assert trainer.effective(views[0], index=0) == pytest.approx(expected, rel=1e-6)
        decisions.append(bool(stale))
        state = after
    assert 2 <= sum(decisions) <= 5, decisions
    assert drawn.calls == [TEMPERATURES[0]] * (1 + sum(decisions))


def test_mixtures_of_the_last_trajectories(drawn: Drawn) -> None:
    """Table of energies, order, and averages of moved parameters: exact ones, and those of a fresh trajectory."""
    frames = HARMONIC_FRAMES
    trainer = harmonic_trainer(reuse={"method": "mbar", "memory": 3, "effective_fraction": 0.99})
    made: list[tuple[Params, FloatArray]] = []
    state, views = trainer.begin(STIFF), list[View]()
    for step in range(4):
        params = scaled(STIFF, 1.0, (1.0, 1.14, 0.9, 1.05)[step])
        state, views, stale = trainer.ensured(state, params, views, which=(0, 1))
        if not stale:
            continue
        made.insert(0, (params, state.points[0].positions[0].copy()))
        if 0 not in stale:
            continue
        point = state.points[0]
        count = min(3, len(made))
        assert int(point.count) == count, step
        for j, (own, positions) in enumerate(made[:count]):
            np.testing.assert_array_equal(point.positions[j], positions, err_msg=f"step {step}, {j}")
            np.testing.assert_array_equal(point.params["stiffness"][j], own["stiffness"])
            for k in range(count):
                expected = energies_of(made[k][0], positions)
                np.testing.assert_allclose(
                    point.energies[k, j], expected, rtol=0, atol=1e-9, err_msg=f"step {step}, {k}, {j}"
                )
    assert int(state.points[0].count) == 3
    moved = scaled(STIFF, 1.0, 1.02)
    _, views = trainer.look(state, moved, views)
    views, outcomes = trainer.outcomes(views)
    fresh = harmonic_trainer()
    _, seen, _ = fresh.ensured(fresh.begin(moved), moved, [], which=(0, 1))
    _, again = fresh.outcomes(seen)
    for k, (mixed, one) in enumerate(zip(outcomes, again, strict=True)):
        where = trainer.experiment.conditions[k]
        exact = SPRINGS.exact(moved, where.temperature_K)
        expected = np.array([exact[target.observable] for target in where.targets])
        label = f"{where.temperature_K} K, seed {SEED}: {mixed}, {one}, {expected}"
        # Jackknife errors with ten blocks: Student's t with nine degrees of freedom
        assert np.all(np.abs(mixed.values - expected) < 6 * mixed.errors), label
        assert np.all(np.abs(mixed.values - one.values) < 6 * np.hypot(mixed.errors, one.errors)), label
        assert 1.3 * frames < float(mixed.effective) < 3 * frames, label


# Simulations


LIVELY = Experiment(
    "cubic",
    tuple(
        condition(t, FCC, {"pressure": (1.0, 1.0), "C44": (30.0, 0.01), "energy_per_atom": (-2.0, 10.0)})
        for t in (200.0, 350.0)
    ),
    "",
)


def lively(**changes: Any) -> ExpTrainer:
    """Real simulations of Lennard-Jones aluminium."""
    sampling = {"timestep_fs": 3.0, "equilibration": 40, "relaxation": 15} | changes.pop("sampling", {})
    settings = {"frames": 12, "every": 5, "blocks": 4, "born_every": 3, "seed": SEED} | changes
    return ExpTrainer(ALUMINIUM, LIVELY, section(sampling=sampling, **settings))


def test_walkers_go_on_and_replicas_follow_one_another() -> None:
    """Positions are those of ``advance`` by hand: of the first replica, then of the second, from where each one was."""
    trainer = lively(replicas=2, reuse={"method": "never"})
    params = ALUMINIUM.params
    state, views = trainer.begin(params), list[View]()
    walkers = [list(point.walkers) for point in state.points]
    assert len({float(np.abs(w.motion.momentum).sum()) for group in walkers for w in group}) == 4, (
        "walkers that are the same"
    )
    for number, factor in enumerate((1.0, 1.2, 0.9)):
        moved = scaled(params, factor, 1.0)
        state, views, stale = trainer.ensured(state, moved, views, which=(0, 1))
        assert stale == [0, 1], number
        potential = replace(ALUMINIUM, params=moved)
        for k, where in enumerate(trainer.experiment.conditions):
            bath = Nvt(where.temperature_K, friction_per_ps=trainer.section.sampling.friction_per_ps)
            run = partial(advance, potential, timestep_fs=3.0, sample_every=5)
            expected = []
            for r in (0, 1):
                walkers[k][r], _ = run(walkers[k][r], bath, steps=15 if number else 40)
                walkers[k][r], path = run(walkers[k][r], bath, steps=60)
                expected.append(path.positions)
            where_ = f"point {k}, trajectory {number}, seed {SEED}"
            np.testing.assert_array_equal(state.points[k].positions[0], np.concatenate(expected), err_msg=where_)
            for mine, own in zip(walkers[k], state.points[k].walkers, strict=True):
                np.testing.assert_array_equal(mine.motion.position, own.motion.position, err_msg=where_)
                np.testing.assert_array_equal(mine.motion.momentum, own.motion.momentum, err_msg=where_)
                assert int(own.step) == int(mine.step)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit: positions, terms, losses and gradients; the first run compiles, with several threads at once."""
    trainer, found = lively(), []
    for threads in (3, 1):
        monkeypatch.setattr(walks.os, "cpu_count", lambda threads=threads: threads)
        params = ALUMINIUM.params
        state, views, _ = trainer.ensured(trainer.begin(params), params, [], which=(0, 1))
        _, views = trainer.look(state, scaled(params, 1.01, 1.0), views)
        views, outcomes = trainer.outcomes(views)
        gradient, signals = trainer.gradient(views, which=(0, 1))
        found.append([state, [view.terms for view in views], outcomes, gradient, signals])
    first, second = map(jax.tree.leaves, found)
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_program_for_all_state_points_as_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walkers and positions end up where they belong."""
    trainer = lively(replicas=2)
    state, params = trainer.begin(ALUMINIUM.params), ALUMINIUM.params
    baths = [Nvt(where.temperature_K) for where in trainer.experiment.conditions]
    found = []
    for accelerated in (False, True):
        monkeypatch.setattr(walks, "accelerated", lambda accelerated=accelerated: accelerated)
        found.append(
            walked(
                replace(ALUMINIUM, params=params),
                [point.walkers for point in state.points],
                baths,
                section=trainer.section.sampling,
                relaxation=[10, 10],
                stopped=lambda: False,
            )
        )
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    apart = [np.abs(found[0][k][1][:12] - found[0][k][1][12:]).max() for k in (0, 1)]
    assert min(apart) > 1e-3, "replicas that are the same"


def test_what_goes_wrong() -> None:
    """Nothing is accepted of parameters that cannot be simulated, or when asked to stop."""
    trainer, params = lively(), ALUMINIUM.params
    state = trainer.begin(params)
    for factor in (np.nan, -1.0):
        with pytest.raises(Diverged, match=r"state point of 200 K|state point of 350 K"):
            trainer.ensured(state, scaled(params, factor, 1.0), [], which=(0, 1))
    with pytest.raises(TrainingInterrupted):
        replace(trainer, stopped=lambda: True).ensured(state, params, [], which=(0, 1))
    state, views, _ = trainer.ensured(state, params, [], which=(0, 1))
    with pytest.raises(Diverged, match="not finite"):
        trainer.look(state, scaled(params, np.nan, 1.0), views)
