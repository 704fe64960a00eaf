"""The one derivative everything else is made of, and the engines that compute it.

Forces, virial and stress come from one gradient with respect to pair vectors. With ``g_e = dE/dr_e`` for the pair
e = (i, j): force on atom i ``F_i = sum_{e of i} g_e - sum_{e to i} g_e`` and virial ``dE/d(strain) = sum_e r_e g_e``.

Engine "xla" is the architecture's ``energy`` differentiated by JAX. Engine "auto" runs the architecture's compiled
kernel on a CPU where this installation has one, and is "xla" elsewhere; its derivatives are always those of "xla".
"""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from fusepot.graph import Array, Graph
from fusepot.models import ARCHITECTURES
from fusepot.models.interface import Evaluate, ModelConfig, Params

Engine = Literal["auto", "xla"]
ENGINE_VARIABLE = "FUSEPOT_ENGINE"  # "xla" in the environment turns kernels off


def precision(dtype: str) -> Any:
    """Context manager in which jax computes in ``dtype``; float32 potentials never see float64 arrays."""
    return jax.enable_x64(dtype == "float64")


def kernel_of(architecture: str, config: ModelConfig) -> Evaluate | None:
    """The compiled kernel that engine "auto" uses on a CPU, None where there is none or the environment forbids it."""
    make = ARCHITECTURES[architecture].kernel
    return None if make is None or os.environ.get(ENGINE_VARIABLE) == "xla" else make(config)


def energy_and_pair_gradient(
    architecture: str, config: ModelConfig, params: Params, graph: Graph, *, engine: Engine = "xla"
) -> tuple[jax.Array, jax.Array]:
    """Energies and the derivative of their sum; pure, traceable, differentiable.

    Args:
        architecture: name in ``fusepot.models.ARCHITECTURES``.
        config: its hyper-parameters.
        params: its parameters, in the dtype of ``graph.vectors``.
        graph: the pairs.
        engine: see the head of this module.

    Returns:
        (atoms,) energies in eV, zero where ``graph.atom_mask`` is false, without reference energies;
        (pairs, 3) derivative of their sum with respect to ``graph.vectors`` in eV/Å, zero on padding.
    """
    kernel = kernel_of(architecture, config) if engine == "auto" else None
    if kernel is None:
        return _by_xla(architecture, config, params, graph)

    def xla(params: Params, graph: Graph) -> tuple[jax.Array, jax.Array]:
        return _by_xla(architecture, config, params, graph)

    @jax.custom_jvp
    def evaluate(params: Params, graph: Graph) -> tuple[jax.Array, jax.Array]:
        return jax.lax.platform_dependent(params, graph, cpu=kernel, default=xla)

    evaluate.defjvp(lambda primals, tangents: jax.jvp(xla, primals, tangents))
    return evaluate(params, graph)


def _by_xla(architecture: str, config: ModelConfig, params: Params, graph: Graph) -> tuple[jax.Array, jax.Array]:
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


def predict_graph(
    architecture: str, config: ModelConfig, params: Params, graph: Graph, *, engine: Engine = "xla"
) -> GraphPrediction:
    """Energies, forces and virials of a graph; pure, traceable, differentiable in ``params``."""
    energies, gradient = energy_and_pair_gradient(architecture, config, params, graph, engine=engine)
    return GraphPrediction(energies, *forces_and_virial(graph, gradient))
