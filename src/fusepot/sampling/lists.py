"""The pair lists of several systems in arrays of one shape, and when they are made again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import jax
import numpy as np

from fusepot.graph import Capacity
from fusepot.potential import Potential
from fusepot.sampling.limits import SimulationDiverged
from fusepot.sampling.pair_list import PairList, pair_list
from fusepot.sampling.state import State, relisted

THICKEST = 1.6  # Å: a skin is not grown further to save rebuilding; longer lists cost as much


class Lists:
    """Pair lists of the systems that advance together.

    Attributes:
        stacked: the lists with a leading axis of systems, on the device.
    """

    def __init__(self, potential: Potential, states: Sequence[State]) -> None:
        known = [state.capacity for state in states if state.capacity is not None]
        self._potential = potential
        self._capacity = reduce(Capacity.union, known) if known else None
        self._parts: list[PairList] = []
        self.update(states, range(len(states)))

    def update(self, states: Sequence[State], which: Sequence[int]) -> None:
        """Make the lists of some systems again; of all of them where arrays must grow."""
        made: dict[int, PairList] = {}
        pending = list(which)
        while pending:
            k = pending.pop(0)
            state = states[k]
            made[k], capacity = pair_list(
                self._potential, state.reference_structure, skin=float(state.skin), at_least=self._capacity
            )
            if capacity != self._capacity:
                self._capacity = capacity
                pending = [other for other in range(len(states)) if other != k]
        self._parts = [made.get(k) or self._parts[k] for k in range(len(states))]
        self.stacked: PairList = jax.device_put(stack(self._parts))

    @property
    def sizes(self) -> np.ndarray:
        """``State.sizes``."""
        assert self._capacity is not None
        return np.array([self._capacity.pairs, self._capacity.neighbors])


def stack(trees: Sequence[Any]) -> Any:
    """Trees of arrays as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def renewed(state: State, *, system: int, cutoff: float, patience: int) -> State:
    """The state with other reference positions, after its list did not suffice for the next block.

    A list that did not last ``patience`` steps gets a thicker skin. One that did not last a single block is made
    anew around the atoms as they are, with a thicker skin.

    Raises:
        SimulationDiverged: atoms move farther in a block than any list could allow.
    """
    skin, age = float(state.skin), int(state.step - state.listed)
    if age == 0:
        skin *= 1.25
        if skin > max(cutoff, 2 * THICKEST):
            reason = f"atoms move more than {skin / 2:.2f} Å within a few steps"
            raise SimulationDiverged(reason, system=system, step=int(state.step), temperature_K=float("nan"))
        return relisted(state, leave=0.0)._replace(skin=np.array(skin))
    if age < patience:
        skin = max(skin, min(1.15 * skin, THICKEST))
    return relisted(state, leave=skin / 4)._replace(skin=np.array(skin))
