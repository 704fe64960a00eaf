"""A potential as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress

from fusepot.committee import deviation
from fusepot.graph import Capacity
from fusepot.potential import Potential, mean, predict_members
from fusepot.potential_file import load_potential
from fusepot.structure import Structure

# Results of committees besides those ASE knows. MACE has the last one too, with this name and shape.
COMMITTEE_PROPERTIES = ("forces_deviation", "energy_deviation", "forces_comm")


class FusepotCalculator(Calculator):
    """Energy and energies per atom (eV), forces (eV/Å), stress (eV/Å^3; Voigt xx yy zz yz xz xy, tension positive).

    A committee returns the mean over its members, and in ``results`` as well ``forces_deviation``, (atoms,) in eV/Å,
    and ``energy_deviation`` in eV/atom, see ``fusepot.committee``; and ``forces_comm``, (members, atoms, 3) forces of
    each member in eV/Å. ``get_property`` reads them as it does all others.

    Array sizes are kept between calls and only ever grow, so that molecular dynamics compiles once. A structure that
    is not periodic in three directions has no stress: asking for it raises ``PropertyNotImplementedError``.

    Args:
        potential: a potential, or the path of a potential file.
        dtype: "float32" or "float64" instead of the potential's own precision.

    Raises:
        PotentialFileError: the file cannot be used.
        InputError: unknown dtype; when calculating, an element the potential does not know, or coinciding atoms.
        NonFiniteEnergy: when calculating, the potential returned NaN or infinity.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]
    # Charges and magnetic moments do not enter, so changing them keeps results valid.
    ignored_changes: ClassVar[set[str]] = {"initial_charges", "initial_magmoms"}

    def __init__(self, potential: Potential | str | Path, *, dtype: str | None = None) -> None:
        super().__init__()
        loaded = potential if isinstance(potential, Potential) else load_potential(potential)
        self.potential = loaded if dtype is None else loaded.with_dtype(dtype)
        if self.potential.members > 1:
            extended = [*type(self).implemented_properties, *COMMITTEE_PROPERTIES]
            self.implemented_properties = extended  # type: ignore[misc]
        self._capacity: Capacity | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill ``results`` with every property the structure has; called by ASE."""
        super().calculate(atoms, list(properties), list(system_changes))
        structure = Structure.from_ase(self.atoms)
        periodic = bool(structure.pbc.all())
        if "stress" in properties and not periodic:
            raise PropertyNotImplementedError(
                f"stress: got a structure with pbc {structure.pbc.tolist()}, expected one periodic in three directions."
            )
        (members,), self._capacity = predict_members(self.potential, [structure], at_least=self._capacity)
        prediction = mean(members)
        self.results: dict[str, Any] = {
            "energy": prediction.energy,
            "free_energy": prediction.energy,
            "energies": prediction.energies,
            "forces": prediction.forces,
        }
        if periodic:
            self.results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress)
        if len(members) > 1:
            spread = deviation(members)
            self.results["forces_deviation"] = spread.forces
            self.results["energy_deviation"] = spread.energy
            self.results["forces_comm"] = np.stack([member.forces for member in members])

    def export_properties(self) -> Properties:
        """The results that ASE knows: its ``Properties`` takes no others."""
        return Properties({name: value for name, value in self.results.items() if name in all_outputs})
