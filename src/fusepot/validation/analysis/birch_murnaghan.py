"""Energies against volume, and the Birch-Murnaghan curve through them."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from ase.eos import EquationOfState

from fusepot.structure import FloatArray
from fusepot.units import GPA_PER_EV_PER_A3
from fusepot.validation.interface import RunFailed

# A fit sees volumes within the first of these fractions of that of the lowest energy that has enough points: the
# farther away, the worse the equation (at 20 % the energy of a titanium potential is 0.3 meV/atom off, at 10 % 0.1).
NEAR = (0.1, 0.2)
LEAST = 5  # points for its four parameters


class Fit(NamedTuple):
    """Volume per atom (Å^3), energy per atom (eV) and bulk modulus (GPa) at the minimum of a Birch-Murnaghan curve."""

    volume: float
    energy: float
    bulk_modulus: float


class Points(NamedTuple):
    """Volumes (n,) in Å^3 per atom, ascending, and energies (n,) in eV per atom."""

    volumes: FloatArray
    energies: FloatArray


def fit_minimum(points: Points) -> Fit:
    """The minimum of a Birch-Murnaghan curve through points near the lowest one.

    Raises:
        RunFailed: the lowest point is the first or the last one, there are too few, or no curve fits.
    """
    lowest = int(np.argmin(points.energies))
    if lowest in (0, len(points.energies) - 1):
        raise RunFailed("no minimum within the range of volumes")
    distance = np.abs(points.volumes / points.volumes[lowest] - 1)
    near = next((distance <= limit for limit in NEAR if (distance <= limit).sum() >= LEAST), None)
    if near is None:
        raise RunFailed(f"fewer than {LEAST} points within {100 * NEAR[-1]:g} % of the minimum, too few for a fit")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of scipy: the covariance could not be estimated
            curve = EquationOfState(points.volumes[near], points.energies[near], eos="birchmurnaghan")
            volume, energy, modulus = curve.fit()
    except (RuntimeError, ValueError, Warning) as error:
        raise RunFailed(f"no Birch-Murnaghan curve fits: {error}") from error
    return Fit(float(volume), float(energy), float(modulus) * GPA_PER_EV_PER_A3)


def fit_or_reason(points: Points) -> Fit | str:
    """``fit_minimum``, or why there is none."""
    try:
        return fit_minimum(points)
    except RunFailed as failure:
        return str(failure)
