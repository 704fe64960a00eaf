"""Errors on labelled structures, against plain numpy."""

from __future__ import annotations

import json

import numpy as np

import labelled
import potentials
from fusepot.data import Dataset
from fusepot.potential import predict_many
from fusepot.units import GPA_PER_EV_PER_A3
from fusepot.validation.parity import evaluate


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
