"""Structures that tests share. All deterministic; every random one takes a seed, which belongs in failure messages."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111

from fusepot.structure import Structure

A_TI, C_TI = 2.94, 4.64  # Å, hcp titanium


def _shaken(atoms: Atoms, amplitude: float, seed: int) -> Structure:
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).uniform(-amplitude, amplitude, atoms.positions.shape)
    return Structure.from_ase(atoms)


def hcp(repeat: tuple[int, int, int] = (1, 1, 1), *, rattle: float = 0.0, seed: int = 0) -> Structure:
    """Titanium, 2 atoms times the repeats; the cell is triclinic (120 degrees)."""
    return _shaken(bulk("Ti", "hcp", a=A_TI, c=C_TI).repeat(repeat), rattle, seed)


def bcc(repeat: tuple[int, int, int] = (1, 1, 1), *, rattle: float = 0.0, seed: int = 0) -> Structure:
    """Titanium in the cubic two-atom cell."""
    return _shaken(bulk("Ti", "bcc", a=3.26, cubic=True).repeat(repeat), rattle, seed)


def fcc(repeat: tuple[int, int, int] = (1, 1, 1), *, rattle: float = 0.0, seed: int = 0) -> Structure:
    """Aluminium in the one-atom primitive cell."""
    return _shaken(bulk("Al", "fcc", a=4.05).repeat(repeat), rattle, seed)


def same_neighbor_two_images() -> Structure:
    """Two atoms in a cell 4 Å wide: each is the other's neighbour through several images, at different distances."""
    positions = np.array([[0.1, 0.2, 0.3], [1.7, 1.9, 2.4]])
    cell = np.array([[4.0, 0.0, 0.0], [0.4, 4.1, 0.0], [-0.3, 0.5, 4.3]])
    return Structure(positions, np.array([22, 22]), cell, np.ones(3, dtype=bool))


def triclinic(repeat: tuple[int, int, int] = (2, 2, 2), *, skew: float = 0.3, seed: int = 0) -> Structure:
    """Titanium, rattled, in a cell sheared by ``skew``."""
    atoms = bulk("Ti", "bcc", a=3.26, cubic=True).repeat(repeat)
    shear = np.array([[1.0, 0.0, 0.0], [skew, 1.0, 0.0], [-skew / 2, skew, 1.0]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    return _shaken(atoms, 0.15, seed)


def alloy(
    repeat: tuple[int, int, int] = (2, 2, 2), *, symbols: tuple[str, str] = ("Ti", "Al"), seed: int = 0
) -> Structure:
    """The triclinic cell with two elements at random sites, both present."""
    base = triclinic(repeat, seed=seed).to_ase()
    second = np.random.default_rng(seed).permutation(len(base))[: len(base) // 2]
    chemical = np.array([symbols[0]] * len(base), dtype=object)
    chemical[second] = symbols[1]
    base.set_chemical_symbols(list(chemical))
    return Structure.from_ase(base)


def slab(*, seed: int = 0) -> Structure:
    """Four rattled aluminium layers, open along z, with vacuum in the cell."""
    return _shaken(fcc111("Al", (2, 2, 4), a=4.05, vacuum=6.0), 0.1, seed)


def wire(*, seed: int = 0) -> Structure:
    """Titanium, periodic along the second lattice vector only."""
    atoms = triclinic((1, 2, 1), seed=seed).to_ase()
    atoms.pbc = [False, True, False]
    return Structure.from_ase(atoms)


def cluster(n: int = 12, *, seed: int = 0) -> Structure:
    """A piece of rattled bcc titanium without cell."""
    base = bcc((2, 2, 2), rattle=0.15, seed=seed)
    return Structure(base.positions[:n], base.numbers[:n], np.zeros((3, 3)), np.zeros(3, dtype=bool))


def dimer(distance: float, symbols: tuple[str, str] = ("Ti", "Ti")) -> Structure:
    """Two atoms without cell."""
    along = distance * np.array([0.36, 0.48, 0.8])
    return Structure.from_ase(Atoms(list(symbols), [np.zeros(3), along]))


def atom(symbol: str = "Ti") -> Structure:
    """One atom without cell."""
    return Structure.from_ase(Atoms([symbol], [[0.3, -0.2, 0.1]]))
