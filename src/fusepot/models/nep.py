"""NEP4, the neuroevolution potential (version 4), in JAX: local, fast, and the exact functional form of GPUMD.

Sources: Fan et al., PRB 104, 104309 (2021); Fan et al., J. Chem. Phys. 157, 114801 (2022), section II; GPUMD manual,
"Neuroevolution potential". With T_k the Chebyshev polynomials and x = 2 (r/rc - 1)^2 - 1:

    f_k(r)     = (T_k(x) + 1) / 2 * (1 + cos(pi r/rc)) / 2          basis functions
    g_n(r_ij)  = sum_k c[s_i, s_j, n, k] f_k(r_ij)                  s: species
    q_n        = sum_j g_n(r_ij)                                    radial descriptors
    q_nl       = (2l+1)/(4 pi) sum_jk g_n(r_ij) g_n(r_ik) P_l(cos)  angular descriptors (own set of g_n, own cutoff)
    U_i        = sum_h w1[h] tanh(sum_d w0[d, h] q_d scaler_d - b0[h]) - b1

The sum over pairs of neighbours is the square of ``A_n,lm = sum_j g_n(r_ij) C_lm(u_ij)``. Optional are one descriptor
of fourth order in the positions (``l_max`` "2" of nep.txt: the Wigner 3j coupling of three l = 2 moments, which is
proportional to tr Q^3), one of fifth order (proportional to q_n1^2), and the repulsion of Ziegler, Biersack and
Littmark (ZBL) at short distances.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field, model_validator

from fusepot.errors import InputError
from fusepot.graph import Graph
from fusepot.models.bases import chebyshev
from fusepot.models.harmonics import cubic_invariant, power_matrix, racah
from fusepot.models.interface import Architecture, ModelConfig, Params
from fusepot.models.zbl import Zbl, zbl_energy

# 3j symbol (2 2 2; 0 0 0) times three normalised Y_20 of one neighbour, over its tr Q^3 = 2/9.
FOUR_BODY = -np.sqrt(2 / 35).item() * (5 / (4 * np.pi)) ** 1.5 * 4.5
# q_1111 = 7/15 (3/(4 pi))^2 (sum_m C_1m^2)^2.
FIVE_BODY = 7 / 15 * (3 / (4 * np.pi)) ** 2


class NepConfig(ModelConfig):
    """Hyper-parameters, with the names of ``nep.in``: ``n_max`` and ``basis_size`` count from zero."""

    cutoff: float = Field(default=5.0, gt=0.0, description="cutoff of the radial descriptors in Å")
    angular_cutoff: float = Field(default=5.0, gt=0.0, description="cutoff of the angular descriptors, at most cutoff")
    n_max_radial: int = Field(default=6, ge=0, description="n_max + 1 radial descriptors")
    n_max_angular: int = Field(default=4, ge=0, description="n_max + 1 angular descriptors for each l")
    basis_size_radial: int = Field(default=8, ge=1, description="basis_size + 1 basis functions")
    basis_size_angular: int = Field(default=8, ge=1)
    l_max: int = Field(default=4, ge=1, le=4)
    four_body: bool = Field(default=True, description="the 4-body descriptors q_n,222; need l_max >= 2")
    five_body: bool = Field(default=False, description="the 5-body descriptors q_n,1111")
    neurons: int = Field(default=30, gt=0)
    zbl: Zbl | None = Field(default=None, description="screened nuclear repulsion at short distances")

    @model_validator(mode="after")
    def _consistent(self) -> NepConfig:
        if self.angular_cutoff > self.cutoff:
            raise ValueError("angular_cutoff that is at most cutoff")
        if self.four_body and self.l_max < 2:
            raise ValueError("l_max of at least 2 where four_body is used")
        if self.zbl is not None and self.zbl.outer > self.cutoff:
            raise ValueError("zbl.outer that is at most cutoff")
        return self

    @property
    def angular_sets(self) -> int:
        """Angular descriptors per n."""
        return self.l_max + self.four_body + self.five_body

    @property
    def descriptors(self) -> int:
        """Length of the descriptor vector: radial ones, then n for l = 1, for l = 2, ..., 4-body, 5-body."""
        return self.n_max_radial + 1 + self.angular_sets * (self.n_max_angular + 1)


def init(config: NepConfig, n_species: int, key: jax.Array) -> Params:
    """Random parameters for ``descriptors`` D, ``neurons`` H and S species; ``calibrate`` adapts them to structures.

    ``radial`` (S, S, n, k) and ``angular`` (S, S, n, k) expansion coefficients by species of the center and of the
    neighbour, ``scaler`` (D,), ``hidden`` (S, D, H), ``hidden_bias`` (S, H), ``output`` (S, H), ``bias`` (): eV.

    Raises:
        InputError: a ZBL term without one atomic number for each species.
    """
    if config.zbl is not None and len(config.zbl.numbers) != n_species:
        raise InputError(
            "zbl.numbers", got=config.zbl.numbers, expected=f"one atomic number for each of {n_species} elements"
        )
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())

    def normal(scale: float, *shape: int) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    def coefficients(n_max: int, basis_size: int) -> np.ndarray:
        # A smooth start: the higher the polynomial, the smaller its coefficient.
        falling = 1 / (1 + np.arange(basis_size + 1))
        shape = (n_species, n_species, n_max + 1, basis_size + 1)
        return (normal(1.0, *shape) * falling).astype(np.float32)

    d, h = config.descriptors, config.neurons
    return {
        "radial": coefficients(config.n_max_radial, config.basis_size_radial),
        "angular": coefficients(config.n_max_angular, config.basis_size_angular),
        "scaler": np.full(d, 0.1, np.float32),
        "hidden": normal(1 / np.sqrt(d).item(), n_species, d, h),
        "hidden_bias": normal(0.1, n_species, h),
        "output": normal(1 / np.sqrt(h).item(), n_species, h),
        "bias": np.zeros((), np.float32),
    }


def calibrate(config: NepConfig, params: Params, graph: Graph) -> Params:
    """Initial parameters whose hidden layer sees numbers of order one, centred, for the atoms of ``graph``.

    Without it the descriptors' large common offset would leave most neurons saturated. numpy in, numpy out.
    """
    values = jax.jit(descriptors, static_argnums=0)(config, params, graph)
    q = np.asarray(values, np.float64)[np.asarray(graph.atom_mask)]
    scaler = 1 / np.maximum(q.std(axis=0), 1e-3 * np.abs(q).max())
    center = np.einsum("d,sdh->sh", q.mean(axis=0) * scaler, params["hidden"])
    return {
        **params,
        "scaler": scaler.astype(np.float32),
        "hidden_bias": (params["hidden_bias"] + center).astype(np.float32),
    }


def basis(config: NepConfig, r: jax.Array, cutoff: float, size: int) -> jax.Array:
    """f_0 ... f_size of distances r, zero beyond the cutoff; the last axis counts k."""
    x = 2 * (r / cutoff - 1) ** 2 - 1
    envelope = jnp.where(r < cutoff, 0.25 * (1 + jnp.cos(np.pi / cutoff * r)), 0)
    return (chebyshev(x, size + 1) + 1) * envelope[..., None]


def expand(coefficients: jax.Array, functions: jax.Array, centers: jax.Array, others: jax.Array) -> jax.Array:
    """g_n of every pair: ``functions`` (N, K, k) with the coefficients of the species (N, 1) and (N, K)."""
    if coefficients.shape[:2] == (1, 1):
        return functions @ coefficients[0, 0].T
    return jnp.einsum("abk,abnk->abn", functions, coefficients[centers, others])


def descriptors(config: NepConfig, params: Params, graph: Graph) -> jax.Array:
    """The (atoms, D) descriptors before scaling."""
    slots, dtype = jnp.asarray(graph.slots), graph.vectors.dtype
    # Unused slots lie at the cutoff along x, where every function and its derivative is zero.
    fill = jnp.asarray([config.cutoff, 0, 0], dtype)
    used = slots < len(graph.vectors)
    vectors = jnp.asarray(graph.vectors).at[slots].get(mode="fill", fill_value=0, unique_indices=True)
    vectors = jnp.where(used[..., None], vectors, fill)
    others = jnp.asarray(graph.species)[jnp.asarray(graph.others).at[slots].get(mode="fill", fill_value=0)]
    centers = jnp.asarray(graph.species)[:, None]

    r = jnp.sqrt(jnp.sum(vectors**2, axis=-1))
    functions = basis(config, r, config.cutoff, config.basis_size_radial)
    radial = expand(params["radial"], functions, centers, others).sum(axis=1)

    functions = basis(config, r, config.angular_cutoff, config.basis_size_angular)
    g = expand(params["angular"], functions, centers, others)
    u = vectors / r[..., None]
    harmonics = jnp.stack(racah(u[..., 0], u[..., 1], u[..., 2], config.l_max), axis=-1)
    moments = jnp.einsum("akn,akm->anm", g, harmonics)
    angular = moments**2 @ power_matrix(config.l_max, dtype)  # (N, n, l)
    parts = [radial, angular.transpose(0, 2, 1).reshape(len(slots), -1)]
    if config.four_body:
        parts.append(FOUR_BODY * cubic_invariant(moments[..., 3:8]))
    if config.five_body:
        parts.append(FIVE_BODY * jnp.sum(moments[..., :3] ** 2, axis=-1) ** 2)
    return jnp.concatenate(parts, axis=-1)


def energy(config: NepConfig, params: Params, graph: Graph) -> jax.Array:
    """(atoms,) energies in eV."""
    q = descriptors(config, params, graph) * params["scaler"]
    hidden = jnp.tanh(jnp.einsum("ad,sdh->sah", q, params["hidden"]) - params["hidden_bias"][:, None])
    by_species = jnp.einsum("sah,sh->as", hidden, params["output"])
    energies = jnp.take_along_axis(by_species, graph.species[:, None], axis=1)[:, 0] - params["bias"]
    if config.zbl is not None:
        energies = energies + zbl_energy(config.zbl, graph)
    return energies


ARCHITECTURE = Architecture(config=NepConfig, init=init, energy=energy, hops=lambda config: 1, calibrate=calibrate)
