"""Elastic constants and moduli in GPa; ``fusepot.observables.elastic`` says what exactly they are.

Isothermal thermodynamic (Brugger) constants, which are stress-strain coefficients where the pressure is zero. The same
names followed by ``_adiabatic`` are adiabatic: what ultrasound measures, if the crystal is classical. Moduli are
Voigt's, as in the paper. ``elastic_constants`` is the whole (6, 6) matrix.

Names that begin with ``hexagonal.`` or ``cubic.`` make use of the symmetry, with axes as in ``elastic.hexagonal`` and
``elastic.cubic``: stress fluctuations are averaged over what it makes equal, and the Born term, which hardly
fluctuates, is evaluated for three or two strains instead of six.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax

from fusepot.observables import elastic, moduli
from fusepot.observables.elastic import Cubic, Hexagonal, StatePoint
from fusepot.observables.interface import Averages, Observable
from fusepot.observables.terms import (
    BORN,
    ENERGY,
    ENERGY_ENERGY,
    ENERGY_STRESS,
    STRESS,
    STRESS_STRESS,
    Snapshot,
    Term,
)
from fusepot.units import GPA_PER_EV_PER_A3


def born_hexagonal(frame: Snapshot) -> jax.Array:
    """(6, 6) in eV/Å^3 from strains xx, zz and yz; its average is the Born term's of a hexagonal crystal."""
    xx, zz, yz = frame.born((0, 2, 3))
    return elastic.hexagonal_matrix(Hexagonal(xx[0], xx[1], (xx[2] + zz[0] + zz[1]) / 3, zz[2], yz[3]))


def born_cubic(frame: Snapshot) -> jax.Array:
    """(6, 6) in eV/Å^3 from strains xx and yz; its average is the Born term's of a cubic crystal."""
    xx, yz = frame.born((0, 3))
    return elastic.cubic_matrix(Cubic(xx[0], (xx[1] + xx[2]) / 2, yz[3]))


@dataclass(frozen=True)
class Family:
    """How to get the (6, 6) matrix, and which constants there are."""

    prefix: str
    born: Term
    symmetrise: Callable[[jax.Array], jax.Array]
    constants: tuple[str, ...] = ()

    def matrix(self, averages: Averages, state: StatePoint, *, adiabatic: bool) -> jax.Array:
        """(6, 6) in GPa."""
        terms = (averages[self.born.name], averages["stress"], averages["stress_stress"])
        constants = elastic.isothermal(*terms, state)
        if adiabatic:
            constants = constants + elastic.adiabatic_change(elastic.thermal(averages, state), state)
        return self.symmetrise(constants) * GPA_PER_EV_PER_A3

    def observable(self, name: str, pick: Callable[[jax.Array], jax.Array], *, adiabatic: bool) -> Observable:
        """One observable: a function of the matrix."""
        terms: tuple[Term, ...] = (self.born, STRESS, STRESS_STRESS)
        terms += (ENERGY, ENERGY_ENERGY, ENERGY_STRESS) if adiabatic else ()

        def value(averages: Averages, state: StatePoint) -> jax.Array:
            return pick(self.matrix(averages, state, adiabatic=adiabatic))

        unit, shape = "1" if "ratio" in name else "GPa", (6, 6) if name == "elastic_constants" else ()
        name = f"{self.prefix}{name}{'_adiabatic' if adiabatic else ''}"
        return Observable(name, unit, terms, value, shape=shape, fixed_cell=True)

    def observables(self) -> list[Observable]:
        """All of the family."""
        picks: dict[str, Callable[[jax.Array], jax.Array]] = {
            "elastic_constants": lambda c: c,
            "bulk_modulus": lambda c: moduli.voigt(c).bulk,
            "shear_modulus": lambda c: moduli.voigt(c).shear,
            "poisson_ratio": lambda c: moduli.voigt(c).poisson,
        }
        for name in self.constants:  # "C13" is row 1, column 3 of the symmetrised matrix
            picks[name] = _component(int(name[1]) - 1, int(name[2]) - 1)
        return [self.observable(name, pick, adiabatic=kind) for kind in (False, True) for name, pick in picks.items()]


def _component(row: int, column: int) -> Callable[[jax.Array], jax.Array]:
    return lambda c: c[row, column]


FAMILIES = (
    Family("", BORN, lambda c: c),
    Family(
        "hexagonal.",
        Term("born_hexagonal", born_hexagonal, sparse=True),
        lambda c: elastic.hexagonal_matrix(elastic.hexagonal(c)),
        Hexagonal._fields,
    ),
    Family(
        "cubic.",
        Term("born_cubic", born_cubic, sparse=True),
        lambda c: elastic.cubic_matrix(elastic.cubic(c)),
        Cubic._fields,
    ),
)
OBSERVABLES = tuple(observable for family in FAMILIES for observable in family.observables())
