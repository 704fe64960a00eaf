"""What a simulation is not believed beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from fusepot.errors import FusepotError
from fusepot.sampling.ensembles import Ensemble


class SimulationDiverged(FusepotError):
    """A simulation went wrong; nothing of it is returned.

    Attributes:
        system: index of the state point.
        step: steps the system had made, counted from its start.
        temperature_K: its instantaneous temperature; may be NaN.
    """

    def __init__(self, reason: str, *, system: int, step: int, temperature_K: float) -> None:
        self.system, self.step, self.temperature_K = system, step, temperature_K
        super().__init__(
            f"system {system} diverged after step {step}: {reason}, at {temperature_K:.4g} K. "
            "Shorten the time step, start from a structure without close contacts, or train the potential further: "
            "it may not know such configurations."
        )


@dataclass(frozen=True)
class Limits:
    """When to give up.

    Attributes:
        temperature_K: highest instantaneous temperature; None: ten times that of the ensemble plus 5000 K.
        contact: smallest distance between two atoms, as a fraction of the sum of their covalent radii.
    """

    temperature_K: float | None = None  # noqa: N815
    contact: float = 0.4

    def hottest(self, ensemble: Ensemble) -> float:
        """Highest instantaneous temperature in K."""
        return 10 * ensemble.temperature_K + 5000 if self.temperature_K is None else self.temperature_K

    def closest(self, elements: Sequence[str]) -> np.ndarray:
        """(elements, elements) smallest distances in Å."""
        radii = covalent_radii[[atomic_numbers[symbol] for symbol in elements]]
        return self.contact * (radii[:, None] + radii)


DEFAULT_LIMITS = Limits()
