r"""Add liquid titanium to plan_liquid.extxyz for labelling, as potentials see it: structures on which they are wrong.

    python make_liquid.py POTENTIAL... --count 16 --seed 1

Each cell of 16 atoms starts as hcp or bcc, slightly sheared, at a volume drawn from 16.5 to 25.5 Å^3/atom (liquid
titanium: 19.4 at the melting point), and is molten with one of the potentials at constant volume: 2 ps at 4000 K, 2 ps
at a temperature drawn from 1900 to 2600 K. Potentials without liquids among their labels collapse and evaporate here;
labels of where they go are what teaches them not to. Train again, and add cells of the new potential, until it stays a
liquid.

Run it with the Python that fusepot is installed in; label_gpaw.py labels what it adds. plan_liquid.extxyz holds what

    python make_liquid.py potentials/ti-fused-nep/potential.fusepot potentials/ti-pbe-nep/potential.fusepot \
        --count 20 --seed 20261124

made of the potentials trained without liquids.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from fusepot.serving.ase import FusepotCalculator

HERE = Path(__file__).resolve().parent
VOLUMES = (16.5, 25.5)
TEMPERATURES_K = (1900.0, 2600.0)


def crystal(rng: np.random.Generator) -> Atoms:
    """Sixteen atoms at a random volume, in a cell that is no cube."""
    hcp = bulk("Ti", "hcp", a=2.9355, c=4.647, orthorhombic=True).repeat((2, 1, 2))
    bcc = bulk("Ti", "bcc", a=3.252, cubic=True).repeat((2, 2, 2))
    atoms = (hcp, bcc)[rng.integers(2)]
    strain = rng.uniform(-0.05, 0.05, (3, 3))
    cell = atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2)
    scale = (rng.uniform(*VOLUMES) * len(atoms) / abs(np.linalg.det(cell))) ** (1 / 3)
    atoms.set_cell(cell * scale, scale_atoms=True)
    return atoms


def molten(atoms: Atoms, calculator: Calculator, temperature_K: float, rng: np.random.Generator) -> Atoms:
    """The atoms after 2 ps at 4000 K and 2 ps at a temperature, wrapped into their cell."""
    hot = atoms.copy()
    hot.calc = calculator
    thermalize_momenta(hot, temperature_K=2 * 4000.0, rng=rng)
    for kelvin in (4000.0, temperature_K):
        Langevin(hot, 2.0 * units.fs, temperature_K=kelvin, friction=0.02 / units.fs, rng=rng).run(1000)
    hot.wrap()
    return Atoms(hot.symbols, positions=hot.positions, cell=hot.cell, pbc=True)


def main() -> None:
    """Melt and append."""
    parser = argparse.ArgumentParser(description="Add liquid cells to the plan for labelling.")
    parser.add_argument("potentials", type=Path, nargs="+", help="potential files, used in turn")
    parser.add_argument("--count", type=int, default=16, help="cells to add")
    parser.add_argument("--seed", type=int, required=True, help="of cells, temperatures and velocities")
    parser.add_argument("--out", type=Path, default=HERE / "plan_liquid.extxyz", help="extended XYZ file to add to")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    calculators = [FusepotCalculator(path) for path in arguments.potentials]
    plans = [HERE / "plan.extxyz", *([arguments.out] if arguments.out.exists() else [])]
    first = 1 + max(int(atoms.info["plan_id"]) for plan in plans for atoms in ase.io.read(plan, ":"))
    for k in range(arguments.count):
        atoms = molten(crystal(rng), calculators[k % len(calculators)], rng.uniform(*TEMPERATURES_K), rng)
        atoms.info = {"config_type": "liquid", "plan_id": first + k}
        ase.io.write(arguments.out, atoms, format="extxyz", append=True)
        volume = atoms.get_volume() / len(atoms)
        nearest = np.min(atoms.get_all_distances(mic=True)[~np.eye(len(atoms), dtype=bool)])
        print(f"plan_id {first + k}: {volume:.1f} Å^3/atom, nearest neighbours {nearest:.2f} Å apart", flush=True)


if __name__ == "__main__":
    main()
