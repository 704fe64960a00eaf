"""Potential: a trained model with all it needs, and what it predicts for structures.

Forces, virial and stress come from one gradient with respect to pair vectors. With ``g_e = dE/dr_e`` for the pair
e = (i, j): force on atom i ``F_i = sum_{e of i} g_e - sum_{e to i} g_e`` and virial ``dE/d(strain) = sum_e r_e g_e``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers

from fusepot.errors import InputError, NonFiniteEnergy
from fusepot.graph import Array, Capacity, Graph, build_graph, capacity_of, species_index
from fusepot.models import ARCHITECTURES
from fusepot.models.interface import ModelConfig, Params
from fusepot.structure import FloatArray, Structure

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Potential:
    """An interatomic potential.

    Attributes:
        architecture: name in ``fusepot.models.ARCHITECTURES``.
        config: its hyper-parameters.
        elements: chemical symbols; species are indices into them.
        reference_energies: energy in eV added per atom of each element (float64, never part of the network's sums).
        params: nested dict of arrays.
        dtype: precision the model is evaluated in, "float32" or "float64".
        provenance: where it comes from (training configuration, data hashes, versions); free-form, JSON-compatible.

    Raises:
        InputError: unknown architecture, dtype or element, an element twice, or not one reference energy per element.
    """

    architecture: str
    config: ModelConfig
    elements: tuple[str, ...]
    reference_energies: tuple[float, ...]
    params: Params
    dtype: str = "float32"
    provenance: Mapping[str, Any] = field(default_factory=dict)

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

    @property
    def cutoff(self) -> float:
        """Pair cutoff in Å."""
        return self.config.cutoff

    @property
    def hops(self) -> int:
        """An atom's energy depends on atoms up to this many cutoffs away."""
        return ARCHITECTURES[self.architecture].hops(self.config)

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


def precision(dtype: str) -> Any:
    """Context manager in which jax computes in ``dtype``; float32 potentials never see float64 arrays."""
    return jax.enable_x64(dtype == "float64")


def energy_and_pair_gradient(
    architecture: str, config: ModelConfig, params: Params, graph: Graph
) -> tuple[jax.Array, jax.Array]:
    """The one derivative everything else is made of; pure, traceable.

    Returns:
        (atoms,) energies in eV, zero where ``graph.atom_mask`` is false, without reference energies;
        (pairs, 3) derivative of their sum with respect to ``graph.vectors`` in eV/Å, zero on padding.
    """
    model = ARCHITECTURES[architecture].energy

    def total(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        energies = model(config, params, graph._replace(vectors=vectors))
        energies = jnp.where(graph.atom_mask, energies, 0)
        return energies.sum(), energies

    (_, energies), gradient = jax.value_and_grad(total, has_aux=True)(graph.vectors)
    return energies, jnp.where(graph.pair_mask[:, None], gradient, 0)


def forces_and_virial(graph: Graph, gradient: Array) -> tuple[jax.Array, jax.Array]:
    """Forces (atoms, 3) in eV/Å and virials dE/d(strain) (systems, 3, 3) in eV from the pair gradient; traceable."""
    n, systems = len(graph.species), len(graph.volumes)
    forces = jax.ops.segment_sum(gradient, graph.centers, n, indices_are_sorted=True)
    forces = forces - jax.ops.segment_sum(gradient, graph.others, n)
    virial = jax.ops.segment_sum(graph.vectors[:, :, None] * gradient[:, None, :], graph.system[graph.centers], systems)
    return forces, (virial + virial.transpose(0, 2, 1)) / 2


class GraphPrediction(NamedTuple):
    """Energies (atoms,), forces (atoms, 3) and virials (systems, 3, 3) of a padded graph, without references."""

    energies: jax.Array
    forces: jax.Array
    virials: jax.Array


def predict_graph(architecture: str, config: ModelConfig, params: Params, graph: Graph) -> GraphPrediction:
    """Energies, forces and virials of a graph; pure, traceable, differentiable in ``params``."""
    energies, gradient = energy_and_pair_gradient(architecture, config, params, graph)
    return GraphPrediction(energies, *forces_and_virial(graph, gradient))


@lru_cache(maxsize=32)
def _compiled(architecture: str, config: ModelConfig) -> Callable[[Params, Graph], GraphPrediction]:
    return jax.jit(lambda params, graph: predict_graph(architecture, config, params, graph))


def cast_params(params: Params, dtype: str) -> Params:
    """Parameters as numpy arrays of ``dtype``."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype=dtype), params)


def predict(potential: Potential, structure: Structure, *, at_least: Capacity | None = None) -> Prediction:
    """Energy, forces and stress of one structure.

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
    graph = build_graph(
        structures, cutoff=potential.cutoff, elements=potential.elements, dtype=potential.dtype, at_least=at_least
    )
    with precision(potential.dtype):
        compiled = _compiled(potential.architecture, potential.config)
        raw = compiled(cast_params(potential.params, potential.dtype), graph)
        energies, forces, virials = (np.asarray(leaf, dtype=np.float64) for leaf in raw)
    predictions, start = [], 0
    for index, structure in enumerate(structures):
        rows = slice(start, start + len(structure))
        start = rows.stop
        species = species_index(structure, potential.elements)
        atoms = energies[rows] + np.asarray(potential.reference_energies)[species]
        if not (np.isfinite(atoms).all() and np.isfinite(forces[rows]).all()):
            raise NonFiniteEnergy(
                f"structure {index} ({len(structure)} atoms): the potential returned non-finite energies or forces. "
                "Look for overlapping atoms, or for a potential that did not finish training."
            )
        stress = virials[index] / structure.volume
        predictions.append(Prediction(float(atoms.sum()), atoms, forces[rows], virials[index], stress))
    return predictions, capacity_of(graph)
