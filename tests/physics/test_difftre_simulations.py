"""The EXP trainer's simulations: gradients by simulating again, walkers, threads, and what goes wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

import potentials
import structures
from fusepot.data.targets import Experiment
from fusepot.sampling import Nvt, advance
from fusepot.training import walks
from fusepot.training.exp import ExpState, ExpTrainer
from fusepot.training.interrupt import TrainingInterrupted
from fusepot.training.views import View
from fusepot.training.walks import Diverged, walked
from trainers import SEED, condition, flat, scaled, section

pytestmark = pytest.mark.usefixtures("compiled_once", "float64")


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
