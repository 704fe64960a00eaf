"""Energy, forces and virial by differentiating positions and strain: no formula of ``fusepot.potential`` is shared."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.gradient import precision
from fusepot.neighbors import find_pairs
from fusepot.potential import Potential
from fusepot.structure import Structure
from reference import triplets


class Oracle(NamedTuple):
    """Energies (atoms,), forces (atoms, 3), virials (systems, 3, 3) of all structures, without reference energies."""

    energies: np.ndarray
    forces: np.ndarray
    virials: np.ndarray


def dimenet(potential: Potential, structures: list[Structure]) -> Oracle:
    """Evaluate DimeNet++ with explicit triplets on several structures at once, float64."""
    found = [find_pairs(structure, potential.cutoff) for structure in structures]
    first = np.cumsum([0, *map(len, structures)])
    first_pair = np.cumsum([0, *map(len, found)])
    centers = np.concatenate([p.centers + o for p, o in zip(found, first[:-1], strict=True)])
    reverse = np.concatenate([p.reverse + o for p, o in zip(found, first_pair[:-1], strict=True)])
    tables = triplets.find_triplets(centers, reverse)
    kinds = [potential.elements.index(symbol) for structure in structures for symbol in structure.symbols]
    arrays: dict[str, Any] = {
        "centers": centers,
        "others": np.concatenate([p.others + o for p, o in zip(found, first[:-1], strict=True)]),
        "species": np.array(kinds),
        "incoming": tables.incoming,
        "target": tables.target,
        "system": np.repeat(np.arange(len(structures)), [len(p) for p in found]),
        "images": np.concatenate([p.shifts @ s.cell for p, s in zip(found, structures, strict=True)]),
    }
    positions = np.concatenate([structure.positions for structure in structures])

    def total(positions: jax.Array, strain: jax.Array, params: Any, arrays: Any) -> tuple[jax.Array, jax.Array]:
        vectors = positions[arrays["others"]] - positions[arrays["centers"]] + arrays["images"]
        vectors = vectors + jnp.einsum("pij,pj->pi", strain[arrays["system"]], vectors)
        energies = triplets.energy(
            potential.config,
            params,
            vectors,
            centers=arrays["centers"],
            others=arrays["others"],
            species=arrays["species"],
            triplets=triplets.Triplets(arrays["incoming"], arrays["target"]),
        )
        return energies.sum(), energies

    with precision("float64"):
        # Run once: compiling dominates, so no optimisation.
        quick = {"xla_backend_optimization_level": 0}
        evaluate = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True), compiler_options=quick)
        strain = np.zeros((len(structures), 3, 3))
        (_, energies), (slope, virials) = evaluate(positions, strain, potential.params, arrays)
        virials = np.asarray(virials)
        return Oracle(np.asarray(energies), -np.asarray(slope), (virials + virials.transpose(0, 2, 1)) / 2)
