"""Trainers on experiment, and frames drawn at random for them where simulations are not what is tested.

For the harmonic crystal they have its exact distribution, so that errors are known and nothing has to equilibrate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import numpy as np

from fusepot.data.targets import Condition, Experiment, Target
from fusepot.potential import Potential
from fusepot.sampling import Nvt
from fusepot.structure import FloatArray, Structure
from fusepot.training.exp import ExpTrainer
from fusepot.training.experiment_sections import ExperimentSection
from lattice_springs import LatticeSprings, hcp

SEED = 17
UNITS = {"energy_per_atom": "eV", "poisson_ratio": "1", "heat_capacity": "1"}
Params = Any


def condition(temperature: float, structure: Structure, targets: dict[str, tuple[float, float]]) -> Condition:
    """Targets by name: value and weight."""
    return Condition(
        temperature,
        structure,
        tuple(
            Target(name, value, weight, UNITS.get(name, "GPa"), "a test", None)
            for name, (value, weight) in targets.items()
        ),
    )


def section(
    *, frames: int, replicas: int = 1, every: int = 1, reuse: dict[str, Any] | None = None, **changes: Any
) -> ExperimentSection:
    sampling = {"steps": frames * every, "sample_every": every, "replicas": replicas}
    sampling |= {"equilibration": 0, "relaxation": 0} | changes.pop("sampling", {})
    return ExperimentSection(path="none", epochs=1, sampling=sampling, reuse=reuse or {}, **changes)


Draw = Callable[[Potential, Structure, float, int, int], FloatArray]


@dataclass
class Drawn:
    """Instead of simulations: positions from a function of potential, structure, temperature, frames and a seed."""

    draw: Draw
    calls: list[float] = field(default_factory=list)  # the temperatures

    def __call__(
        self, potential: Potential, groups: Sequence[Any], ensembles: Sequence[Nvt], *, section: Any, **options: Any
    ) -> list[Any]:
        found = []
        for walkers, bath in zip(groups, ensembles, strict=True):
            self.calls.append(bath.temperature_K)
            arguments = walkers[0].structure, bath.temperature_K, section.frames * len(walkers), SEED + len(self.calls)
            found.append((walkers, self.draw(potential, *arguments)))
        return found


def scaled(params: Params, *factors: float) -> Params:
    """Leaf by leaf."""
    leaves, tree = jax.tree.flatten(params)
    return jax.tree.unflatten(tree, [np.asarray(leaf * f) for leaf, f in zip(leaves, factors, strict=True)])


def flat(params: Params) -> FloatArray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


# The harmonic crystal

SPRINGS = LatticeSprings(hcp())
STIFF: Params = {"push": np.array(0.1), "stiffness": np.array([1.5, 3.0])}
TEMPERATURES = (150.0, 400.0)
HARMONIC_FRAMES = 200
GOALS = ("C11", "C44", "pressure", "energy_per_atom")


def from_distribution(
    potential: Potential, structure: Structure, temperature: float, frames: int, seed: int
) -> FloatArray:
    return SPRINGS.sample(potential.params, temperature, frames, seed=seed)


@cache
def harmonic_experiment(*, off: float = 1.0) -> Experiment:
    """Targets some percent off, or a multiple; each goal contributes about as much to the loss."""
    conditions = []
    for temperature in TEMPERATURES:
        exact = SPRINGS.exact(STIFF, temperature)
        shifts = {name: 0.1 * exact[name] - 2.0 for name in GOALS[:-1]} | {GOALS[-1]: 0.3 * exact[GOALS[-1]]}
        targets = {name: (exact[name] + off * shift, shift**-2) for name, shift in shifts.items()}
        conditions.append(condition(temperature, SPRINGS.structure, targets))
    return Experiment("hexagonal", tuple(conditions), "")


def harmonic_trainer(*, off: float = 1.0, **changes: Any) -> ExpTrainer:
    own = section(frames=HARMONIC_FRAMES, **({"blocks": 10, "born_every": 5, "frames_at_once": 10} | changes))
    return ExpTrainer(SPRINGS.potential(STIFF), harmonic_experiment(off=off), own)
