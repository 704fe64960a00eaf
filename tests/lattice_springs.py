"""The harmonic crystal as a potential that can be trained: parameters are stiffness and prestress of its springs.

As in ``harmonic.py``, but springs are found by their reference, the vector between lattice sites that is nearest to a
pair vector, and not by their place in a list. Besides, each spring may push: a term linear in its stretch, which on
sites where springs are in balance does nothing but add a constant stress.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import structures
from fusepot.graph import Graph
from fusepot.models import ARCHITECTURES
from fusepot.models.interface import Architecture, ModelConfig
from fusepot.neighbors import find_pairs
from fusepot.observables import elastic
from fusepot.observables.voigt import EXCHANGE, IDENTITY, PRODUCTS, to_tensor
from fusepot.potential import Potential
from fusepot.structure import FloatArray, Structure
from fusepot.units import BOLTZMANN_EV_PER_K, GPA_PER_EV_PER_A3
from harmonic import Crystal

NAME, ELEMENTS = "lattice-springs", ("Ti", "Al")
REACH, CUTOFF = 3.5, 4.4  # Å: of springs; of pairs, so that no spring is ever lost


class LatticeSpringsConfig(ModelConfig):
    """No hyper-parameters."""


def hcp(repeat: tuple[int, int, int] = (2, 2, 2)) -> Structure:
    """Hexagonal, one element on each of the two sublattices; lattice vectors enclose 120 degrees."""
    crystal = structures.hcp(repeat)
    return replace(crystal, numbers=np.where(np.arange(len(crystal)) % 2, 13, 22))


@dataclass(frozen=True)
class LatticeSprings:
    """Springs of two kinds, between atoms of the same and of different elements, on the sites of a structure."""

    structure: Structure

    def crystal(self, params: Any) -> Crystal:
        """Without what pushes."""
        return Crystal(self.structure, REACH, tuple(map(float, params["stiffness"])))

    @cached_property
    def table(self) -> tuple[FloatArray, np.ndarray, np.ndarray]:
        """Vectors between sites, the species they connect (center * 2 + other) and the kind of spring, 0 for none."""
        pairs = find_pairs(self.structure, CUTOFF + 1.5)
        species = np.array([ELEMENTS.index(symbol) for symbol in self.structure.symbols])
        codes = species[pairs.centers] * 2 + species[pairs.others]
        _, first = np.unique(np.column_stack([codes, pairs.vectors.round(6) + 0.0]), axis=0, return_index=True)
        vectors, codes = pairs.vectors[first], codes[first]
        near = np.linalg.norm(vectors, axis=1) < REACH
        return vectors, codes, np.where(near, 1 + (codes // 2 != codes % 2), 0)

    def energy(self, config: LatticeSpringsConfig, params: Any, graph: Graph) -> jax.Array:
        """``params``: stiffness (2,) in eV/Å^2, push () in eV/Å."""
        vectors, codes, kinds = self.table
        code = graph.species[graph.centers] * 2 + graph.species[graph.others]
        distance = jnp.sum((graph.vectors[:, None] - vectors) ** 2, axis=-1) + 1e6 * (code[:, None] != codes)
        nearest = jnp.argmin(jax.lax.stop_gradient(distance), axis=1)
        reference, kind = jnp.asarray(vectors, graph.vectors.dtype)[nearest], jnp.asarray(kinds)[nearest]
        length = jnp.sqrt(jnp.sum(reference**2, axis=1, keepdims=True))
        stretch = jnp.sum((graph.vectors - reference) * reference / length, axis=1)
        stiffness = jnp.concatenate([jnp.zeros(1, stretch.dtype), params["stiffness"]])[kind]
        bond = stiffness * stretch**2 / 4 + jnp.where(kind > 0, params["push"], 0) * stretch / 2
        return jax.ops.segment_sum(jnp.where(graph.pair_mask, bond, 0), graph.centers, len(graph.species))

    @contextmanager
    def registered(self) -> Iterator[None]:
        """As an architecture."""
        architecture = Architecture(LatticeSpringsConfig, lambda *_: None, self.energy, lambda config: 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(ARCHITECTURES, NAME, architecture)
            yield

    def potential(self, params: Any, *, dtype: str = "float64") -> Potential:
        """Inside ``registered``."""
        return Potential(NAME, LatticeSpringsConfig(cutoff=CUTOFF), ELEMENTS, (0.0, 0.0), params, dtype)

    def sample(self, params: Any, temperature_K: float, frames: int, *, seed: int) -> FloatArray:
        """(frames, atoms, 3) independent frames of the Boltzmann distribution, the centre of mass at rest."""
        return self.crystal(params).sample(temperature_K, frames, seed=seed).positions

    def exact(self, params: Any, temperature_K: float) -> dict[str, float]:
        """Observables, known exactly: those of ``harmonic.py`` and what a constant stress adds.

        As in ``test_elastic_harmonic.py``, one free particle too many is counted.
        """
        crystal, atoms, volume = self.crystal(params), len(self.structure), self.structure.volume
        _, _, stretch = crystal.bonds()
        stress = float(params["push"]) * stretch[:, 3 * atoms :].sum(axis=0) / 2 / volume
        one = BOLTZMANN_EV_PER_K * temperature_K / volume
        constants = crystal.constants() + one * EXCHANGE - np.einsum("abij,ij->ab", PRODUCTS, to_tensor(stress))
        slope = -BOLTZMANN_EV_PER_K / volume * IDENTITY
        adiabatic = volume * temperature_K / (BOLTZMANN_EV_PER_K * (3 * atoms - 1.5)) * np.outer(slope, slope)
        five = elastic.hexagonal(constants * GPA_PER_EV_PER_A3)
        more = elastic.hexagonal((constants + adiabatic) * GPA_PER_EV_PER_A3)
        return {
            "pressure": float(one - stress[:3].sum() / 3) * GPA_PER_EV_PER_A3,
            "energy_per_atom": 1.5 * (1 - 1 / atoms) * BOLTZMANN_EV_PER_K * temperature_K,
            **{name: float(getattr(five, name)) for name in five._fields},
            **{f"{name}_adiabatic": float(getattr(more, name)) for name in five._fields},
        }
