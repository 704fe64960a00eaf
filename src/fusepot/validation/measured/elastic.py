"""Measured elastic constants, and the moduli that follow from them as in the paper, by source and temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fusepot.data.experiment import Measurement
from fusepot.gradient import precision
from fusepot.observables import moduli
from fusepot.observables.elastic import Cubic, Hexagonal, cubic_matrix, hexagonal_matrix
from fusepot.validation.interface import Curve

# Of the rows, and of fusepot.observables.
MODULI = {"K": "bulk_modulus", "G": "shear_modulus", "Poisson's ratio": "poisson_ratio"}


class Measured(NamedTuple):
    """Attributes: ``source``; ``values`` in GPa by "C11", ..., "K", "G", and "Poisson's ratio"."""

    source: str
    values: Mapping[str, float]


def constants_of(symmetry: str) -> tuple[str, ...]:
    """The independent constants of a "hexagonal" or "cubic" crystal."""
    return Hexagonal._fields if symmetry == "hexagonal" else Cubic._fields


def measured_at(table: Sequence[Measurement], symmetry: str, temperature_K: float) -> list[Measured]:
    """What each source says, in the table's order; linear between its temperatures, and silent beyond them."""
    found = []
    for source, (temperatures, constants) in _by_source(table, symmetry).items():
        if temperatures[0] <= temperature_K <= temperatures[-1]:
            values = {name: float(np.interp(temperature_K, temperatures, column)) for name, column in constants.items()}
            found.append(Measured(source, values | _moduli(values, symmetry)))
    return found


def other_sources(table: Sequence[Measurement], symmetry: str, temperature_K: float) -> str:
    """A sentence on the measurements that the first one is preferred to; empty if there are none."""
    others = [
        f"{source}: " + ", ".join(f"{name} {values[name]:g}" for name in constants_of(symmetry)) + " GPa"
        for source, values in measured_at(table, symmetry, temperature_K)[1:]
    ]
    return f"Also measured at {temperature_K:g} K: {'; '.join(others)}." if others else ""


def reference_curves(table: Sequence[Measurement], symmetry: str, quantity: str) -> list[Curve]:
    """A quantity against temperature, one curve for each source."""
    sources = _by_source(table, symmetry)
    curves = []
    for source, (temperatures, constants) in sources.items():
        sets = [{name: float(column[k]) for name, column in constants.items()} for k in range(len(temperatures))]
        values = np.array([(one | _moduli(one, symmetry))[quantity] for one in sets])
        label = "experiment" if len(sources) == 1 else f"experiment ({source})"
        curves.append(Curve(label, np.array(temperatures), values, style="reference"))
    return curves


def _by_source(table: Sequence[Measurement], symmetry: str) -> dict[str, tuple[list[float], dict[str, list[float]]]]:
    """Rising temperatures at which a source has all constants, and these."""
    names = constants_of(symmetry)
    known: dict[str, dict[float, dict[str, float]]] = {}
    for m in table:
        if m.quantity in names and not m.excluded:
            known.setdefault(m.source, {}).setdefault(m.temperature_K, {})[m.quantity] = m.value
    found = {}
    for source, rows in known.items():
        whole = sorted(kelvin for kelvin, row in rows.items() if len(row) == len(names))
        if whole:
            found[source] = (whole, {name: [rows[kelvin][name] for kelvin in whole] for name in names})
    return found


def _moduli(values: Mapping[str, float], symmetry: str) -> dict[str, float]:
    given = [values[name] for name in constants_of(symmetry)]
    with precision("float64"):
        matrix = hexagonal_matrix(Hexagonal(*given)) if symmetry == "hexagonal" else cubic_matrix(Cubic(*given))
        bulk, shear = (voigt := moduli.voigt(matrix))
        return dict(zip(MODULI, (float(bulk), float(shear), float(voigt.poisson)), strict=True))
