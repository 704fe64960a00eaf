"""Potential: a trained model with all it needs, and what it predicts for structures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from ase.data import atomic_numbers

from fusepot.errors import InputError, NonFiniteEnergy
from fusepot.gradient import GraphPrediction, precision
from fusepot.graph import Capacity, Graph, build_graph, capacity_of, species_index
from fusepot.model import Model
from fusepot.models import ARCHITECTURES
from fusepot.models.interface import ModelConfig, Params
from fusepot.structure import FloatArray, Structure

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Potential:
    """An interatomic potential, or a committee of several that differ in their parameters only.

    A committee predicts the mean over its members, whose forces are the derivative of the mean energy.

    Attributes:
        architecture: name in ``fusepot.models.ARCHITECTURES``.
        config: its hyper-parameters.
        elements: chemical symbols; species are indices into them.
        reference_energies: energy in eV added per atom of each element (float64, never part of the network's sums).
        params: nested dict of arrays; those of several members are stacked along a leading axis, see
            ``fusepot.members``.
        dtype: precision the model is evaluated in, "float32" or "float64".
        provenance: where it comes from (training configuration, data hashes, versions); free-form, JSON-compatible.
        members: how many; ``fusepot.committee.join`` makes a committee.

    Raises:
        InputError: unknown architecture, dtype or element, an element twice, not one reference energy per element, or
            no member.
    """

    architecture: str
    config: ModelConfig
    elements: tuple[str, ...]
    reference_energies: tuple[float, ...]
    params: Params
    dtype: str = "float32"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    members: int = 1

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise InputError("architecture", got=self.architecture, expected=f"one of {', '.join(ARCHITECTURES)}")
        if unknown := [symbol for symbol in self.elements if symbol not in atomic_numbers]:
            raise InputError("elements", got=unknown[0], expected="chemical symbols")
        if len(set(self.elements)) < len(self.elements):
            raise InputError("elements", got=", ".join(self.elements), expected="each element once")
        if self.dtype not in DTYPES:
            raise InputError("dtype", got=self.dtype, expected=f"one of {', '.join(DTYPES)}")
        if not self.elements or len(self.elements) != len(self.reference_energies):
            raise InputError(
                "reference_energies",
                got=f"{len(self.reference_energies)} for {len(self.elements)} elements",
                expected="one energy per element, at least one element",
            )
        if not isinstance(self.members, int) or self.members < 1:
            raise InputError("members", got=repr(self.members), expected="a positive whole number")

    @property
    def cutoff(self) -> float:
        """Pair cutoff in Å."""
        return self.config.cutoff

    @property
    def hops(self) -> int:
        """An atom's energy depends on atoms up to this many cutoffs away."""
        return ARCHITECTURES[self.architecture].hops(self.config)

    @property
    def model(self) -> Model:
        """All but parameters and what belongs to elements: what compiled code depends on."""
        return Model(self.architecture, self.config, self.dtype, self.members)

    def with_dtype(self, dtype: str) -> Potential:
        """The same potential evaluated in another precision."""
        return replace(self, dtype=dtype)


class Prediction(NamedTuple):
    """What a potential says about one structure; numpy, float64.

    Attributes:
        energy: total energy in eV, reference energies included.
        energies: (atoms,) energy of each atom in eV.
        forces: (atoms, 3) in eV/Å.
        virial: (3, 3) dE/d(strain) in eV, symmetric.
        stress: (3, 3) virial / volume in eV/Å^3, tension positive; NaN unless periodic in three directions.
    """

    energy: float
    energies: FloatArray
    forces: FloatArray
    virial: FloatArray
    stress: FloatArray


@lru_cache(maxsize=32)
def _compiled(model: Model) -> Callable[[Params, Graph], GraphPrediction]:
    return jax.jit(partial(model.predictions, engine="auto"))


def cast_params(params: Params, dtype: str) -> Params:
    """Parameters as numpy arrays of ``dtype``."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype=dtype), params)


def predict(potential: Potential, structure: Structure, *, at_least: Capacity | None = None) -> Prediction:
    """Energy, forces and stress of one structure; of a committee the mean.

    Args:
        potential: the potential.
        structure: any periodicity, any cell.
        at_least: array sizes to reuse between calls (``predict_many`` returns them); they grow where too small.

    Raises:
        InputError: an element the potential does not know, or coinciding atoms.
        NonFiniteEnergy: the potential returned NaN or infinity.
    """
    return predict_many(potential, [structure], at_least=at_least)[0][0]


def predict_many(
    potential: Potential, structures: Sequence[Structure], *, at_least: Capacity | None = None
) -> tuple[list[Prediction], Capacity]:
    """Predict several structures as one graph; also returns the array sizes used. See ``predict``."""
    found, capacity = predict_members(potential, structures, at_least=at_least)
    return [mean(members) for members in found], capacity


def mean(predictions: Sequence[Prediction]) -> Prediction:
    """The mean of predictions for one structure; a single one as it is."""
    if len(predictions) == 1:
        return predictions[0]
    energies, *others = (np.mean(values, axis=0) for values in list(zip(*predictions, strict=True))[1:])
    return Prediction(float(np.mean([p.energy for p in predictions])), energies, *others)


def predict_members(
    potential: Potential, structures: Sequence[Structure], *, at_least: Capacity | None = None
) -> tuple[list[tuple[Prediction, ...]], Capacity]:
    """What each member predicts, all of them in one pass; otherwise as ``predict_many``.

    Returns:
        For each structure one prediction per member, and the array sizes used.
    """
    graph = build_graph(
        structures, cutoff=potential.cutoff, elements=potential.elements, dtype=potential.dtype, at_least=at_least
    )
    with precision(potential.dtype):
        raw = _compiled(potential.model)(cast_params(potential.params, potential.dtype), graph)
        energies, forces, virials = (np.asarray(leaf, dtype=np.float64) for leaf in raw)
    predictions, start = [], 0
    for index, structure in enumerate(structures):
        rows = slice(start, start + len(structure))
        start = rows.stop
        species = species_index(structure, potential.elements)
        atoms = energies[:, rows] + np.asarray(potential.reference_energies)[species]
        finite = [
            bool(np.isfinite(e).all() and np.isfinite(f).all()) for e, f in zip(atoms, forces[:, rows], strict=True)
        ]
        if not all(finite):
            who = "the potential" if len(finite) == 1 else f"member {finite.index(False) + 1} of {len(finite)}"
            raise NonFiniteEnergy(
                f"structure {index} ({len(structure)} atoms): {who} returned non-finite energies or forces. "
                "Look for overlapping atoms, or for a potential that did not finish training."
            )
        parts = zip(atoms, forces[:, rows], virials[:, index], strict=True)
        predictions.append(tuple(Prediction(float(e.sum()), e, f, v, v / structure.volume) for e, f, v in parts))
    return predictions, capacity_of(graph)
