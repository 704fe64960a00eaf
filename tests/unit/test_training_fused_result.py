"""Which potential comes out of sequential and fused training: what it reaches, the best one, its zero of energy."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

import experiments
import labelled
import potentials
import structures
from experiments import config, experiment, same, target
from fusepot.data import Dataset, label
from fusepot.observables import find_observable, observe
from fusepot.potential import predict, predict_many
from fusepot.sampling import Nvt, simulate
from fusepot.training.fused import energy_shift

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.mark.parametrize("mode", ["sequential", "joint"])
def test_a_pressure_is_reached_and_an_independent_simulation_agrees(trained, mode):
    """Ablation: a single temperature. The joint one gives the labels little weight: they want another one."""
    goal = 10.0
    fused = {"fused": {"weight": 100.0}} if mode == "joint" else {}
    result, out = trained(
        mode,
        of=experiment((250.0,), (target("pressure", goal),)),
        experiment={
            "epochs": 12,
            "optimizer": {"learning_rate": 8e-3},
            "choice_weight": 0.0,
        },
        **fused,
    )
    lines = experiments.epochs(out)
    first, best = lines[0], lines[result.potential.provenance["best_epoch"]]
    assert abs(first["points"][0]["observables"]["pressure"][0] - goal) > 5
    assert best["experiment_loss"] < 0.02 * first["experiment_loss"]
    seed = 77
    trajectory = simulate(
        result.potential,
        experiments.crystal(),
        ensemble=Nvt(250.0, friction_per_ps=4.0),
        steps=4000,
        timestep_fs=2.0,
        sample_every=5,
        equilibration_steps=500,
        seed=seed,
    )
    found = observe(result.potential, trajectory, [find_observable("pressure")]).estimates["pressure"]
    bar = np.hypot(found.error, best["points"][0]["observables"]["pressure"][1])
    assert abs(found.value - goal) < 4 * bar + 0.02, f"seed {seed}: {found.value} ± {bar}, wanted {goal}"


# A learning rate that jumps around: some epochs are worse than the ones before.
JUMPY = {"optimizer": {"learning_rate": 0.01, "schedule": "constant"}, "reuse": {"method": "never"}}


def test_the_best_or_the_last_parameters_are_the_result(trained):
    of = experiment((200.0,))
    best, out = trained("sequential", of=of, experiment={**JUMPY, "epochs": 5})
    last, other = trained("sequential", of=of, experiment={**JUMPY, "epochs": 5, "choice": "last"})
    lines = experiments.epochs(out)
    assert lines == experiments.epochs(other)
    epoch = int(np.argmin([line["score"] for line in lines]))
    assert 0 < epoch < 5, "the last epoch is the best one: nothing was tested"
    assert best.potential.provenance["best_epoch"] == epoch
    assert last.potential.provenance["best_epoch"] == 5
    # Both are what a training of that many epochs ends with, since its learning rate is constant.
    for count, found in ((epoch, best), (5, last)):
        plain = trained("sequential", of=of, experiment={**JUMPY, "epochs": count, "choice": "last"})[0]
        assert same(found.potential.params, plain.potential.params)
        assert found.potential.reference_energies == plain.potential.reference_energies


def test_it_may_be_that_nothing_was_better_than_the_start(trained):
    result, out = trained("sequential", of=experiment((200.0,)), experiment={**JUMPY, "epochs": 1})
    lines = experiments.epochs(out)
    assert lines[1]["score"] > lines[0]["score"], "one step was an improvement: nothing was tested"
    assert result.potential.provenance["best_epoch"] == 0
    assert same(result.potential.params, experiments.initial_params())


def test_patience_ends_it(trained):
    of = experiment((200.0,))
    settings = {**JUMPY, "epochs": 40, "patience": 2}
    result, out = trained("sequential", of=of, experiment=settings)
    lines = experiments.epochs(out)
    scores = [line["score"] for line in lines]
    best = int(np.argmin(scores))
    assert result.epochs == len(lines) - 1 == best + 2 < 40
    assert result.potential.provenance["best_epoch"] == best
    # It stays finished.
    again = experiments.run(config("sequential", experiment=settings), out, experiment=of)
    assert (again.start_epoch, again.epochs) == (result.epochs, result.epochs)
    assert same(again.potential.params, result.potential.params)
    assert again.potential.provenance == result.potential.provenance


def test_model_choice_weighs_the_labels_too(trained):
    """Learning rates take the potential past the 3 GPa of the experiment to the -18 GPa of the labels."""
    of = experiment((200.0,), (target("pressure", 3.0),))
    found = []
    for weight in (0.0, 1000.0):
        result, out = trained("epoch", of=of, experiment={"epochs": 4, "choice_weight": weight, **JUMPY})
        lines = experiments.epochs(out)
        units = lines[0]["experiment_loss"], lines[0]["validation_loss"]
        scores = [line["experiment_loss"] / units[0] + weight * line["validation_loss"] / units[1] for line in lines]
        assert result.potential.provenance["best_epoch"] == int(np.argmin(scores))
        found.append(int(np.argmin(scores)))
    assert found[0] != found[1], "the weight made no difference: nothing was tested"


def test_a_target_that_is_met_from_the_start_does_no_harm(tmp_path):
    """Losses that are corrected for their variance may then be negative, and labels may be met exactly."""
    teacher = labelled.teacher()
    settings = config("joint", experiment={"epochs": 1, "optimizer": {"learning_rate": 1e-4}})
    of = experiment((150.0,), (target("pressure", 13.4),))
    experiments.run(settings, tmp_path / "look", start=teacher, experiment=of)
    exact = experiments.epochs(tmp_path / "look")[0]["points"][0]["observables"]["pressure"][0]
    of = experiment((150.0,), (target("pressure", exact),))
    result = experiments.run(settings, tmp_path / "met", start=teacher, experiment=of)
    lines = experiments.epochs(tmp_path / "met")
    assert lines[0]["experiment_loss"] < 0
    assert lines[0]["validation_loss"] < 1e-20
    assert all(abs(line["score"]) < 1e12 for line in lines)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), result.potential.params, dict(teacher.params))
    assert max(moved.values()) < 1e-3


# -------------------------------------------------------------------------------------------------- the zero of energy


def test_the_shift_of_energies_is_one_constant_per_element():
    teacher, samples = labelled.teacher(), experiments.dataset().samples
    shifted = replace(teacher, reference_energies=tuple(np.add(teacher.reference_energies, (0.3, -0.2))))
    np.testing.assert_allclose(energy_shift(shifted, samples), (-0.3, 0.2), atol=1e-9)
    np.testing.assert_allclose(energy_shift(teacher, samples), (0.0, 0.0), atol=1e-9)
    # Structures of all sizes, some without energies; their kinds and weights play no part.
    np.testing.assert_allclose(energy_shift(shifted, labelled.dataset().samples), (-0.3, 0.2), atol=1e-9)
    # An element that does not occur, and no energies at all, leave nothing to find.
    wider = potentials.lennard_jones(("Ti", "Al", "V"), cutoff=4.5)
    assert energy_shift(wider, samples)[2] == 0.0
    assert energy_shift(teacher, [label(s.structure, forces=s.forces) for s in samples]) == (0.0, 0.0)
    assert energy_shift(teacher, []) == (0.0, 0.0)


@pytest.mark.parametrize("mode", ["sequential", "epoch", "joint"])
def test_only_sequential_training_takes_the_shift_out(tmp_path, mode):
    start = experiments.initial()
    offset = (0.3, -0.2)
    start = replace(start, reference_energies=tuple(np.add(start.reference_energies, offset)))
    plain = experiments.run(config(mode), tmp_path / "plain").potential
    result = experiments.run(config(mode), tmp_path / "shifted", start=start)
    found, train = result.potential, [result.dataset.samples[i] for i in result.split.train]
    if mode == "sequential":
        # The EXP trainer does not know the zero of energy: only the shift differs, and takes the constants out.
        assert same(found.params, plain.params)
        np.testing.assert_allclose(found.reference_energies, plain.reference_energies, rtol=1e-9)
        np.testing.assert_allclose(energy_shift(found, train), (0, 0), atol=1e-9)
        shift = found.provenance["energy_shift_eV_per_atom"]
        np.testing.assert_allclose(np.add(start.reference_energies, shift), found.reference_energies, rtol=1e-12)
        # Forces and stress are those of before.
        cell = structures.alloy((2, 2, 1), seed=9)
        a, b = predict(found, cell), predict(replace(found, reference_energies=start.reference_energies), cell)
        np.testing.assert_array_equal(a.forces, b.forces)
        np.testing.assert_array_equal(a.stress, b.stress)
        assert a.energy != b.energy
    else:
        # Labels say what the zero is, and are learnt from with the constants that came with the potential.
        assert found.reference_energies == start.reference_energies
        assert not same(found.params, plain.params)


def test_the_shift_is_that_of_the_training_set(tmp_path):
    """Energies of structures that only validate or test have no part in the result."""
    plain = experiments.run(config("sequential", experiment={"epochs": 1}), tmp_path / "a")
    samples = list(experiments.dataset().samples)
    for i in plain.split.validation:
        samples[i] = replace(samples[i], energy=samples[i].energy + 10.0)
    other = experiments.run(
        config("sequential", experiment={"epochs": 1}), tmp_path / "b", dataset=Dataset(tuple(samples))
    )
    assert other.potential.reference_energies == plain.potential.reference_energies


def test_fused_training_brings_labels_and_experiment_together(trained):
    """The labels' potential has -18 GPa in the crystal, the one to start from 17: both pull in the same direction."""
    of = experiment(targets=(target("pressure", 6.0),))
    result, out = trained("epoch", of=of, experiment={"epochs": 8, "choice": "last"})
    lines = experiments.epochs(out)
    assert lines[-1]["validation_loss"] < 0.5 * lines[0]["validation_loss"]
    assert lines[-1]["experiment_loss"] < 0.05 * lines[0]["experiment_loss"]
    samples = [result.dataset.samples[i] for i in result.split.validation]
    errors = []
    for potential in (experiments.initial(), result.potential):
        predicted, _ = predict_many(potential, [sample.structure for sample in samples])
        errors.append([np.abs(p.forces - s.forces).mean() for p, s in zip(predicted, samples, strict=True)])
    assert np.mean(errors[1]) < np.mean(errors[0])
