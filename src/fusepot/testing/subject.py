"""What is checked: a potential, a way to evaluate it, and structures to do it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from fusepot.graph import Capacity, measure
from fusepot.neighbors import find_pairs
from fusepot.potential import Potential, Prediction
from fusepot.structure import FloatArray, Structure


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        name: what was checked.
        passed: whether ``value`` is within ``limit``.
        value: the largest deviation found; infinite where an exception came instead of a result.
        limit: the largest deviation allowed.
        detail: where it occurred, in which unit, or the exception.
    """

    name: str
    passed: bool
    value: float
    limit: float
    detail: str


class Evaluate(Protocol):
    """How to get predictions, with the signature and the meaning of ``fusepot.potential.predict_many``."""

    def __call__(
        self, potential: Potential, structures: Sequence[Structure], *, at_least: Capacity | None = None
    ) -> tuple[list[Prediction], Capacity]:
        """Predictions in the order of the structures, and the array sizes used."""


class Finding(NamedTuple):
    """A deviation and where it was found."""

    value: float
    detail: str


@dataclass(frozen=True)
class Subject:
    """A potential under test.

    Attributes:
        potential: evaluated in float64, so that limits can be tight.
        evaluate: how to get predictions.
        structures: named structures.
        capacity: array sizes in which each structure fits, so that one compilation serves them all.
    """

    potential: Potential
    evaluate: Evaluate
    structures: Mapping[str, Structure]
    capacity: Capacity

    @classmethod
    def prepare(cls, potential: Potential, structures: Mapping[str, Structure], evaluate: Evaluate) -> Subject:
        """Size the arrays for all structures, with room for the few pairs that displacements add."""
        capacity = Capacity()
        for structure in structures.values():
            need = measure([structure], [find_pairs(structure, potential.cutoff)])
            capacity = capacity.union(need._replace(pairs=need.pairs + need.pairs // 10, neighbors=need.neighbors + 2))
        return cls(potential.with_dtype("float64"), evaluate, structures, capacity.rounded())

    @property
    def large(self) -> Capacity:
        """Array sizes for checks that join structures or repeat them."""
        return Capacity(self.capacity.atoms * 3, self.capacity.pairs * 3, self.capacity.neighbors + 8, 4)

    def predict(self, structure: Structure) -> Prediction:
        """Predict one structure in float64, in the common array sizes."""
        return self.evaluate(self.potential, [structure], at_least=self.capacity)[0][0]


def deviation(value: Any, reference: Any) -> float:
    """Largest difference relative to the largest reference value, or absolute where that is below one."""
    value, reference = np.asarray(value, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if value.shape != reference.shape:
        return float("inf")
    worst = np.max(np.abs(value - reference), initial=0.0) / max(1.0, float(np.max(np.abs(reference), initial=0.0)))
    return float(worst) if np.isfinite(worst) else float("inf")


def difference(found: Prediction, expected: Prediction) -> float:
    """Largest ``deviation`` of energy, energies, forces, virial and (where there is one) stress."""
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if np.isfinite(np.asarray(b)).all()]
    return max(deviation(a, b) for a, b in pairs)


def worst(findings: Sequence[Finding]) -> Finding:
    """The finding with the largest value."""
    return max(findings, key=lambda finding: finding.value, default=Finding(0.0, "nothing to check"))


def moved(structure: Structure, positions: FloatArray) -> Structure:
    """The same atoms elsewhere."""
    return replace(structure, positions=positions)
