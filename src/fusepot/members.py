"""The parameters of several members in one tree: every leaf stacked along a leading axis of their number.

One member is not stacked, so that single potentials are what they always were. Only the functions here know of the
difference; everyone else gets results with a leading axis of members, also where it has length one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import numpy as np

from fusepot.models.interface import Params

Result = TypeVar("Result")


def stack(parts: Sequence[Params]) -> Params:
    """The parameters of a committee from those of its members, which have the same names and shapes."""
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: np.stack(leaves), *parts)


def unstack(params: Params, *, members: int) -> list[Params]:
    """Inverse of ``stack``."""
    if members == 1:
        return [params]
    return [jax.tree.map(lambda leaf, k=k: np.asarray(leaf)[k], params) for k in range(members)]


def each_member(evaluate: Callable[[Params], Result], params: Params, *, members: int) -> Result:
    """``evaluate`` of every member's parameters in one vectorised pass; traceable.

    What ``evaluate`` computes from other things than the parameters is computed once for all members.

    Returns:
        What ``evaluate`` returns, each array with a leading axis of length ``members``.
    """
    if members == 1:
        return jax.tree.map(lambda leaf: leaf[None], evaluate(params))
    return jax.vmap(evaluate)(params)
