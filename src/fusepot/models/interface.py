"""What an architecture is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from pydantic import BaseModel, ConfigDict, Field

from fusepot.graph import Graph
from fusepot.native import BlockKernel

Params = Any  # a nested dict of arrays
Evaluate = Callable[[Params, Graph], tuple[jax.Array, jax.Array]]


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
        calibrate: ``(config, params, graph) -> params``, initial parameters adapted to structures to be trained on;
            None where an architecture has no use for it.
        kernel: ``config -> evaluate or None``: compiled code for the CPU with ``evaluate(params, graph) -> energies
            (atoms,), gradient (pairs, 3)``, both zero on padding, equal to what JAX makes of ``energy``; None where
            this installation or this configuration has no such code.
        block_kernel: ``(config, params, dtype) -> BlockKernel or None``: the same code with these parameters, as a
            function that LAMMPS calls without Python; for architectures of one hop only.
    """

    config: type[ModelConfig]
    init: Callable[[Any, int, jax.Array], Params]
    energy: Callable[[Any, Params, Graph], jax.Array]
    hops: Callable[[Any], int]
    calibrate: Callable[[Any, Params, Graph], Params] | None = None
    kernel: Callable[[Any], Evaluate | None] | None = None
    block_kernel: Callable[[Any, Params, str], BlockKernel | None] | None = None
