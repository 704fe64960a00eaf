"""Errors of a potential on labelled structures, overall and by kind of structure; whether a committee knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fusepot.committee import deviation
from fusepot.data import Dataset, Labelled
from fusepot.data.bins import prepare
from fusepot.potential import Potential, Prediction, mean, predict_members
from fusepot.structure import FloatArray
from fusepot.units import GPA_PER_EV_PER_A3

QUANTITIES = {
    "energy": "meV/atom",
    "forces": "meV/Å",
    "stress": "GPa",
    "virial": "meV/atom",
}

SYMMETRIC = 1e-3  # meV/Å: deviation and error both below it are zero but for rounding, of float32 and of data files


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


@dataclass(frozen=True)
class Uncertainty:
    """The deviation of a committee's members beside the error of their mean; NaN where there is nothing to compare.

    Atoms whose force is zero by symmetry are left out: every potential is right about them and sure of it.

    Attributes:
        deviation: of the forces (``fusepot.committee``), mean over atoms, meV/Å.
        error: length of the error of an atom's force, mean over atoms, meV/Å. About as large as the deviation where
            the truth could be one of the members; larger by what all members do wrong alike.
        correlation: Spearman's rank correlation over atoms of the two: 1 where the deviation puts atoms in the order of
            their errors, 0 where it says nothing about them.
        atoms: how many had labelled forces that are not zero by symmetry.
    """

    deviation: float
    error: float
    correlation: float
    atoms: int


def evaluate(potential: Potential, dataset: Dataset) -> Errors:
    """Compare predictions with labels; missing labels are left out.

    Raises:
        InputError: an element the potential does not know.
        NonFiniteEnergy: the potential returned NaN or infinity.
    """
    return errors(dataset.samples, predict_all(potential, dataset))


def predict_all(potential: Potential, dataset: Dataset) -> list[Prediction]:
    """Predictions for all structures of a dataset, in its order; see ``predict_all_members``."""
    return [mean(members) for members in predict_all_members(potential, dataset)]


def predict_all_members(potential: Potential, dataset: Dataset) -> list[tuple[Prediction, ...]]:
    """What each member predicts for all structures of a dataset, in its order; small ones are predicted together."""
    packer = prepare(
        dataset,
        cutoff=potential.cutoff,
        elements=potential.elements,
        reference_energies=potential.reference_energies,
        dtype=potential.dtype,
    )
    found: dict[int, tuple[Prediction, ...]] = {}
    for group in packer.pack(range(len(dataset))):
        structures = [dataset.samples[i].structure for i in group]
        predictions, _ = predict_members(potential, structures, at_least=packer.classes[packer.shape[group[0]]])
        found.update(zip(group, predictions, strict=True))
    return [found[i] for i in range(len(dataset))]


def errors(samples: Sequence[Labelled], predictions: Sequence[Prediction]) -> Errors:
    """Errors of predictions for these samples, overall and per ``config_type``."""
    kinds = sorted({sample.config_type for sample in samples})
    paired = list(zip(samples, predictions, strict=True))
    return _errors(paired, {kind: _errors([p for p in paired if p[0].config_type == kind], {}) for kind in kinds})


def uncertainty(samples: Sequence[Labelled], predictions: Sequence[Sequence[Prediction]]) -> Uncertainty:
    """Does the deviation of members tell where their mean errs? ``predictions``: of each member for each sample."""
    from scipy.stats import spearmanr  # here: slow to import, and only committees need it

    spread, wrong = [np.zeros(0)], [np.zeros(0)]
    for sample, members in zip(samples, predictions, strict=True):
        spread.append(1e3 * deviation(members).forces)
        wrong.append(1e3 * np.linalg.norm(mean(members).forces - sample.forces, axis=1))
    deviations, lengths = np.concatenate(spread), np.concatenate(wrong)
    known = np.isfinite(lengths) & np.isfinite(deviations) & (np.maximum(lengths, deviations) > SYMMETRIC)
    if not known.any():
        return Uncertainty(np.nan, np.nan, np.nan, 0)
    deviations, lengths = deviations[known], lengths[known]
    # A rank correlation needs values that differ.
    varied = np.ptp(deviations) > 0 and np.ptp(lengths) > 0
    correlation = float(spearmanr(deviations, lengths).statistic) if varied else np.nan
    return Uncertainty(float(deviations.mean()), float(lengths.mean()), correlation, len(lengths))


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
