"""DimeNet++ against the plain triplet version (tests/reference/triplets.py), given exact triplets for free."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.timing import Result, emit, interleaved, ratio, use_one_core

use_one_core()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from ase.build import bulk  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fusepot.gradient import energy_and_pair_gradient  # noqa: E402
from fusepot.graph import build_graph, capacity_of  # noqa: E402
from fusepot.models.dimenetpp import ARCHITECTURE, DimeNetPPConfig  # noqa: E402
from fusepot.neighbors import find_pairs  # noqa: E402
from fusepot.structure import Structure  # noqa: E402
from reference import triplets  # noqa: E402

COMMAND = "python -m benchmarks dimenetpp"
CONFIG = DimeNetPPConfig()
SEED = 20261123


def crystal(seed: int) -> Structure:
    """256 atoms of hcp titanium with thermal displacements."""
    atoms = bulk("Ti", "hcp", a=2.95, c=4.68, orthorhombic=True).repeat((4, 4, 4))
    atoms.rattle(0.1, seed=seed)
    return Structure.from_ase(atoms)


def parameters() -> dict:
    """Random parameters, the zero last layers included."""
    rng = np.random.default_rng(SEED)
    initial = ARCHITECTURE.init(CONFIG, 1, jax.random.key(SEED))
    return jax.tree.map(lambda leaf: leaf + 0.05 * rng.normal(size=leaf.shape).astype(np.float32), initial)


def triplet_energy(structure: Structure):
    """``(params, vectors) -> energies`` of the oracle with its index tables built in, and its pair vectors."""
    pairs = find_pairs(structure, CONFIG.cutoff)
    tables = {
        "centers": pairs.centers,
        "others": pairs.others,
        "species": np.zeros(len(structure), np.int32),
        "triplets": triplets.find_triplets(pairs.centers, pairs.reverse),
    }
    return (lambda params, vectors: triplets.energy(CONFIG, params, vectors, **tables)), pairs


def evaluation() -> None:
    """Energy and forces of 256 atoms."""
    params, structure = parameters(), crystal(1)
    graph = jax.tree.map(jnp.asarray, build_graph(structure, cutoff=CONFIG.cutoff, elements=["Ti"]))
    energy, pairs = triplet_energy(structure)
    vectors = jnp.asarray(pairs.vectors, jnp.float32)
    ours = jax.jit(lambda p, g: energy_and_pair_gradient("dimenet++", CONFIG, p, g))

    def with_triplets(p, v):
        (_, energies), gradient = jax.value_and_grad(lambda v: (lambda e: (e.sum(), e))(energy(p, v)), has_aux=True)(v)
        return energies, gradient

    oracle = jax.jit(with_triplets)
    a, b = ours(params, graph)[0][: len(structure)], oracle(params, vectors)[0]
    assert np.allclose(a, b, atol=2e-4), f"the two versions disagree by {np.abs(a - b).max()} eV (seed {SEED})"
    times = interleaved(
        {
            "fusepot": lambda: jax.block_until_ready(ours(params, graph)),
            "triplets": lambda: jax.block_until_ready(oracle(params, vectors)),
        },
        repetitions=25,
    )
    value, spread, words = ratio(times, "triplets", "fusepot")
    emit(Result("dimenetpp_speedup_over_triplets", value, "ratio", "at least 2", value >= 2, spread, COMMAND, words))


def mean_gradient(loss, params, batch):
    """Gradient of the mean loss, one system after the other."""
    gradients = jax.lax.map(lambda item: jax.grad(loss)(params, item), batch)
    return jax.tree.map(lambda leaf: leaf.mean(axis=0), gradients)


def training() -> None:
    """Parameter gradient of a force loss on four systems of 256 atoms, one after the other, as the trainer does."""
    params = parameters()
    structures = [crystal(seed) for seed in (1, 2, 3, 4)]
    pairs = [find_pairs(s, CONFIG.cutoff) for s in structures]
    sizes = build_graph(structures[0], cutoff=CONFIG.cutoff, elements=["Ti"])
    capacity = capacity_of(sizes)
    for structure in structures:
        graph = build_graph(structure, cutoff=CONFIG.cutoff, elements=["Ti"], at_least=capacity)
        capacity = capacity.union(capacity_of(graph))
    graphs = [build_graph(s, cutoff=CONFIG.cutoff, elements=["Ti"], at_least=capacity) for s in structures]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *graphs)

    # The oracle's tables are padded to one length by repeating a pair beyond the cutoff's reach: a masked triplet.
    tables = [triplets.find_triplets(p.centers, p.reverse) for p in pairs]
    n_pairs, n_triplets = max(map(len, pairs)), max(len(t.target) for t in tables)

    def padded(values: np.ndarray, size: int, fill: float) -> np.ndarray:
        out = np.full((size, *values.shape[1:]), fill, values.dtype)
        out[: len(values)] = values
        return out

    n_atoms = len(structures[0])
    far = np.array([CONFIG.cutoff, 0, 0], np.float32)
    vectors = np.stack([np.vstack([p.vectors.astype(np.float32), np.tile(far, (n_pairs - len(p), 1))]) for p in pairs])
    stacked = {
        "vectors": jnp.asarray(vectors),
        "centers": jnp.asarray(np.stack([padded(p.centers, n_pairs, n_atoms - 1) for p in pairs])),
        "others": jnp.asarray(np.stack([padded(p.others, n_pairs, n_atoms - 1) for p in pairs])),
        "incoming": jnp.asarray(np.stack([padded(t.incoming, n_triplets, n_pairs - 1) for t in tables])),
        "target": jnp.asarray(np.stack([padded(t.target, n_triplets, n_pairs - 1) for t in tables])),
    }
    species = np.zeros(n_atoms, np.int32)

    def ours(p, graphs):
        def one(p, graph):
            return jnp.mean(energy_and_pair_gradient("dimenet++", CONFIG, p, graph)[1] ** 2)

        return mean_gradient(one, p, graphs)

    def with_triplets(p, data):
        def one(p, row):
            def total(vectors):
                lists = triplets.Triplets(row["incoming"], row["target"])
                return triplets.energy(
                    CONFIG, p, vectors, centers=row["centers"], others=row["others"], species=species, triplets=lists
                ).sum()

            return jnp.mean(jax.grad(total)(row["vectors"]) ** 2)

        return mean_gradient(one, p, data)

    first = jax.jit(ours).lower(params, batch).compile()
    second = jax.jit(with_triplets).lower(params, stacked).compile()
    memory = [c.memory_analysis().temp_size_in_bytes / 2**20 for c in (first, second)]
    times = interleaved(
        {
            "fusepot": lambda: jax.block_until_ready(first(params, batch)),
            "triplets": lambda: jax.block_until_ready(second(params, stacked)),
        },
        repetitions=9,
    )
    value, spread, words = ratio(times, "triplets", "fusepot")
    share = memory[0] / memory[1]
    sizes = f"fusepot {memory[0]:.0f} MiB, triplets {memory[1]:.0f} MiB of XLA temporaries"
    key = "dimenetpp_training"
    emit(
        Result(f"{key}_speedup_over_triplets", value, "ratio", "at least 1.5", value >= 1.5, spread, COMMAND, words),
        Result(f"{key}_memory_over_triplets", share, "ratio", "at most 0.6", share <= 0.6, 0.0, COMMAND, sizes),
    )


if __name__ == "__main__":
    evaluation()
    training()
