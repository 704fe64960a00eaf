"""Damaged potential files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fusepot.errors import PotentialFileError
from fusepot.potential_file import load_potential


def notice_flipped_bits(file: Path, *, first: Iterable[int], inside: int, last: int, seed: int) -> None:
    """Flip one bit at a time: these first bytes, ``inside`` bytes at random, the last ones; each is noticed."""
    content = file.read_bytes()
    rng = np.random.default_rng(seed)
    for position in [*first, *rng.integers(24, len(content), inside), *range(len(content) - last, len(content))]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(7))
        file.write_bytes(damaged)
        try:
            load_potential(file)
        except PotentialFileError:
            continue
        # JSON padding is the one thing that may change unnoticed: nothing is read from it.
        changed = bytes(damaged[position : position + 1]) + content[position : position + 1]
        assert not changed.strip(), f"flipped bit at byte {position} (seed {seed}) was not noticed"
