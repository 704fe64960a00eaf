"""Errors on labelled structures, against plain numpy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

import committees
import labelled
import potentials
from fusepot.data import Dataset
from fusepot.potential import predict, predict_many
from fusepot.units import GPA_PER_EV_PER_A3
from fusepot.validation.analysis.parity import evaluate, predict_all_members, uncertainty


def test_errors_are_what_numpy_says():
    data, student = labelled.dataset(), potentials.lennard_jones(("Ti", "Al"), cutoff=4.5)
    found = evaluate(student, data)
    predicted, _ = predict_many(student, [s.structure for s in data.samples])
    pairs = list(zip(data.samples, predicted, strict=True))
    energy = [1e3 * (p.energy - s.energy) / len(s.structure) for s, p in pairs if s.has[0]]
    forces = np.concatenate([1e3 * (p.forces - s.forces).ravel() for s, p in pairs if s.has[1]])
    stress = np.concatenate([GPA_PER_EV_PER_A3 * (p.stress - s.stress).ravel() for s, p in pairs if s.has[2]])
    virial = np.concatenate([1e3 * (p.virial - s.virial).ravel() / len(s.structure) for s, p in pairs if s.has[2]])
    for error, values in (
        (found.energy, energy),
        (found.forces, forces),
        (found.stress, stress),
        (found.virial, virial),
    ):
        np.testing.assert_allclose(error.rmse, np.sqrt(np.mean(np.square(values))), rtol=1e-9)
        np.testing.assert_allclose(error.mae, np.mean(np.abs(values)), rtol=1e-9)
        assert error.count == len(values)
    assert set(found.config_types) == set(data.config_types)
    assert sum(part.structures for part in found.config_types.values()) == found.structures == len(data)
    assert found.config_types["cluster"].stress.count == 0
    json.dumps(found.as_json(), allow_nan=False)


def test_the_teacher_makes_no_errors():
    found = evaluate(labelled.teacher(), labelled.dataset())
    assert max(found.energy.rmse, found.forces.rmse, found.stress.rmse) < 1e-8


def test_no_structures_no_numbers():
    found = evaluate(labelled.teacher(), Dataset(()))
    assert found.structures == 0
    assert np.isnan(found.energy.rmse)


def test_uncertainty_is_what_numpy_says():
    data = labelled.dataset()
    committee = committees.lennard_jones(cutoff=4.5)
    members = predict_all_members(committee, data)
    spread, wrong = [], []
    for sample in data.samples:
        if not sample.has[1]:
            continue
        forces = [predict(part, sample.structure).forces for part in committees.lennard_jones_parts(cutoff=4.5)]
        for i in range(len(sample.structure)):
            at = np.array([f[i] for f in forces])
            spread.append(1e3 * np.sqrt(at.var(axis=0).sum()))
            wrong.append(1e3 * np.sqrt(((at.mean(axis=0) - sample.forces[i]) ** 2).sum()))
    found = uncertainty(data.samples, members)
    assert found.atoms == len(spread) > 50
    np.testing.assert_allclose(found.deviation, np.mean(spread), rtol=1e-9)
    np.testing.assert_allclose(found.error, np.mean(wrong), rtol=1e-9)
    # Two atoms of a cell have opposite forces: which of them ranks first is a matter of rounding.
    ranks = [np.argsort(np.argsort(values)) for values in (spread, wrong)]
    np.testing.assert_allclose(found.correlation, np.corrcoef(*ranks)[0, 1], atol=0.02)


def test_uncertainty_that_knows_everything_or_nothing():
    """Members around the truth: their deviation is the error of a mean that is shifted in proportion, or is not."""
    samples = labelled.dataset().samples[:1]
    truth = predict(labelled.teacher(), samples[0].structure)
    size = np.arange(1.0, 1 + truth.forces.size).reshape(truth.forces.shape)
    knowing = [truth._replace(forces=samples[0].forces + shift * size) for shift in (1.0, 3.0)]
    found = uncertainty(samples, [knowing])
    np.testing.assert_allclose(found.correlation, 1.0)
    np.testing.assert_allclose(found.error, 2 * found.deviation)
    sure = uncertainty(samples, [[knowing[0], knowing[0]]])
    assert np.isnan(sure.correlation)
    assert (sure.deviation, sure.atoms) == (0.0, 2)
    zero = replace(samples[0], forces=0 * samples[0].forces)
    symmetric = [truth._replace(forces=np.full_like(size, rounding)) for rounding in (1e-8, -1e-9)]
    beside = uncertainty([*samples, zero], [knowing, symmetric])
    assert beside == found, "atoms that any potential is right about say nothing about this one"
    one = uncertainty(samples, [knowing[:1]])
    assert (np.isnan(one.deviation), one.atoms) == (True, 0)
    assert uncertainty([], []).atoms == 0
