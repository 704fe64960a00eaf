"""The loss of the DFT trainer: equation 1 of Röcken & Zavadlav, npj Comput. Mater. 10, 69 (2024).

For structure i with n_i atoms, predicted minus labelled:

    l_i = w_E (dE_i/n_i)^2 + w_F/(3 n_i) sum_jk dF_ijk^2 + w_V/9 sum_kl (dV_ikl/n_i)^2 + w_S/9 sum_kl dS_ikl^2

and the loss is the mean of c_i l_i, where c_i is the weight of the structure and a missing label contributes nothing.
V = dE/d(strain) in eV, S = V/volume in eV/Å^3.

Two departures from the paper. Energies and virials are divided by the number of atoms: the paper's cells all have
256 atoms, and for cells of mixed sizes a squared error per cell would train on the large ones only. A stress term is
offered besides the virial term. (The printed equation has V_ikk in the force term, a misprint for F_ijk.)

The paper's weights are 1e-6 (kJ/mol)^-2, 1e-2 (kJ/mol/nm)^-2 and 4e-6 (kJ/mol)^-2 for cells of 256 atoms. In our
units, with 1 eV = 96.485 kJ/mol:

    w_E = 1e-6 (96.485 * 256)^2 = 610 per (eV/atom)^2
    w_F = 1e-2 (964.85)^2       = 9309 per (eV/Å)^2
    w_V = 4e-6 (96.485 * 256)^2 = 2440 per (eV/atom)^2

or 0.0655 : 1 : 0.262. Only their ratios matter to Adam. The virial term is for uniformly deformed cells only: other
structures come without that label (``fusepot.data.npy``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.data.bins import Bin
from fusepot.gradient import predict_graph
from fusepot.models.interface import ModelConfig, Params
from fusepot.training.sections import LossSection

Array = Any


class Sums(NamedTuple):
    """Sums over structures, from which a loss and root mean square errors follow.

    Attributes:
        loss: sum of weighted losses.
        structures: how many structures.
        energy, forces, virial: summed squared errors in (eV/atom)^2, (eV/Å)^2, (eV/atom)^2, unweighted.
        n_energy, n_forces, n_virial: how many numbers were compared.
    """

    loss: Array
    structures: Array
    energy: Array
    n_energy: Array
    forces: Array
    n_forces: Array
    virial: Array
    n_virial: Array


def no_sums(dtype: str) -> Sums:
    """Sums over nothing."""
    return Sums(*(np.zeros((), dtype) for _ in Sums._fields))


def bin_loss(
    architecture: str, config: ModelConfig, weights: LossSection, params: Params, batch: Bin
) -> tuple[jax.Array, Sums]:
    """Sum of the weighted losses of the structures in a bin, and the sums it is made of; pure, traceable.

    Bins can be split and joined at will: the sum of their losses and of its gradients stays the same.
    """
    graph, n = batch.graph, batch.atoms
    systems = len(n)
    predicted = predict_graph(architecture, config, params, graph)
    energy = jax.ops.segment_sum(predicted.energies, graph.system, systems) / n
    energy_error = jnp.where(batch.has_energy, (energy - batch.energy) ** 2, 0)
    force_error = jnp.where(graph.atom_mask, jnp.sum((predicted.forces - batch.forces) ** 2, axis=-1), 0)
    force_error = jnp.where(batch.has_forces, jax.ops.segment_sum(force_error, graph.system, systems), 0)
    difference = jnp.where(batch.has_virial[:, None, None], predicted.virials / n[:, None, None] - batch.virial, 0)
    virial_error = jnp.sum(difference**2, axis=(1, 2))
    density = jnp.where(batch.has_virial, n / jnp.where(batch.has_virial, graph.volumes, 1), 0)
    loss = (
        weights.energy * energy_error
        + weights.forces * force_error / (3 * n)
        + (weights.virial + weights.stress * density**2) * virial_error / 9
    )
    total = jnp.sum(batch.weight * loss)
    real = batch.index >= 0
    counts = (batch.has_energy, jnp.where(batch.has_forces, 3 * n, 0), 9 * batch.has_virial)
    sums = Sums(
        total,
        jnp.sum(real).astype(total.dtype),
        jnp.sum(energy_error),
        jnp.sum(counts[0]).astype(total.dtype),
        jnp.sum(force_error),
        jnp.sum(counts[1]).astype(total.dtype),
        jnp.sum(virial_error),
        jnp.sum(counts[2]).astype(total.dtype),
    )
    return total, sums


def errors_of(sums: Sums) -> dict[str, float]:
    """Mean loss and RMSE of energy (meV/atom), forces (meV/Å) and virial (meV/atom); NaN where nothing was compared."""

    def rmse(total: Any, count: Any) -> float:
        return 1e3 * float(np.sqrt(float(total) / float(count))) if float(count) else float("nan")

    return {
        "loss": float(sums.loss) / float(sums.structures),
        "energy_rmse_meV_per_atom": rmse(sums.energy, sums.n_energy),
        "forces_rmse_meV_per_A": rmse(sums.forces, sums.n_forces),
        "virial_rmse_meV_per_atom": rmse(sums.virial, sums.n_virial),
    }
