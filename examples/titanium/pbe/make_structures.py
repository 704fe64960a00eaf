"""Titanium structures for labelling with PBE: writes plan.extxyz, 442 structures so mixed that any part is balanced.

Equations of state of hcp, bcc, fcc and omega; strained and rattled small cells; thermal cells of 8 and 16 atoms;
strongly disordered cells of 16 atoms. Positions in Å. Run in this folder: python make_structures.py
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write

HERE = Path(__file__).parent
rng = np.random.default_rng(20261123)


def hcp() -> Atoms:
    return bulk("Ti", "hcp", a=2.9355, c=4.647)


def hcp_orthorhombic() -> Atoms:
    return bulk("Ti", "hcp", a=2.9355, c=4.647, orthorhombic=True)


def bcc() -> Atoms:
    return bulk("Ti", "bcc", a=3.252, cubic=True)


def fcc() -> Atoms:
    return bulk("Ti", "fcc", a=4.113, cubic=True)


def omega() -> Atoms:
    a, c = 4.577, 2.829
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    return Atoms("Ti3", scaled_positions=[(0, 0, 0), (1 / 3, 2 / 3, 0.5), (2 / 3, 1 / 3, 0.5)], cell=cell, pbc=True)


def strained(atoms: Atoms, isotropic: float, deviation: float) -> Atoms:
    """Scale by 1 + isotropic after a random symmetric strain with components up to ``deviation``."""
    strain = rng.uniform(-deviation, deviation, (3, 3))
    deformation = (np.eye(3) + (strain + strain.T) / 2) * (1 + isotropic)
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array @ deformation.T, scale_atoms=True)
    return atoms


def rattled(atoms: Atoms, kind: str, amplitude: float) -> Atoms:
    """Displace every coordinate by a normal deviate of ``amplitude`` Å."""
    atoms = atoms.copy()
    if amplitude > 0:
        atoms.positions += rng.normal(0, amplitude, atoms.positions.shape)
    atoms.info = {"config_type": kind, "rattle": amplitude}
    return atoms


def random_cells(
    base: Atoms, kind: str, count: int, isotropic: tuple[float, float], deviation: float, amplitudes: list[float]
) -> Iterator[Atoms]:
    for _ in range(count):
        cell = strained(base, rng.uniform(*isotropic), deviation)
        yield rattled(cell, kind, rng.choice(amplitudes))


def groups() -> dict[str, list[Atoms]]:
    small = (0.0, 0.02, 0.1)
    large_hcp, large_bcc = hcp_orthorhombic().repeat((2, 1, 2)), bcc().repeat((2, 2, 2))
    return {
        "ev": [
            rattled(strained(base, scale, 0.0), f"{name}_ev", 0.0)
            for name, base in (("hcp", hcp()), ("bcc", bcc()), ("fcc", fcc()), ("omega", omega()))
            for scale in np.linspace(-0.06, 0.08, 8)
        ],
        "hcp_strained": [*random_cells(hcp(), "hcp_strained", 110, (-0.03, 0.035), 0.03, [0.0, 0.01, 0.05, 0.1])],
        "bcc_strained": [*random_cells(bcc(), "bcc_strained", 60, (-0.035, 0.045), 0.03, [0.0, 0.02, 0.08, 0.15])],
        "fcc_omega": [
            *random_cells(fcc(), "fcc_strained", 30, (-0.03, 0.04), 0.03, [*small]),
            *random_cells(omega(), "omega_strained", 30, (-0.03, 0.04), 0.03, [*small]),
        ],
        "hcp8": [
            *random_cells(
                hcp_orthorhombic().repeat((2, 1, 1)), "hcp_thermal", 60, (-0.015, 0.025), 0.015, [0.05, 0.1, 0.15, 0.2]
            )
        ],
        "bcc8": [
            *random_cells(bcc().repeat((2, 2, 1)), "bcc_thermal", 40, (-0.02, 0.035), 0.02, [0.1, 0.2, 0.3])
        ],
        "hcp16": [
            *random_cells(large_hcp, "hcp_thermal", 40, (-0.015, 0.025), 0.01, [0.05, 0.1, 0.15, 0.2, 0.3])
        ],
        "disordered16": [
            cell
            for _ in range(40)
            for base in [large_bcc if rng.choice([0, 1]) else large_hcp]
            for cell in random_cells(base, "disordered", 1, (0.0, 0.06), 0.02, [0.35, 0.45, 0.55])
        ],
    }  # fmt: skip


def interleaved(kinds: dict[str, list[Atoms]]) -> list[Atoms]:
    """All structures such that every beginning of the list has about the final proportions."""
    done = dict.fromkeys(kinds, 0)
    plan: list[Atoms] = []
    while left := [kind for kind in kinds if done[kind] < len(kinds[kind])]:
        kind = min(left, key=lambda k: (done[k] + 0.5) / len(kinds[k]))
        plan.append(kinds[kind][done[kind]])
        done[kind] += 1
    return plan


if __name__ == "__main__":
    plan = interleaved(groups())
    for number, atoms in enumerate(plan):
        atoms.info["plan_id"] = number
    write(HERE / "plan.extxyz", plan)
    print(len(plan), "structures")
