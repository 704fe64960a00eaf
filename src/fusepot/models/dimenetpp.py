"""DimeNet++ without triplets: exact, in memory proportional to atoms.

Architecture: Gasteiger et al., "Fast and uncertainty-aware directional message passing for non-equilibrium molecules"
(2020); hyper-parameters as Röcken & Zavadlav (2024): cutoff 5 Å, embeddings a quarter of the original's.

The published interaction sums over triplets (k -> j -> i) a message x_kj times a basis of (d_kj, angle_kji). The basis
enters through two bias-free linear layers, so the sum is linear in it and, since the angular part is a Legendre
polynomial, factorises: with ``g_l(d) = sum_n W_ln j_ln(d)`` and unit vectors u,

    x'_ji = sum_{k != i} x_kj sum_l g_l(d_kj) P_l(u_ji . u_jk)

which is, for each atom j, one small matrix product between the Gram-Legendre table of its neighbours (shared by all
blocks) and the messages weighted by g. Only k = i *in the same image* is left out: another image of the same atom is a
real neighbour.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from fusepot.graph import Graph
from fusepot.models.bases import bessel_basis, chebyshev, legendre_in_chebyshev, spherical_bessel_chebyshev
from fusepot.models.interface import Architecture, ModelConfig, Params
from fusepot.structure import FloatArray

RADIAL_TOLERANCE = {"float32": 1e-6, "float64": 1e-14}  # of the radial functions' expansion, relative
ENERGY = "_energy"  # ends the name of a last layer


@jax.checkpoint
def activation(x: jax.Array) -> jax.Array:
    """SiLU, ``x sigmoid(x)``. Recomputed in the backward pass: cheaper than the memory that saving it would move."""
    return x * (0.5 * jnp.tanh(0.5 * x) + 0.5)


class DimeNetPPConfig(ModelConfig):
    """Hyper-parameters; the defaults are the paper's (supplementary table 1)."""

    embedding_size: int = Field(default=32, gt=0, description="width of messages")
    output_embedding_size: int = Field(default=64, gt=0, description="width of the per-atom output network")
    type_embedding_size: int = Field(default=16, gt=0, description="width of the element embedding")
    angle_embedding_size: int = Field(default=16, gt=0, description="width of messages inside the angular sum")
    basis_embedding_size: int = Field(default=8, gt=0, description="width between the two basis layers")
    n_blocks: int = Field(default=4, ge=0, description="interaction blocks")
    n_radial: int = Field(default=6, gt=0, description="radial functions")
    n_spherical: int = Field(default=7, gt=1, description="spherical functions, l = 0 ... n-1")
    envelope_exponent: int = Field(default=6, gt=2, description="p of the envelope polynomial")
    n_residual_before: int = Field(default=1, ge=0, description="residual layers before the skip connection")
    n_residual_after: int = Field(default=2, ge=0, description="residual layers after the skip connection")
    n_output_layers: int = Field(default=3, ge=0, description="dense layers of the output network")


def dense(x: jax.Array, size: int, name: str, *, bias: bool = True) -> jax.Array:
    """A linear layer."""
    return hk.Linear(size, with_bias=bias, name=name)(x)


def weight(name: str, shape: tuple[int, int], dtype: Any) -> jax.Array:
    """The matrix of a bias-free layer, for layers that are multiplied together before they meet the data."""
    return hk.get_parameter(name, shape, dtype, jnp.zeros)


def activated(x: jax.Array, size: int, name: str, *, bias: bool = True) -> jax.Array:
    """A linear layer followed by the activation (SiLU)."""
    return activation(dense(x, size, name, bias=bias))


def residual(x: jax.Array, name: str) -> jax.Array:
    """``x + f(f(x))`` with two activated layers."""
    width = x.shape[-1]
    return x + activated(activated(x, width, f"{name}_1"), width, f"{name}_2")


def embed(config: DimeNetPPConfig, graph: Graph, radial: jax.Array, n_species: int) -> jax.Array:
    """Initial messages from both elements and the distance, (pairs, embedding)."""
    table = hk.get_parameter("species", (n_species, config.type_embedding_size), radial.dtype, jnp.zeros)
    width, kinds = config.embedding_size, table[graph.species]
    parts = [kinds[graph.centers], kinds[graph.others], activated(radial, width, "embed_radial")]
    return activated(jnp.concatenate(parts, axis=-1), width, "embed")


def output(config: DimeNetPPConfig, graph: Graph, messages: jax.Array, radial: jax.Array, name: str) -> jax.Array:
    """Energy contribution of each atom from the messages it receives, (atoms,)."""
    gated = messages * dense(radial, config.embedding_size, f"{name}_radial", bias=False)
    gated = jnp.where(graph.pair_mask[:, None], gated, 0)
    atoms = jax.ops.segment_sum(gated, graph.centers, len(graph.species), indices_are_sorted=True)
    atoms = dense(atoms, config.output_embedding_size, f"{name}_up", bias=False)
    for layer in range(config.n_output_layers):
        atoms = activated(atoms, config.output_embedding_size, f"{name}_dense_{layer}")
    return dense(atoms, 1, f"{name}{ENERGY}", bias=False)[:, 0]


class Angles(NamedTuple):
    """What all blocks share of the angular sum.

    Attributes:
        radial: (pairs, terms) Chebyshev polynomials of the distances, zero on padding.
        gram: (atoms, K * n_spherical, K) polynomials of the angles between neighbours k and i of an atom, rows (k, t),
            columns i, zero for k = i: of the layouts tried, the one whose product and both gradients are fast. They are
            Chebyshev polynomials T_t, cheaper than the Legendre polynomials they span; the weights absorb the change.
        source: (pairs,) where pair (i, j) reads its sum in the table of slots: at its reverse, in the row of j.
    """

    radial: jax.Array
    gram: jax.Array
    source: jax.Array


def radial_table(config: DimeNetPPConfig, dtype: Any) -> FloatArray:
    """The radial half of the spherical basis, (n_spherical, n_radial, terms) Chebyshev coefficients."""
    tolerance = RADIAL_TOLERANCE[np.dtype(dtype).name]
    return spherical_bessel_chebyshev(config.n_spherical, config.n_radial, config.envelope_exponent, tolerance)


def prepare_angles(config: DimeNetPPConfig, graph: Graph, distances: jax.Array) -> Angles:
    """Tables that depend on the geometry only."""
    n, k = graph.slots.shape
    terms = radial_table(config, distances.dtype).shape[-1]
    radial = chebyshev(2 * distances / config.cutoff - 1, terms)
    units = gather_rows(graph.vectors / distances[:, None], graph.slots)
    cosines = jnp.einsum("nkx,nix->nki", units, units)
    distinct = ~jnp.eye(k, dtype=bool)[:, None, :]

    @jax.checkpoint
    def polynomials(cosines: jax.Array) -> jax.Array:
        return jnp.where(distinct, chebyshev(cosines, config.n_spherical, axis=2), 0)

    position = jnp.full(len(distances), n * k)
    position = position.at[graph.slots.ravel()].set(jnp.arange(n * k), mode="drop", unique_indices=True)
    return Angles(
        radial=jnp.where(graph.pair_mask[:, None], radial, 0),
        gram=polynomials(cosines).reshape(n, k * config.n_spherical, k),
        source=position.at[graph.reverse].get(mode="fill", fill_value=n * k),
    )


def angular_sum(config: DimeNetPPConfig, graph: Graph, angles: Angles, messages: jax.Array, name: str) -> jax.Array:
    """x'_ji of the module's docstring from messages x_kj, (pairs, width)."""
    (n, k), width, degrees, kind = graph.slots.shape, messages.shape[-1], config.n_spherical, messages.dtype
    terms, narrow = angles.radial.shape[-1], config.basis_embedding_size
    inner = weight(f"{name}_basis_1", (degrees * config.n_radial, narrow), kind)
    mix = (inner @ weight(f"{name}_basis_2", (narrow, width), kind)).reshape(degrees, config.n_radial, width)
    scaled = jnp.asarray(radial_table(config, kind) * config.cutoff**-1.5, kind)
    to_chebyshev = jnp.asarray(legendre_in_chebyshev(degrees), kind)
    weights = jnp.einsum("lnr,lnc,lt->rtc", scaled, mix, to_chebyshev).reshape(terms, degrees * width)
    weighted = (angles.radial @ weights).reshape(-1, degrees, width) * messages[:, None, :]
    rows = gather_rows(weighted.reshape(-1, degrees * width), graph.slots)
    sums = jnp.einsum("nsi,nsc->nci", angles.gram, rows.reshape(n, k * degrees, width))
    return gather_rows(sums.transpose(0, 2, 1).reshape(n * k, width), angles.source)


def interact(
    config: DimeNetPPConfig, graph: Graph, messages: jax.Array, radial: jax.Array, angles: Angles, name: str
) -> jax.Array:
    """One interaction block: update each message from those arriving at its source atom."""
    width = config.embedding_size
    own = activated(messages, width, f"{name}_own")
    incoming = activated(messages, width, f"{name}_incoming")
    gate = weight(f"{name}_radial_1", (config.n_radial, config.basis_embedding_size), radial.dtype)
    gate = gate @ weight(f"{name}_radial_2", (config.basis_embedding_size, width), radial.dtype)
    incoming = incoming * (radial @ gate)
    incoming = activated(incoming, config.angle_embedding_size, f"{name}_down", bias=False)
    update = own + activated(angular_sum(config, graph, angles, incoming, name), width, f"{name}_up", bias=False)
    for layer in range(config.n_residual_before):
        update = residual(update, f"{name}_before_{layer}")
    messages = messages + activated(update, width, f"{name}_skip")
    for layer in range(config.n_residual_after):
        messages = residual(messages, f"{name}_after_{layer}")
    return messages


def gather_rows(values: jax.Array, index: jax.Array) -> jax.Array:
    """``values[index]`` with zeros where the index is past the end; no valid index occurs twice."""
    return values.at[index].get(mode="fill", fill_value=0, unique_indices=True)


@lru_cache(maxsize=32)
def network(config: DimeNetPPConfig, n_species: int) -> hk.Transformed:
    """The haiku transform of the whole network; ``init`` below fills its parameters."""

    def forward(graph: Graph) -> jax.Array:
        distances = jnp.sqrt(jnp.sum(graph.vectors**2, axis=-1))
        frequencies = hk.get_parameter("frequencies", (config.n_radial,), distances.dtype, jnp.zeros)
        radial = bessel_basis(distances, frequencies, config.cutoff, config.envelope_exponent)
        messages = embed(config, graph, radial, n_species)
        energies = output(config, graph, messages, radial, "output_0")
        angles = prepare_angles(config, graph, distances)
        for block in range(1, config.n_blocks + 1):
            messages = interact(config, graph, messages, radial, angles, f"block_{block}")
            energies = energies + output(config, graph, messages, radial, f"output_{block}")
        return energies

    return hk.without_apply_rng(hk.transform(forward))


def init(config: DimeNetPPConfig, n_species: int, key: jax.Array) -> Params:
    """Random parameters, float32. The last layer starts at zero, so a fresh model returns zero energy.

    haiku tells names and shapes; the values are drawn in numpy, where an orthogonal matrix needs no compilation.
    """
    pair = np.zeros(1, np.int32)
    graph = Graph(
        vectors=np.ones((1, 3), np.float32), centers=pair, others=pair, reverse=pair, pair_mask=pair == 0,
        slots=pair[None], species=pair, atom_mask=pair == 0, system=pair, volumes=np.ones(1, np.float32),
    )  # fmt: skip
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    shapes = jax.eval_shape(network(config, n_species).init, key, graph)
    return {
        module: {name: initial_value(rng, module, name, leaf.shape) for name, leaf in sorted(leaves.items())}
        for module, leaves in sorted(shapes.items())
    }


def initial_value(rng: np.random.Generator, module: str, name: str, shape: tuple[int, ...]) -> jax.Array:
    """DimeNet's initial values: orthogonal matrices of Glorot's variance, zero biases, frequencies n pi."""
    if name == "frequencies":
        value = np.pi * np.arange(1, shape[0] + 1)
    elif name == "species":
        value = rng.uniform(-np.sqrt(3), np.sqrt(3), shape)
    elif name == "b" or module.endswith(ENERGY):
        value = np.zeros(shape)
    else:
        tall = rng.normal(size=(max(shape), min(shape)))
        value, triangle = np.linalg.qr(tall)
        value = value * np.sign(np.diag(triangle))
        value = value if shape[0] >= shape[1] else value.T
        value = value * np.sqrt(2 / (sum(shape) * value.var()))
    return jnp.asarray(value, jnp.float32)


def energy(config: DimeNetPPConfig, params: Params, graph: Graph) -> jax.Array:
    """Energy of each atom in eV, (atoms,)."""
    n_species = params["~"]["species"].shape[0]
    return network(config, n_species).apply(params, graph)


ARCHITECTURE = Architecture(config=DimeNetPPConfig, init=init, energy=energy, hops=lambda config: config.n_blocks + 1)
