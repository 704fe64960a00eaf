"""DimeNet++ with explicit triplets, written plainly from the papers: the oracle for ``fusepot.models.dimenetpp``.

It shares the parameters (a haiku dict) and nothing else: angles through arccos, spherical Bessel functions by their
recurrence, Legendre polynomials in closed form, one row per triplet (k -> j -> i) with (k, S) different from (i, S').
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import spherical_jn


class Triplets(NamedTuple):
    """Index tables: pair ``incoming`` = (j <- k) acts on pair ``target`` = (i <- j)."""

    incoming: np.ndarray
    target: np.ndarray


def find_triplets(centers: np.ndarray, reverse: np.ndarray) -> Triplets:
    """Every triplet of a pair list without padding, sorted by target."""
    rows: dict[int, list[int]] = {}
    for pair, center in enumerate(centers):
        rows.setdefault(int(center), []).append(pair)
    found = [
        (incoming, target)
        for target in range(len(centers))
        for incoming in rows[int(centers[reverse[target]])]
        if incoming != reverse[target]
    ]
    incoming, target = np.array(found, dtype=np.int32).reshape(-1, 2).T
    return Triplets(incoming, target)


def bessel_zeros(n_spherical: int, n_radial: int) -> np.ndarray:
    """Zeros of the spherical Bessel functions by scanning for sign changes."""
    grid = np.linspace(0.5, 60.0, 6000)
    table = np.zeros((n_spherical, n_radial))
    for degree in range(n_spherical):
        value = spherical_jn(degree, grid)
        changes = np.nonzero(value[:-1] * value[1:] < 0)[0][:n_radial]
        table[degree] = [
            brentq(lambda z, n=degree: spherical_jn(n, z), grid[c], grid[c + 1], xtol=1e-14) for c in changes
        ]
    return table


def spherical_bessel(x: jax.Array, count: int) -> list[jax.Array]:
    """j_0 ... j_{count-1} by upward recurrence."""
    rows = [jnp.sin(x) / x, jnp.sin(x) / x**2 - jnp.cos(x) / x]
    for n in range(1, count - 1):
        rows.append((2 * n + 1) / x * rows[-1] - rows[-2])
    return rows[:count]


LEGENDRE = [
    lambda x: jnp.ones_like(x),
    lambda x: x,
    lambda x: (3 * x**2 - 1) / 2,
    lambda x: (5 * x**3 - 3 * x) / 2,
    lambda x: (35 * x**4 - 30 * x**2 + 3) / 8,
    lambda x: (63 * x**5 - 70 * x**3 + 15 * x) / 8,
    lambda x: (231 * x**6 - 315 * x**4 + 105 * x**2 - 5) / 16,
]


def energy(
    config: Any,
    params: dict[str, dict[str, jax.Array]],
    vectors: jax.Array,
    *,
    centers: np.ndarray,
    others: np.ndarray,
    species: np.ndarray,
    triplets: Triplets,
) -> jax.Array:
    """Energy of each atom, (atoms,), without padding anywhere."""
    loose, cutoff, p = params["~"], config.cutoff, config.envelope_exponent

    def layer(name: str, x: jax.Array) -> jax.Array:
        return x @ params[name]["w"] + params[name].get("b", 0.0)

    def active(name: str, x: jax.Array) -> jax.Array:
        value = layer(name, x)
        return value / (1 + jnp.exp(-value))

    def residual(name: str, x: jax.Array) -> jax.Array:
        return x + active(f"{name}_2", active(f"{name}_1", x))

    def envelope(x: jax.Array) -> jax.Array:
        return 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)

    distances = jnp.linalg.norm(vectors, axis=1)
    x = distances / cutoff
    radial = (envelope(x) / distances * np.sqrt(2 / cutoff))[:, None] * jnp.sin(x[:, None] * loose["frequencies"])

    zeros = bessel_zeros(config.n_spherical, config.n_radial)
    norms = np.sqrt(2 / cutoff**3) / np.abs(spherical_jn(np.arange(config.n_spherical)[:, None] + 1, zeros))
    of_distance = jnp.stack(
        [
            jnp.stack([spherical_bessel(zeros[degree, n] * x, degree + 2)[degree] for n in range(config.n_radial)], -1)
            for degree in range(config.n_spherical)
        ],
        axis=1,
    )
    of_distance = of_distance * norms * envelope(x)[:, None, None]
    to_source, from_source = -vectors[triplets.target], vectors[triplets.incoming]
    cosine = jnp.sum(to_source * from_source, -1) / (distances[triplets.target] * distances[triplets.incoming])
    harmonics = jnp.stack(
        [np.sqrt((2 * n + 1) / (4 * np.pi)) * LEGENDRE[n](cosine) for n in range(config.n_spherical)], axis=-1
    )
    spherical = (of_distance[triplets.incoming] * harmonics[:, :, None]).reshape(len(cosine), -1)

    def output(name: str, messages: jax.Array) -> jax.Array:
        atoms = jax.ops.segment_sum(messages * layer(f"{name}_radial", radial), centers, len(species))
        atoms = layer(f"{name}_up", atoms)
        for index in range(config.n_output_layers):
            atoms = active(f"{name}_dense_{index}", atoms)
        return layer(f"{name}_energy", atoms)[:, 0]

    kinds = loose["species"][species]
    messages = active("embed", jnp.concatenate([kinds[centers], kinds[others], active("embed_radial", radial)], -1))
    energies = output("output_0", messages)
    for block in range(1, config.n_blocks + 1):
        name = f"block_{block}"
        own, incoming = active(f"{name}_own", messages), active(f"{name}_incoming", messages)
        incoming = incoming * (radial @ loose[f"{name}_radial_1"] @ loose[f"{name}_radial_2"])
        incoming = active(f"{name}_down", incoming)
        basis = spherical @ loose[f"{name}_basis_1"] @ loose[f"{name}_basis_2"]
        angular = jax.ops.segment_sum(
            incoming[triplets.incoming] * basis, triplets.target, len(centers), indices_are_sorted=True
        )
        update = own + active(f"{name}_up", angular)
        for index in range(config.n_residual_before):
            update = residual(f"{name}_before_{index}", update)
        messages = messages + active(f"{name}_skip", update)
        for index in range(config.n_residual_after):
            messages = residual(f"{name}_after_{index}", messages)
        energies = energies + output(f"output_{block}", messages)
    return energies
