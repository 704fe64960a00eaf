"""Small deterministic structures that hold every element of a potential: for self-tests and conformance checks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from fusepot.structure import FloatArray, Structure

SKEW = np.array([[1.0, 0.0, 0.0], [0.13, 1.04, 0.0], [-0.09, 0.21, 0.95]])


def spacing_of(elements: Sequence[str], cutoff: float) -> float:
    """A plausible distance between neighbours in Å, and well inside the cutoff: twice the mean covalent radius."""
    return float(min(2.1 * np.mean([covalent_radii[atomic_numbers[e]] for e in elements]), 0.75 * cutoff))


def rattled(
    elements: Sequence[str], cutoff: float, *, side: int = 2, amplitude: float = 0.12, seed: int = 1
) -> Structure:
    """A skewed cell of side^3 atoms (more where there are more elements) near a simple lattice, elements in turn.

    Args:
        elements: every one occurs at least once.
        cutoff: keeps the spacing below it, Å.
        side: atoms along each cell edge, at least.
        amplitude: largest displacement of an atom along each axis, as a fraction of the spacing.
        seed: of the displacements.
    """
    while side**3 < len(elements):
        side += 1
    spacing = spacing_of(elements, cutoff)
    sites = np.array(list(product(range(side), repeat=3)), dtype=np.float64)
    shake = np.random.default_rng(seed).uniform(-amplitude, amplitude, sites.shape)
    numbers = np.array([atomic_numbers[elements[k % len(elements)]] for k in range(len(sites))], dtype=np.int64)
    return Structure((sites @ SKEW + shake) * spacing, numbers, side * spacing * SKEW, np.ones(3, dtype=bool))


def small_cell(elements: Sequence[str], cutoff: float) -> Structure:
    """Two atoms in a close-packed hexagonal cell, smaller than the cutoff: every atom is its own neighbour."""
    a = spacing_of(elements, cutoff)
    cell = a * np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(0.75), 0.0], [0.0, 0.0, 1.6]])
    positions = np.array([[0.0, 0.0, 0.0], [1 / 3, 2 / 3, 0.5]]) @ cell
    numbers = np.array([atomic_numbers[elements[0]], atomic_numbers[elements[-1]]], dtype=np.int64)
    return Structure(positions, numbers, cell, np.ones(3, dtype=bool))


def slab(elements: Sequence[str], cutoff: float) -> Structure:
    """The rattled cell, open along its third lattice vector."""
    bulk = rattled(elements, cutoff, seed=2)
    return Structure(bulk.positions, bulk.numbers, bulk.cell, np.array([True, True, False]))


def cluster(elements: Sequence[str], cutoff: float) -> Structure:
    """The atoms of a rattled cell without periodicity."""
    bulk = rattled(elements, cutoff, seed=3)
    return Structure(bulk.positions, bulk.numbers, np.zeros((3, 3)), np.zeros(3, dtype=bool))


def rotation(seed: int = 4) -> FloatArray:
    """A proper rotation about no special axis, (3, 3)."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def chain(elements: Sequence[str], cutoff: float, *, length: int) -> Structure:
    """A zigzag of atoms in which each reaches only the next: consecutive distances lie between cutoff/2 and cutoff."""
    steps = np.arange(length)
    positions = cutoff * np.stack([0.7 * steps, 0.1 * (-1.0) ** steps, 0.05 * (steps % 3)], axis=1)
    numbers = np.array([atomic_numbers[elements[k % len(elements)]] for k in range(length)], dtype=np.int64)
    return Structure(positions, numbers, np.zeros((3, 3)), np.zeros(3, dtype=bool))
