"""The universal screened nuclear repulsion of Ziegler, Biersack and Littmark, switched off smoothly.

Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Matter (1985); the rounded constants are those of the
GPUMD manual, so that files agree with it. With a = 0.46848 Å / (Z_i^0.23 + Z_j^0.23) and phi the sum of exponentials:

    U_ij = k Z_i Z_j / r phi(r/a) s(r),   s = 1 below inner, (1 + cos(pi (r - inner)/(outer - inner))) / 2 up to outer
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusepot.graph import Graph

COULOMB = 14.399645  # e^2 / (4 pi epsilon_0) in eV Å
INVERSE_LENGTH = 2.134563  # 1/Å
AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
RATES = (3.1998, 0.94229, 0.4029, 0.20162)


class Zbl(BaseModel):
    """Where the repulsion acts and between which nuclei."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inner: float = Field(ge=0.0, description="full repulsion below this distance in Å")
    outer: float = Field(gt=0.0, description="none beyond this distance in Å; at most the cutoff")
    numbers: tuple[int, ...] = Field(min_length=1, description="atomic number of each element of the potential")

    @model_validator(mode="after")
    def _consistent(self) -> Zbl:
        if self.inner >= self.outer:
            raise ValueError("inner that is below outer")
        if min(self.numbers) < 1:
            raise ValueError("numbers that are atomic numbers")
        return self


def zbl_energy(zbl: Zbl, graph: Graph) -> jax.Array:
    """Half of each pair's repulsion goes to its center; (atoms,) in eV."""
    charges = jnp.asarray(zbl.numbers, graph.vectors.dtype)
    zi, zj = charges[graph.species[graph.centers]], charges[graph.species[graph.others]]
    r = jnp.sqrt(jnp.sum(graph.vectors**2, axis=-1))
    x = r * INVERSE_LENGTH * (zi**0.23 + zj**0.23)
    screening = sum(a * jnp.exp(-b * x) for a, b in zip(AMPLITUDES, RATES, strict=True))
    fraction = jnp.clip((r - zbl.inner) / (zbl.outer - zbl.inner), 0, 1)
    pair = COULOMB * zi * zj / r * screening * (1 + jnp.cos(np.pi * fraction)) / 2
    bond = jnp.where(graph.pair_mask, pair / 2, 0)
    return jax.ops.segment_sum(bond, graph.centers, len(graph.species), indices_are_sorted=True)
