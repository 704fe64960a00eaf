"""The EXP trainer's gradients against one program that is differentiated as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import potentials
import structures
from fusepot.data.targets import Experiment
from fusepot.gradient import precision
from fusepot.observables import StatePoint, average, evaluate, make_frames, reweight
from fusepot.potential import Potential
from fusepot.structure import FloatArray, Structure
from fusepot.training import exp
from fusepot.training.difftre import loss_of
from fusepot.training.exp import ExpState, ExpTrainer
from fusepot.training.sampled import reference_energies, trajectory
from fusepot.training.views import View
from trainers import Drawn, Params, condition, flat, scaled, section

pytestmark = pytest.mark.usefixtures("compiled_once", "float64")


def rattled(potential: Potential, structure: Structure, temperature: float, frames: int, seed: int) -> FloatArray:
    shape = (frames, len(structure), 3)
    return structure.positions + 0.06 * np.random.default_rng(seed).normal(size=shape)


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
