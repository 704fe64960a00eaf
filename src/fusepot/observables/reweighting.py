"""Ensemble averages of one potential from frames sampled with another, differentiable.

Equation 3 of Röcken & Zavadlav, npj Comput. Mater. 10, 69 (2024), the reweighting of DiffTRe (Thaler & Zavadlav, Nat.
Commun. 12, 6884 (2021)):

    <O> = sum_i w_i O_i,    w_i ~ exp(-(U_i - U_ref,i) / kT)

For frames at constant pressure the weights are the same: the cell is part of the frame and p V cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fusepot.graph import Array
from fusepot.observables.terms import Series, require_float64
from fusepot.units import BOLTZMANN_EV_PER_K


class Weights(NamedTuple):
    """Weights of frames.

    Attributes:
        values: (frames,) positive, their sum is one.
        entropic: effective number of frames exp(-sum w ln w), DiffTRe's; between 1 and their number.
        kish: effective number of frames 1 / sum w^2 (Kish 1965); at most ``entropic``.
    """

    values: Array
    entropic: Array
    kish: Array


def reweight(reference_energies: Array, new_energies: Array, temperature_K: Array | float) -> Weights:
    """Weights that turn averages of the sampled potential into averages of the new one; traceable.

    Args:
        reference_energies: (frames,) potential energies in eV of the potential that sampled, computed as
            ``new_energies`` are (same precision, same sums): their difference is what counts. A constant shift of
            either is irrelevant. ``jax.lax.stop_gradient(new_energies)`` gives equal weights and their gradient.
        new_energies: (frames,) of the potential whose averages are wanted; gradients flow through them.
        temperature_K: of the frames.

    Raises:
        InputError: jax is limited to float32.
    """
    require_float64("reweight")
    exponents = (jnp.asarray(reference_energies) - new_energies) / (BOLTZMANN_EV_PER_K * temperature_K)
    logarithms = jax.nn.log_softmax(exponents)
    weights = jnp.exp(logarithms)
    # 0 ln 0 = 0, also for its gradient: a weight may underflow.
    entropy = -jnp.sum(weights * jnp.where(weights > 0, logarithms, 0))
    return Weights(weights, jnp.exp(entropy), 1 / jnp.sum(weights**2))


def equal_weights(frames: int) -> Array:
    """(frames,) weights of a trajectory of the potential itself."""
    return jnp.full(frames, 1 / frames)


def average(series: Mapping[str, Series], weights: Array) -> dict[str, jax.Array]:
    """The weighted average of each term; one known on some frames only uses these frames' weights. Traceable."""
    require_float64("average")
    averages = {}
    for name, (values, frames) in series.items():
        w = jnp.asarray(weights)[frames]
        averages[name] = jnp.tensordot(w / w.sum(), values, axes=1)
    return averages
