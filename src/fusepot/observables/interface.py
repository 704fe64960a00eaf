"""What an observable is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import jax

from fusepot.observables.elastic import StatePoint
from fusepot.observables.terms import Term

Averages = Mapping[str, jax.Array]


@dataclass(frozen=True)
class Observable:
    """A quantity that follows from ensemble averages.

    Attributes:
        name: as experiment files call it; ``SYMMETRY.NAME`` where a crystal symmetry is made use of.
        unit: of its value.
        terms: the per-frame quantities whose averages it needs.
        value: from the averages by term name and the state point to an array; traceable, differentiable.
        shape: of the value; an experiment file can name those of shape (), single numbers.
        fixed_cell: whether it holds at constant volume only.
    """

    name: str
    unit: str
    terms: tuple[Term, ...]
    value: Callable[[Averages, StatePoint], jax.Array]
    shape: tuple[int, ...] = ()
    fixed_cell: bool = False


def terms_of(observables: Iterable[Observable]) -> frozenset[Term]:
    """Every term that some of the observables need."""
    return frozenset(term for observable in observables for term in observable.terms)
