"""What physics says about labelled titanium crystals: every check returns complaints that name the ``plan_id``.

The checks hold for any part of the plan in ``examples/titanium/pbe``, but for 15 of its disordered cells whose atoms
come closer than 1.5 Å: those are no use as data. Numbers called "measured" are those of the first 161 structures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np

from fusepot.data import Labelled, load_dataset
from fusepot.structure import Structure
from fusepot.units import GPA_PER_EV_PER_A3 as GPA
from reference.crystals import contact, fingerprint, operations, symmetrised

GROUND = -6.657
"""Energy of hcp, eV per atom, with the settings of ``label_gpaw.py``."""


@dataclass(frozen=True)
class Entry:
    """A structure of the table: its number in the plan, the amplitude of its random displacements in Å, its labels."""

    plan_id: int
    rattle: float
    sample: Labelled

    @property
    def structure(self) -> Structure:
        return self.sample.structure

    @property
    def phase(self) -> str:
        return self.sample.config_type.split("_")[0]

    @property
    def energy(self) -> float:
        """EV per atom."""
        return self.sample.energy / len(self.structure)

    @property
    def volume(self) -> float:
        """Å^3 per atom."""
        return self.structure.volume / len(self.structure)

    @property
    def pressure(self) -> float:
        """GPa, compression positive."""
        return -float(np.trace(self.sample.stress)) / 3 * GPA

    def __str__(self) -> str:
        return f"plan_id {self.plan_id} ({self.sample.config_type}, rattle {self.rattle:g})"


def read_entries(path: Path | str) -> list[Entry]:
    """The structures of a table in the order of the file."""
    frames, dataset = ase.io.read(path, ":", format="extxyz"), load_dataset(path)
    return [
        Entry(int(atoms.info["plan_id"]), float(atoms.info["rattle"]), sample)
        for atoms, sample in zip(frames, dataset.samples, strict=True)
    ]


def repeated(entries: Sequence[Entry]) -> list[str]:
    """Numbers that occur twice, and structures that are one crystal in two descriptions.

    Random cells differ much more than 1e-3 Å: the closest two of the 442 planned by 0.02 Å.
    """
    complaints, prints = [], np.array([fingerprint(e.structure) for e in entries])
    for k, entry in enumerate(entries):
        for other in entries[:k]:
            if other.plan_id == entry.plan_id:
                complaints.append(f"{entry}: its number occurs twice")
        for j in np.flatnonzero(np.abs(prints[:k] - prints[k]).max(axis=1) < 1e-3):
            complaints.append(f"{entry}: the same crystal as {entries[j]}")
    return complaints


def misplaced(entries: Sequence[Entry], plan: Mapping[int, tuple[str, float, Structure]]) -> list[str]:
    """Structures out of order, or different from the plan's: (config_type, rattle, structure) by number."""
    complaints = []
    for before, entry in zip([None, *entries], entries, strict=False):
        if before and before.plan_id >= entry.plan_id:
            complaints.append(f"{entry}: comes after plan_id {before.plan_id}")
        if entry.plan_id not in plan:
            complaints.append(f"{entry}: not planned")
            continue
        kind, rattle, planned = plan[entry.plan_id]
        if (entry.sample.config_type, entry.rattle) != (kind, rattle):
            complaints.append(f"{entry}: planned as {kind}, rattle {rattle:g}")
        found = entry.structure
        if found.positions.shape != planned.positions.shape:
            complaints.append(f"{entry}: {len(found)} atoms, planned {len(planned)}")
        elif not (
            np.array_equal(found.numbers, planned.numbers)
            and np.allclose(found.positions, planned.positions, rtol=0, atol=1e-7)
            and np.allclose(found.cell, planned.cell, rtol=0, atol=1e-7)
        ):
            complaints.append(f"{entry}: atoms or cell are not where the plan has them")
    return complaints


def asymmetric(entries: Sequence[Entry]) -> list[str]:
    """Labels that break a symmetry of their structure: forces (eV/Å) and stress (GPa) must be their own average.

    Every crystal has translations, so forces add up to zero; cells of two atoms have an inversion as well; bcc and fcc
    lattices under strain have no forces at all. Measured: forces 9e-4 with rattling (then GPAW is not told about
    symmetry, and the grid breaks translations a little), 7e-5 without, sum of forces per atom 1.1e-3.
    """
    complaints = []
    for entry in entries:
        forces, stress = entry.sample.forces, entry.sample.stress
        allowed_forces, allowed_stress = symmetrised(forces, stress, operations(entry.structure))
        limit = 3e-3 if entry.rattle else 3e-4
        if np.linalg.norm(forces.sum(axis=0)) / len(forces) > limit:
            complaints.append(f"{entry}: forces add up to {forces.sum(axis=0).round(4).tolist()} eV/Å")
        if (worst := np.abs(forces - allowed_forces).max()) > limit:
            complaints.append(f"{entry}: forces {worst:.4f} eV/Å away from what symmetry allows")
        if (worst := np.abs(stress - allowed_stress).max() * GPA) > 0.02:
            complaints.append(f"{entry}: stress {worst:.3f} GPa away from what symmetry allows")
        if (worst := np.abs(stress - stress.T).max() * GPA) > 1e-6:
            complaints.append(f"{entry}: stress tensor asymmetric by {worst:.2g} GPa")
    return complaints


def repulsion(distance: float) -> tuple[float, float]:
    """Energy in eV and force in eV/Å between two titanium nuclei, screened as Ziegler, Biersack and Littmark do."""
    charge = 22.0
    scale = 0.46850 / (2 * charge**0.23)
    amplitudes = np.array([0.18175, 0.50986, 0.28022, 0.02817])
    rates = np.array([3.1998, 0.94229, 0.4029, 0.20162]) / scale
    terms = 14.399645 * charge**2 / distance * amplitudes * np.exp(-rates * distance)
    return float(terms.sum()), float((terms * (rates + 1 / distance)).sum())


def absurd(entries: Sequence[Entry]) -> list[str]:
    """Labels beyond what strain, displacements and contacts of their structure can explain.

    Distances: below 1.5 Å the PAW spheres of titanium (radii 1.1 to 1.3 Å) overlap deeply and no label is right.
    Energies above hcp: 0.6 eV/atom for the phase and strains of 8 %, 9 eV/Å^2 times the squared amplitude (three
    coordinates with a force constant of 6 eV/Å^2), and the repulsion of the closest contact shared by all atoms. Below
    hcp: at most 0.05 eV/atom, since omega is the lowest phase by about 0.01 eV.
    Forces: 1.5 eV/Å for the internal coordinates of strained cells, 15 eV/Å^2 times the amplitude, and twice the
    repulsion of the closest contact. Two atoms closer than 1.8 Å are pushed apart by a quarter to four times that.
    Pressure: that of hcp's equation of state at this volume, within 4 GPa and the thermal pressure that a Grueneisen
    constant of 3 makes of the energy. Stress: as far from its pressure as 10 GPa and the same thermal pressure.
    Measured: energies, forces, pressures and stresses stay below 0.63 of their limits.
    """
    complaints = []
    for entry in entries:
        close = contact(entry.structure)
        barrier, push = repulsion(close.distance)
        barrier, push = (0.0, 0.0) if close.distance > 2.6 else (barrier, push)
        energy = entry.energy - GROUND
        force = np.linalg.norm(entry.sample.forces, axis=1).max()
        if close.distance < 1.5:
            complaints.append(f"{entry}: atoms {close.distance:.2f} Å apart")
        if not -0.05 < energy < 0.6 + 9 * entry.rattle**2 + barrier / len(entry.structure):
            complaints.append(f"{entry}: energy {energy:.3f} eV/atom above hcp")
        if force > 1.5 + 15 * entry.rattle + 2 * push:
            complaints.append(f"{entry}: force {force:.2f} eV/Å")
        first, second = close.atoms
        apart = float((entry.sample.forces[second] - entry.sample.forces[first]) @ close.direction) / 2
        if close.distance < 1.8 and not push / 4 < apart < push * 4:
            complaints.append(f"{entry}: atoms {close.distance:.2f} Å apart repel with {apart:.2f} eV/Å")
        thermal = 3 * max(energy, 0.0) / entry.volume * GPA
        if abs(entry.pressure - hcp_pressure(entry.volume)) > 4 + thermal:
            complaints.append(f"{entry}: pressure {entry.pressure:.1f} GPa at {entry.volume:.2f} Å^3 per atom")
        deviator = np.abs(entry.sample.stress * GPA + entry.pressure * np.eye(3)).max()
        if deviator > 10 + thermal:
            complaints.append(f"{entry}: stress {deviator:.1f} GPa away from its pressure")
    return complaints


def hcp_pressure(volume: float) -> float:
    """GPa at Å^3 per atom by the third-order Birch-Murnaghan equation of PBE hcp titanium: 17.4 Å^3, 110 GPa, 3.6."""
    y = (17.4 / volume) ** (1 / 3)
    return 1.5 * 110 * (y**7 - y**5) * (1 + 0.75 * (3.6 - 4) * (y**2 - 1))
