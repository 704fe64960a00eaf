"""NEP potentials with random parameters that feel everything: descriptors of order one, forces of some eV/Å."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import structures
from fusepot.graph import build_graph
from fusepot.models import nep
from fusepot.models.nep import NepConfig
from fusepot.models.zbl import Zbl
from fusepot.potential import Potential

NUMBERS = {"Ti": 22, "Al": 13, "Cu": 29}


def random_nep(
    elements: tuple[str, ...] = ("Ti", "Al"), *, seed: int, dtype: str = "float64", zbl: bool = False, **hyper: Any
) -> Potential:
    """Calibrated on a rattled crystal of all elements, then every parameter moved by about 10 %.

    Calibration alone leaves the scale factors and the bias of all seeds alike; ``zbl`` acts below 2.8 Å.
    """
    repulsion = Zbl(inner=1.4, outer=2.8, numbers=tuple(NUMBERS[symbol] for symbol in elements)) if zbl else None
    config = NepConfig(zbl=repulsion, **hyper)
    rng = np.random.default_rng(seed)
    crystal = structures.bcc((3, 3, 3), rattle=0.2, seed=seed)
    numbers = rng.choice([NUMBERS[symbol] for symbol in elements], len(crystal))
    crystal = structures.Structure(crystal.positions, numbers, crystal.cell, crystal.pbc)
    graph = build_graph(crystal, cutoff=config.cutoff, elements=elements)
    params = nep.calibrate(config, nep.init(config, len(elements), jax.random.key(seed)), graph)
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    params = {name: value * (1 + 0.1 * rng.normal(size=value.shape)) for name, value in params.items()}
    params["bias"] = np.asarray(0.3)
    references = tuple(-3.0 - 0.7 * k for k in range(len(elements)))
    return Potential("nep", config, elements, references, params, dtype)
