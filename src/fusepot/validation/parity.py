"""Errors of a potential on labelled structures, overall and per kind of structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fusepot.data import Dataset, Labelled
from fusepot.data.bins import prepare
from fusepot.potential import Potential, Prediction, predict_many
from fusepot.structure import FloatArray
from fusepot.units import GPA_PER_EV_PER_A3

QUANTITIES = {
    "energy": "meV/atom",
    "forces": "meV/Å",
    "stress": "GPa",
    "virial": "meV/atom",
}


@dataclass(frozen=True)
class Error:
    """Root mean square and mean absolute error over ``count`` numbers; NaN where there are none."""

    rmse: float
    mae: float
    count: int
    unit: str


@dataclass(frozen=True)
class Errors:
    """Errors over some structures.

    Attributes:
        structures: how many.
        energy: per atom, meV/atom.
        forces: over components, meV/Å.
        stress: over nine components, GPa.
        virial: dE/d(strain) over nine components, meV/atom.
        config_types: the same for each kind of structure.
    """

    structures: int
    energy: Error
    forces: Error
    stress: Error
    virial: Error
    config_types: dict[str, Errors]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types; NaN becomes None."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            return None if isinstance(value, float) and not np.isfinite(value) else value

        return {key: plain(value) for key, value in asdict(self).items()}


def evaluate(potential: Potential, dataset: Dataset) -> Errors:
    """Compare predictions with labels; missing labels are left out.

    Raises:
        InputError: an element the potential does not know.
        NonFiniteEnergy: the potential returned NaN or infinity.
    """
    return errors(dataset.samples, predict_all(potential, dataset))


def predict_all(potential: Potential, dataset: Dataset) -> list[Prediction]:
    """Predictions for all structures of a dataset, in its order; small ones are predicted together."""
    packer = prepare(
        dataset,
        cutoff=potential.cutoff,
        elements=potential.elements,
        reference_energies=potential.reference_energies,
        dtype=potential.dtype,
    )
    found: dict[int, Prediction] = {}
    for members in packer.pack(range(len(dataset))):
        structures = [dataset.samples[i].structure for i in members]
        predictions, _ = predict_many(potential, structures, at_least=packer.classes[packer.shape[members[0]]])
        found.update(zip(members, predictions, strict=True))
    return [found[i] for i in range(len(dataset))]


def errors(samples: Sequence[Labelled], predictions: Sequence[Prediction]) -> Errors:
    """Errors of predictions for these samples, overall and per ``config_type``."""
    kinds = sorted({sample.config_type for sample in samples})
    paired = list(zip(samples, predictions, strict=True))
    return _errors(paired, {kind: _errors([p for p in paired if p[0].config_type == kind], {}) for kind in kinds})


def _errors(paired: Sequence[tuple[Labelled, Prediction]], kinds: dict[str, Errors]) -> Errors:
    differences: dict[str, list[FloatArray]] = {name: [] for name in QUANTITIES}
    for sample, predicted in paired:
        atoms = len(sample.structure)
        differences["energy"].append(np.array([1e3 * (predicted.energy - sample.energy) / atoms]))
        differences["forces"].append(1e3 * (predicted.forces - sample.forces).ravel())
        differences["stress"].append(GPA_PER_EV_PER_A3 * (predicted.stress - sample.stress).ravel())
        differences["virial"].append(1e3 * (predicted.virial - sample.virial).ravel() / atoms)
    found = {}
    for name, unit in QUANTITIES.items():
        values = np.concatenate(differences[name]) if paired else np.zeros(0)
        values = values[np.isfinite(values)]
        empty = not len(values)
        rmse = float("nan") if empty else float(np.sqrt(np.mean(values**2)))
        found[name] = Error(rmse, float("nan") if empty else float(np.abs(values).mean()), len(values), unit)
    return Errors(len(paired), config_types=kinds, **found)
