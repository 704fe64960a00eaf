"""The 12-6 Lennard-Jones pair potential: an analytic architecture that LAMMPS and ASE have as well.

It exercises every part of the chain against an independent implementation, for several species.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from pydantic import Field

from fusepot.graph import Graph
from fusepot.models.interface import Architecture, ModelConfig, Params


class LennardJonesConfig(ModelConfig):
    """Truncated and shifted to zero energy at the cutoff, as ``pair_style lj/cut`` with ``pair_modify shift yes``."""

    epsilon: float = Field(default=0.4, gt=0.0, description="initial well depth in eV")
    sigma: float = Field(default=2.6, gt=0.0, description="initial zero crossing in Å")


def init(config: LennardJonesConfig, n_species: int, key: jax.Array) -> Params:
    """Symmetric (species, species) tables ``epsilon`` (eV) and ``sigma`` (Å), spread by up to 10 % so pairs differ."""
    spread = jax.random.uniform(key, (2, n_species, n_species), minval=0.9, maxval=1.1)
    spread = (spread + spread.transpose(0, 2, 1)) / 2
    return {"epsilon": config.epsilon * spread[0], "sigma": config.sigma * spread[1]}


def energy(config: LennardJonesConfig, params: Params, graph: Graph) -> jax.Array:
    """Half of each pair's energy goes to its center; (atoms,) in eV."""
    kinds = (graph.species[graph.centers], graph.species[graph.others])
    epsilon, sigma = params["epsilon"][kinds], params["sigma"][kinds]

    def pair(squared: jax.Array) -> jax.Array:
        attraction = (sigma**2 / squared) ** 3
        return 4 * epsilon * (attraction**2 - attraction)

    squared = jnp.sum(graph.vectors**2, axis=-1)
    bond = jnp.where(graph.pair_mask, (pair(squared) - pair(jnp.full_like(squared, config.cutoff**2))) / 2, 0)
    return jax.ops.segment_sum(bond, graph.centers, len(graph.species), indices_are_sorted=True)


ARCHITECTURE = Architecture(config=LennardJonesConfig, init=init, energy=energy, hops=lambda config: 1)
