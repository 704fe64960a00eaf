"""Labels that cannot be right: found before training, named by file and index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusepot.data.dataset import Labelled
from fusepot.errors import DataError
from fusepot.structure import FloatArray


@dataclass(frozen=True)
class Limits:
    """What is taken to be absurd. Units mixed up (Hartree, kJ/mol, GPa, kbar) exceed these by far.

    Attributes:
        force: largest force on an atom, eV/Å.
        net_force: largest sum of all forces divided by the number of atoms, eV/Å.
        energy: largest deviation from the energies of all others after subtracting energies per element, eV per atom;
            at least 20 robust standard deviations in any case.
        stress: largest component, eV/Å^3.
        asymmetry: largest difference of two off-diagonal components of a stress, eV/Å^3.
    """

    force: float = 100.0
    net_force: float = 0.02
    energy: float = 5.0
    stress: float = 5.0
    asymmetry: float = 1e-3


def check(samples: Sequence[Labelled], *, source: str, limits: Limits | None = None) -> None:
    """Refuse absurd labels.

    Args:
        samples: the structures, in the order of the file.
        source: name of the file for the message.
        limits: see ``Limits``.

    Raises:
        DataError: names the file, the index of the structure (from 0) and its ``config_type``.
    """
    limits = limits or Limits()
    for index, sample in enumerate(samples):
        problem = _absurd(sample, limits)
        if problem:
            raise DataError(
                f"{source}: structure {index} (config_type {sample.config_type})",
                got=problem[0],
                expected=problem[1],
                remedy="Check its units and whether the calculation converged, or remove it.",
            )
    deviation = energy_deviations(samples)
    known = np.isfinite(deviation)
    if not known.any():
        return
    spread = 1.4826 * np.median(np.abs(deviation[known]))
    limit = max(limits.energy, 20 * spread)
    worst = int(np.nanargmax(np.abs(deviation)))
    if abs(deviation[worst]) > limit:
        raise DataError(
            f"{source}: structure {worst} (config_type {samples[worst].config_type})",
            got=f"an energy {deviation[worst]:+.3f} eV/atom away from the other structures",
            expected=f"at most {limit:.3f} eV/atom",
            remedy="Check its units and whether the calculation converged, or remove it.",
        )


def _absurd(sample: Labelled, limits: Limits) -> tuple[str, str] | None:
    """What is absurd about one structure and what would not be."""
    _, has_forces, has_stress = sample.has
    if has_forces:
        size = np.linalg.norm(sample.forces, axis=1)
        net = float(np.linalg.norm(sample.forces.sum(axis=0)) / len(size))
        if size.max() > limits.force:
            return f"a force of {size.max():.4g} eV/Å on atom {size.argmax()}", f"at most {limits.force:g} eV/Å"
        if net > limits.net_force:
            return (
                f"forces that add up to {net:.4g} eV/Å per atom",
                f"at most {limits.net_force:g}: without an external field they add up to zero",
            )
    if has_stress:
        asymmetry = float(np.abs(sample.stress - sample.stress.T).max())
        if asymmetry > limits.asymmetry:
            return f"a stress whose off-diagonal components differ by {asymmetry:.4g} eV/Å^3", "a symmetric tensor"
        if np.abs(sample.stress).max() > limits.stress:
            return (
                f"a stress of {np.abs(sample.stress).max():.4g} eV/Å^3",
                f"at most {limits.stress:g} eV/Å^3 ({limits.stress * 160.2:.0f} GPa)",
            )
    return None


def energy_deviations(samples: Sequence[Labelled]) -> FloatArray:
    """Energies per atom in eV after subtracting energies per element fitted robustly; NaN where unknown, (samples,).

    Least absolute deviations by reweighted least squares: a few absurd energies do not move the fit.
    """
    numbers = sorted({int(z) for sample in samples for z in np.unique(sample.structure.numbers)})
    counts = np.array([[(s.structure.numbers == z).sum() for z in numbers] for s in samples], dtype=np.float64)
    atoms = counts.sum(axis=1)
    energies = np.array([s.energy for s in samples]) / atoms
    fractions = counts / atoms[:, None]
    known = np.isfinite(energies)
    weights = known.astype(np.float64)
    targets = np.where(known, energies, 0.0)
    for _ in range(50):
        root = np.sqrt(weights)
        solution = np.linalg.lstsq(fractions * root[:, None], targets * root, rcond=None)[0]
        residual = energies - fractions @ solution
        weights = np.where(known, 1 / np.maximum(np.abs(residual), 1e-6), 0.0)
    return residual
