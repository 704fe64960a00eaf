"""What an architecture is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from pydantic import BaseModel, ConfigDict, Field

from fusepot.graph import Graph

Params = Any  # a nested dict of arrays


class ModelConfig(BaseModel):
    """Hyper-parameters every architecture has; frozen and hashable, so that compiled code is shared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff: float = Field(default=5.0, gt=0.0, description="pair cutoff in Å")


@dataclass(frozen=True)
class Architecture:
    """A named model.

    Attributes:
        config: class of its hyper-parameters.
        init: ``(config, n_species, key) -> params``, random initial parameters (float32).
        energy: ``(config, params, graph) -> (atoms,)`` energies in eV, in the dtype of ``graph.vectors``. It reads
            pairs only through the graph's vectors and indices and is smooth when a pair crosses the cutoff.
        hops: ``config -> n``: an atom's energy depends on atoms up to n cutoffs away through chains of n pairs.
    """

    config: type[ModelConfig]
    init: Callable[[Any, int, jax.Array], Params]
    energy: Callable[[Any, Params, Graph], jax.Array]
    hops: Callable[[Any], int]
