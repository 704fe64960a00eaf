"""What must not change: order of atoms, orientation, choice of cell; and what must add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fusepot.potential import Prediction
from fusepot.samples import chain, rotation
from fusepot.structure import Structure
from fusepot.testing.subject import Finding, Subject, deviation, difference, moved, worst


def check_permutation(subject: Subject) -> Finding:
    """Reordered atoms: same energy; energies and forces reordered alike."""
    findings = []
    for name, structure in subject.structures.items():
        order = np.random.default_rng(11).permutation(len(structure))
        found = subject.predict(
            replace(structure, positions=structure.positions[order], numbers=structure.numbers[order])
        )
        before = subject.predict(structure)
        expected = before._replace(energies=before.energies[order], forces=before.forces[order])
        findings.append(Finding(difference(found, expected), f"{name}, relative"))
    return worst(findings)


def check_rotation(subject: Subject) -> Finding:
    """Rotated atoms and cell: same energies; forces and stress rotate along. A reflection as well."""
    findings = []
    for name, structure in subject.structures.items():
        before = subject.predict(structure)
        for kind, matrix in (("rotated", rotation()), ("reflected", -rotation(seed=5))):
            turned = replace(structure, positions=structure.positions @ matrix.T, cell=structure.cell @ matrix.T)
            expected = before._replace(
                forces=before.forces @ matrix.T,
                virial=matrix @ before.virial @ matrix.T,
                stress=matrix @ before.stress @ matrix.T,
            )
            findings.append(Finding(difference(subject.predict(turned), expected), f"{name} {kind}, relative"))
    return worst(findings)


def check_translation(subject: Subject) -> Finding:
    """All atoms moved together, and single atoms moved by lattice vectors: nothing changes."""
    findings = []
    for name, structure in subject.structures.items():
        before = subject.predict(structure)
        steps = np.random.default_rng(12).integers(-2, 3, (len(structure), 3)) * structure.pbc
        together = moved(structure, structure.positions + np.array([0.7, -13.1, 5.3]))
        apart = moved(structure, structure.positions + steps @ structure.cell)
        findings.append(Finding(difference(subject.predict(together), before), f"{name} moved, relative"))
        findings.append(Finding(difference(subject.predict(apart), before), f"{name}, lattice vectors, relative"))
    return worst(findings)


def check_extensivity(subject: Subject) -> Finding:
    """Twice the cell (or, where nothing repeats, a distant copy): twice the energy, same forces and stress."""
    findings = []
    for name, structure in subject.structures.items():
        before = subject.predict(structure)
        found = subject.evaluate(subject.potential, [_doubled(structure, subject)], at_least=subject.large)[0][0]
        expected = Prediction(
            energy=2 * before.energy,
            energies=np.tile(before.energies, 2),
            forces=np.tile(before.forces, (2, 1)),
            virial=2 * before.virial,
            stress=before.stress,
        )
        findings.append(Finding(difference(found, expected), f"{name} doubled, relative"))
    return worst(findings)


def _doubled(structure: Structure, subject: Subject) -> Structure:
    cell = structure.cell.copy()
    if structure.pbc.any():
        axis = int(np.flatnonzero(structure.pbc)[0])
        offset = cell[axis].copy()
        cell[axis] *= 2
    else:
        extent = np.ptp(structure.positions[:, 0])
        offset = np.array([extent + 1.5 * subject.potential.cutoff, 0.0, 0.0])
    positions = np.concatenate([structure.positions, structure.positions + offset])
    return Structure(positions, np.tile(structure.numbers, 2), cell, structure.pbc)


def check_balance(subject: Subject) -> Finding:
    """Energies add up to the energy; forces and, without periodicity, torques add up to zero."""
    findings = []
    for name, structure in subject.structures.items():
        found = subject.predict(structure)
        scale = max(1.0, float(np.abs(found.forces).max()))
        findings.append(Finding(deviation(found.energies.sum(), found.energy), f"sum of energies in {name}"))
        findings.append(Finding(deviation(found.forces.sum(axis=0) / scale, np.zeros(3)), f"net force in {name}"))
        if not structure.pbc.any():
            arms = structure.positions - structure.positions.mean(axis=0)
            torque = np.cross(arms, found.forces).sum(axis=0) / scale
            findings.append(Finding(deviation(torque, np.zeros(3)), f"net torque in {name}"))
    return worst(findings)


def check_locality(subject: Subject) -> Finding:
    """An atom's energy does not feel atoms further than ``hops`` neighbours away; LAMMPS ghosts rely on it."""
    potential = subject.potential
    structure = chain(potential.elements, potential.cutoff, length=potential.hops + 3)
    positions = structure.positions.copy()
    positions[potential.hops + 1 :] += [0.05, 0.1, -0.07]
    before, after = subject.predict(structure), subject.predict(moved(structure, positions))
    change = float(abs(after.energies[0] - before.energies[0]))
    return Finding(change, f"eV, after moving atoms {potential.hops + 1} neighbours away")
