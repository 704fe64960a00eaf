"""Potentials that tests share: random parameters with no layer left at zero."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from fusepot import samples
from fusepot.gradient import precision
from fusepot.graph import build_graph
from fusepot.models import ARCHITECTURES
from fusepot.models.interface import ModelConfig
from fusepot.potential import Potential


def random_params(architecture: str, config: ModelConfig, n_species: int, *, seed: int = 0) -> Any:
    """Random parameters in the architecture's shapes, float64, scaled so that activations stay of order one.

    ``init`` leaves the last layer at zero, which would hide mistakes.
    """
    shapes = ARCHITECTURES[architecture].init(config, n_species, jax.random.key(0))
    rng = np.random.default_rng(seed)

    def draw(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        if path[-1].key == "frequencies":
            return np.pi * np.arange(1, leaf.shape[0] + 1) * (1 + 0.01 * rng.normal(size=leaf.shape))
        fan_in = leaf.shape[0] if len(leaf.shape) > 1 else 10
        return rng.normal(size=leaf.shape) / np.sqrt(fan_in)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def lennard_jones(elements: tuple[str, ...] = ("Ti",), *, cutoff: float = 5.0, dtype: str = "float64") -> Potential:
    """Lennard-Jones with different parameters for each pair of elements."""
    n = len(elements)
    i, j = np.meshgrid(np.arange(n), np.arange(n))
    params = {"epsilon": 0.4 + 0.07 * (i + j), "sigma": 2.6 - 0.11 * (i + j) + 0.05 * i * j}
    config = ARCHITECTURES["lennard-jones"].config(cutoff=cutoff)
    return Potential("lennard-jones", config, elements, tuple(-1.0 - 0.5 * np.arange(n)), params, dtype)


def dimenet(elements: tuple[str, ...] = ("Ti",), *, seed: int = 0, dtype: str = "float64", **hyper: Any) -> Potential:
    """DimeNet++ with random parameters, small by default: 2 blocks, few and narrow layers, quick to compile."""
    small = {"n_blocks": 2, "embedding_size": 12, "output_embedding_size": 16, "type_embedding_size": 6}
    small |= {"n_residual_after": 1, "n_output_layers": 1}
    config = ARCHITECTURES["dimenet++"].config(**(small | hyper))
    params = random_params("dimenet++", config, len(elements), seed=seed)
    return Potential("dimenet++", config, elements, tuple(-3.0 - np.arange(len(elements))), params, dtype)


def nep(elements: tuple[str, ...] = ("Ti",), *, seed: int = 0, dtype: str = "float64", **hyper: Any) -> Potential:
    """NEP with random parameters, small by default, adapted to rattled structures: forces are of the order of 1 eV/Å.

    Some of the structures have surfaces: a NEP that has seen none is so steep there that float32 keeps few digits.
    """
    architecture, rng = ARCHITECTURES["nep"], np.random.default_rng(seed)
    config = architecture.config(**({"neurons": 10, "n_max_radial": 4, "n_max_angular": 3} | hyper))
    assert architecture.calibrate is not None
    with precision("float64"):
        params = architecture.init(config, len(elements), jax.random.key(seed))
        params = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape), params)
        systems = [
            samples.rattled(elements, config.cutoff, side=3, amplitude=0.2),
            samples.slab(elements, config.cutoff),
            samples.cluster(elements, config.cutoff),
        ]
        graph = build_graph(systems, cutoff=config.cutoff, elements=elements, dtype="float64")
        params = architecture.calibrate(config, params, graph)
    params = {name: np.asarray(leaf, np.float64) for name, leaf in params.items()} | {"bias": np.array(0.37)}
    return Potential("nep", config, elements, tuple(-3.0 - np.arange(len(elements))), params, dtype)


def potential_of(architecture: str, elements: tuple[str, ...] = ("Ti", "Al")) -> Potential:
    """A test potential of any architecture, for tests that run over all of them."""
    if architecture == "dimenet++":
        return dimenet(elements)
    if architecture == "nep":
        return nep(elements)
    if architecture == "lennard-jones":
        return lennard_jones(elements)
    config = ARCHITECTURES[architecture].config()
    params = random_params(architecture, config, len(elements))
    return Potential(architecture, config, elements, (0.0,) * len(elements), params, "float64")
