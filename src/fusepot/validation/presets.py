"""How much is computed: minutes, an hour or so, or as much as in the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar, get_args

Preset = Literal["quick", "standard", "paper"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
T = TypeVar("T")


def few(conditions: Sequence[T], preset: Preset) -> tuple[T, ...]:
    """All of the conditions; of more than two the first and the last where it has to be quick."""
    return (conditions[0], conditions[-1]) if preset == "quick" and len(conditions) > 2 else tuple(conditions)
