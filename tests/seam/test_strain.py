"""The virial in LAMMPS itself: six strain derivatives of LAMMPS's energy against its own pressure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusepot.structure import Structure
from seam import cells, statics
from seam.harness import ORDER, run

STEP = 2e-4


def strained(structure: Structure, component: tuple[int, int], step: float) -> Structure:
    """A pure strain that keeps the cell lower triangular: the symmetric one, turned back into LAMMPS's orientation."""
    strain = np.zeros((3, 3))
    strain[component] += step / 2
    strain[component[::-1]] += step / 2
    return cells.oriented(structure.strained(strain))


def test_virial_is_the_strain_derivative_of_the_energy(models: dict[str, Path], tmp_path: Path) -> None:
    """DimeNet++, triclinic, two elements. Fourth-order differences would hide nothing: the potential is smooth."""
    base = cells.all_cells()["alloy"]
    deformed = {
        f"{'xyz'[a]}{'xyz'[b]}_{sign:+d}": strained(base, (a, b), sign * STEP)
        for a, b in ORDER
        for sign in (-2, -1, 1, 2)
    }
    every = {"base": base} | deformed
    cases = {name: statics.fusepot(name, models["near"]) for name in every}
    results = statics.read(run(tmp_path, statics.deck(tmp_path, every, cases)))
    for a, b in ORDER:
        name = f"{'xyz'[a]}{'xyz'[b]}"
        e = {sign: results[f"{name}_{sign:+d}"].energy for sign in (-2, -1, 1, 2)}
        slope = (8 * (e[1] - e[-1]) - (e[2] - e[-2])) / (12 * STEP)
        got = results["base"].virial[a, b]
        assert abs(got) > 1e-3, f"{name}: too small to test a sign"
        assert abs(got - slope) < 1e-6 * max(1.0, abs(slope)), f"{name}: virial {got}, slope of the energy {slope}"
