"""Label the two plans with PBE by GPAW (on Debian: packages gpaw and gpaw-data, and the system's python3).

    python3 label_gpaw.py WORKER SECONDS [FOLDER]

Start one worker per core (OMP_NUM_THREADS=1, nice 19) and stop it at any time: workers share the plans through lock
files, and results are appended to FOLDER/part-WORKER.extxyz. Structures whose plan_id stands in any extxyz file of the
folder other than the plans are skipped; remove the lock of a structure to have it done again. merge_labels.py adds the
results to the table that ships with fusepot.

Plane waves 400 eV with Pulay correction, k-point density 3.2 per 1/Å, Gamma-centred, Fermi smearing 0.15 eV.
Energies are electronic free energies (consistent with forces and stress) in eV, forces eV/Å, stress eV/Å^3 with ASE's
sign. k-points are converged to 0.2 meV/atom; 400 eV shifts absolute energies by 57 meV/atom and the pressure by
0.4 GPa against 600 eV; the smearing adds about 0.35 GPa of electronic pressure against Methfessel-Paxton at 0.2 eV.
Liquid cells of 16 atoms are labelled on a grid of 2x2x2 points: within 2 meV/atom, 53 of 1582 meV/Å and 0.12 GPa of the
dense grid, and three times faster than 3x3x3 points.
"""

import sys
import time
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from gpaw import GPAW, PW, FermiDirac


def work_order(plan: list[Atoms]) -> list[int]:
    """Four of the smallest cells for every one of eight atoms, larger ones last."""
    small = [i for i, atoms in enumerate(plan) if len(atoms) <= 4]
    medium = [i for i, atoms in enumerate(plan) if len(atoms) == 8]
    order: list[int] = []
    while small or medium:
        order += small[:4] + medium[:1]
        small, medium = small[4:], medium[1:]
    return order + [i for i, atoms in enumerate(plan) if len(atoms) > 8]


def k_points(atoms: Atoms) -> dict[str, object]:
    """A dense grid for crystals; for liquids a Monkhorst-Pack grid without Gamma."""
    if atoms.info["config_type"] == "liquid":
        return {"size": (2, 2, 2)}
    return {"density": 3.2, "gamma": True}


def label(atoms: Atoms, log: Path) -> Atoms:
    """A copy with energy, forces and stress."""
    atoms.calc = GPAW(
        mode=PW(400, dedecut="estimate"),
        xc="PBE",
        kpts=k_points(atoms),
        occupations=FermiDirac(0.15),
        symmetry={"point_group": bool(atoms.info.get("rattle") == 0.0)},
        convergence={"density": 1e-5, "energy": 1e-6},
        txt=str(log),
    )
    energy = atoms.get_potential_energy(force_consistent=True)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    labelled = atoms.copy()
    labelled.calc = SinglePointCalculator(labelled, energy=energy, free_energy=energy, forces=forces, stress=stress)
    return labelled


def main(worker: str, seconds: float, folder: Path) -> None:
    start = time.time()
    plans = [folder / "plan.extxyz", folder / "plan_liquid.extxyz"]
    plan = [atoms for file in plans if file.exists() for atoms in read(file, ":")]
    parts = [file for file in folder.glob("*.extxyz") if file not in plans]
    done = {atoms.info["plan_id"] for file in parts for atoms in read(file, ":")}
    for index in work_order(plan):
        number = plan[index].info["plan_id"]
        if time.time() - start > seconds:
            break
        if number in done:
            continue
        try:
            (folder / f"lock-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        begun = time.time()
        try:
            labelled = label(plan[index], folder / f"log-{worker}.txt")
        except Exception as error:  # an unconverged cell is left out, and said
            print("FAILED", number, repr(error)[:200], flush=True)
            continue
        write(folder / f"part-{worker}.extxyz", labelled, append=True)
        print(number, labelled.info["config_type"], len(labelled), f"{time.time() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else Path(__file__).parent)
