"""Committees that tests share: members that differ enough for their deviation to be of the size of the forces."""

from __future__ import annotations

from dataclasses import replace

import potentials
from fusepot.committee import join
from fusepot.potential import Potential

ELEMENTS = ("Ti", "Al")


def lennard_jones_parts(count: int = 3, elements: tuple[str, ...] = ELEMENTS, **options: object) -> list[Potential]:
    """Lennard-Jones potentials of slightly different well depths and sizes, and with a provenance each."""
    base = potentials.lennard_jones(elements, **options)  # type: ignore[arg-type]
    epsilon, sigma = base.params["epsilon"], base.params["sigma"]
    return [
        replace(base, params={"epsilon": epsilon * (1 + 0.1 * k), "sigma": sigma * (1 - 0.02 * k**2)},
                provenance={"note": f"member {k}"})
        for k in range(count)
    ]  # fmt: skip


def lennard_jones(count: int = 3, elements: tuple[str, ...] = ELEMENTS, **options: object) -> Potential:
    return join(lennard_jones_parts(count, elements, **options))


def nep_parts(count: int = 3, elements: tuple[str, ...] = ELEMENTS, **options: object) -> list[Potential]:
    """Small NEPs with different random parameters."""
    small = {"neurons": 5, "n_max_radial": 2, "n_max_angular": 2, "l_max": 2, "cutoff": 4.5, "angular_cutoff": 4.0}
    return [potentials.nep(elements, seed=k, **(small | options)) for k in range(count)]  # type: ignore[arg-type]


def nep(count: int = 3, elements: tuple[str, ...] = ELEMENTS, **options: object) -> Potential:
    return join(nep_parts(count, elements, **options))


PARTS = {"lennard-jones": lennard_jones_parts, "nep": nep_parts}
