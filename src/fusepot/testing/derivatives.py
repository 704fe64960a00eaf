"""Forces, virial and stress against finite differences of the energy; smoothness where a pair crosses the cutoff."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase.data import atomic_numbers

from fusepot.potential import Prediction
from fusepot.samples import spacing_of
from fusepot.structure import FloatArray, Structure
from fusepot.testing.subject import Finding, Subject, deviation, moved, worst

# Fourth-order central differences: truncation h^4, rounding 1e-15 E/h, both far below the limits.
DISPLACEMENT = 2e-4  # Å
STRAIN = 5e-5
CROSSING = 1e-5  # Å
COMPONENTS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def slope(energy: Callable[[float], float], step: float) -> float:
    """Derivative at zero by the five-point formula."""
    near, far = energy(step) - energy(-step), energy(2 * step) - energy(-2 * step)
    return (8 * near - far) / (12 * step)


def check_forces(subject: Subject, *, atoms: int = 4) -> Finding:
    """Forces on a few atoms of each structure against -dE/dr."""
    findings = [
        Finding(_force_error(subject, structure, atoms), f"{name}, relative")
        for name, structure in subject.structures.items()
    ]
    return worst(findings)


def _force_error(subject: Subject, structure: Structure, atoms: int) -> float:
    forces = subject.predict(structure).forces
    chosen = np.unique(np.linspace(0, len(structure) - 1, min(atoms, len(structure))).round().astype(int))

    def shifted(atom: int, axis: int) -> Callable[[float], float]:
        def energy(step: float) -> float:
            positions = structure.positions.copy()
            positions[atom, axis] += step
            return subject.predict(moved(structure, positions)).energy

        return energy

    numeric = [[-slope(shifted(int(a), k), DISPLACEMENT) for k in range(3)] for a in chosen]
    return deviation(forces[chosen], numeric)


def check_stress(subject: Subject) -> Finding:
    """All six components of dE/d(strain) against the virial, and stress times volume where there is a stress."""
    findings = []
    for name, structure in subject.structures.items():
        prediction = subject.predict(structure)
        numeric = np.array([_strain_derivative(subject, structure, i, j) for i, j in COMPONENTS])
        tensors = {"virial": prediction.virial}
        if structure.pbc.all():
            tensors["stress"] = prediction.stress * structure.volume
        for kind, tensor in tensors.items():
            upper = np.array([tensor[i, j] for i, j in COMPONENTS])
            lower = np.array([tensor[j, i] for i, j in COMPONENTS])
            error = max(deviation(upper, numeric), deviation(lower, numeric))
            component = ["xx", "yy", "zz", "yz", "xz", "xy"][int(np.abs(upper - numeric).argmax())]
            findings.append(Finding(error, f"{kind} {component} of {name}, relative"))
    return worst(findings)


def _strain_derivative(subject: Subject, structure: Structure, i: int, j: int) -> float:
    def energy(step: float) -> float:
        strain = np.zeros((3, 3))
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        return subject.predict(structure.strained(strain)).energy

    return slope(energy, STRAIN)


def check_energy_at_cutoff(subject: Subject) -> Finding:
    """No jump of the energy (eV) when a pair crosses the cutoff."""
    return _largest_jump(subject, lambda prediction: np.array([prediction.energy]), "eV")


def check_forces_at_cutoff(subject: Subject) -> Finding:
    """No jump of the forces (eV/Å) when a pair crosses the cutoff."""
    return _largest_jump(subject, lambda prediction: prediction.forces, "eV/Å")


def _largest_jump(subject: Subject, read: Callable[[Prediction], FloatArray], unit: str) -> Finding:
    findings = []
    for index, element in enumerate(subject.potential.elements):

        def at(distance: float, shift: int = index) -> FloatArray:
            return read(subject.predict(_leaving_atom(subject, distance, shift)))

        # Extrapolated linearly to the cutoff from either side: a kink is no jump, and curvature counts 1e-10 times.
        outside = (3 * at(CROSSING) - at(3 * CROSSING)) / 2
        inside = (3 * at(-CROSSING) - at(-3 * CROSSING)) / 2
        jump = outside - inside
        scale = max(1.0, float(np.abs(at(-CROSSING)).max()))
        findings.append(Finding(float(np.abs(jump).max()) / scale, f"{unit}, relative, {element} leaving"))
    return worst(findings)


def _leaving_atom(subject: Subject, beyond: float, shift: int) -> Structure:
    """Four atoms; the last is ``beyond`` Å past the cutoff from the first and well inside that of the others."""
    elements, cutoff = subject.potential.elements, subject.potential.cutoff
    d = min(spacing_of(elements, cutoff), 0.6 * cutoff)
    direction = np.array([0.6, 0.48, 0.64])
    last = direction * (cutoff + beyond)
    middle = direction * cutoff / 2
    aside = np.cross(direction, [0.0, 0.0, 1.0])
    aside *= np.sqrt(max(d**2 - (cutoff / 2) ** 2, (0.3 * cutoff) ** 2)) / np.linalg.norm(aside)
    upward = np.cross(direction, aside)
    positions = np.array([np.zeros(3), middle + aside, middle - 0.5 * aside + 0.8 * upward, last])
    symbols = [elements[(k + shift) % len(elements)] for k in (1, 2, 3, 0)]
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)
    return Structure(positions, numbers, np.zeros((3, 3)), np.zeros(3, dtype=bool))
