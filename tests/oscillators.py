"""Independent oscillators, all averages of which are known: U = sum over particles of k/2 (x - c)^2 + zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fusepot.observables import Observable, StatePoint
from fusepot.observables.mixture import mixture_energies
from fusepot.observables.terms import ENERGY, Term
from fusepot.structure import FloatArray
from fusepot.units import BOLTZMANN_EV_PER_K

SEED = 5
STATE = StatePoint(np.float64(300.0), np.float64(170.0), np.float64(8.0))
KT = BOLTZMANN_EV_PER_K * 300.0
Values = dict[str, Any]
PARTICLES = 5


class Theta(NamedTuple):
    k: Any
    c: Any
    zero: Any = 0.0


def values_of(theta: Theta, x: Any) -> Values:
    """Terms of frames x (..., particles)."""
    energy = (theta.k * (x - theta.c) ** 2 / 2 + theta.zero).sum(axis=-1)
    mean = x.mean(axis=-1)
    return {
        "energy": energy,
        "energy_energy": energy**2,
        "square": (x**2).mean(axis=-1),
        "mean": mean,
        "mean_mean": mean**2,
    }


def sample(theta: Theta, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    return theta.c + rng.normal(size=(*shape, PARTICLES)) * np.sqrt(KT / theta.k)


def _unregistered(name: str, value: Callable[[Mapping[str, Any]], Any], *terms: str) -> Observable:
    return Observable(name, "1", (ENERGY, *(Term(t, lambda frame: frame) for t in terms)), lambda a, state: value(a))


SQUARE = _unregistered("square", lambda a: a["square"], "square")
SPREAD = _unregistered("spread", lambda a: (a["mean_mean"] - a["mean"] ** 2) * PARTICLES / KT, "mean", "mean_mean")
ENERGY_EACH = _unregistered("energy", lambda a: a["energy"] / PARTICLES)
CAPACITY = _unregistered(
    "capacity", lambda a: (a["energy_energy"] - a["energy"] ** 2) / KT**2 / PARTICLES, "energy_energy"
)
EXACT: dict[str, Callable[[Theta], Any]] = {
    "square": lambda theta: theta.c**2 + KT / theta.k,
    "spread": lambda theta: 1 / theta.k,
    "energy": lambda theta: KT / 2 + theta.zero,
    "capacity": lambda theta: 0.5 + 0 * theta.k,
}


def mixed(thetas: list[Theta], frames: int, copies: int) -> tuple[FloatArray, FloatArray]:
    """Frames (copies, K * frames, particles) of several oscillators, and energies of their mixture."""
    rng = np.random.default_rng(SEED)
    x = np.stack([sample(theta, (copies, frames), rng) for theta in thetas], axis=1)
    tables = np.stack([values_of(theta, x)["energy"] for theta in thetas], axis=1)
    mixture = np.stack([mixture_energies(table, 300.0) for table in tables])
    return x.reshape(copies, -1, PARTICLES), mixture.reshape(copies, -1)
