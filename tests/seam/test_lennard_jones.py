"""Lennard-Jones through the whole chain against LAMMPS's own lj/cut: an independent implementation of everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusepot.potential import Potential
from seam import cells, statics
from seam.cells import TYPES
from seam.harness import Run, run
from seam.statics import Case, Static, deviation

CELLS = {name: cell for name, cell in cells.all_cells().items() if name in ("four_atoms", "alloy", "slab", "corner")}
FLUX = """
velocity all create 900 {seed} rot yes
compute ke all ke/atom
compute cc all centroid/stress/atom NULL virial
compute ss all stress/atom NULL virial
compute jc all heat/flux ke pe cc
compute js all heat/flux ke pe ss
thermo_style custom step pe c_jc[1] c_jc[2] c_jc[3] c_js[1] c_js[2] c_js[3]
run 0
print "FLUX {tag} $(c_jc[1]:%.17g) $(c_jc[2]:%.17g) $(c_jc[3]:%.17g)"
"""


def lj_cut(cell: str, potential: Potential) -> Case:
    """The same interactions as pair_style lj/cut."""
    order = [potential.elements.index(symbol) for symbol in TYPES]
    coeff = []
    for i, a in enumerate(order, 1):
        for j, b in enumerate(order, 1):
            if j >= i:
                epsilon, sigma = potential.params["epsilon"][a, b], potential.params["sigma"][a, b]
                coeff.append(f"{i} {j} {epsilon:.17g} {sigma:.17g}")
    return Case(cell, f"lj/cut {potential.cutoff:.17g}\npair_modify shift yes", coeff)


@pytest.fixture(scope="module", params=[1, 2], ids=["1 rank", "2 ranks"])
def done(
    request: pytest.FixtureRequest, models: dict[str, Path], bare: Potential, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    cases = {}
    for cell in CELLS:
        cases[f"{cell}-fusepot"] = statics.fusepot(cell, models["lj_bare"])
        cases[f"{cell}-lj_cut"] = lj_cut(cell, bare)
    folder = tmp_path_factory.mktemp("lj")
    blocks = statics.deck(folder, CELLS, cases).split("\nclear\n")
    blocks = [b + FLUX.format(seed=4711, tag=tag) for b, tag in zip(blocks[1:], cases, strict=True)]
    return run(folder, "\nclear\n" + "\nclear\n".join(blocks), ranks=request.param).ok()


@pytest.fixture(scope="module")
def results(done: Run) -> dict[str, Static]:
    return statics.read(done)


def relative(got: object, expected: np.ndarray | float) -> float:
    return deviation(got, expected) / float(np.abs(expected).max())


def test_energies_forces_and_virial(results: dict[str, Static]) -> None:
    for cell in CELLS:
        ours, theirs = results[f"{cell}-fusepot"], results[f"{cell}-lj_cut"]
        worst = {n: relative(getattr(ours, n), getattr(theirs, n)) for n in ("energy", "energies", "forces", "virial")}
        assert max(worst.values()) < 1e-10, f"{cell}: {worst}"


def test_stresses_of_each_atom(results: dict[str, Static]) -> None:
    for cell in CELLS:
        ours, theirs = results[f"{cell}-fusepot"], results[f"{cell}-lj_cut"]
        worst = {n: relative(getattr(ours, n), getattr(theirs, n)) for n in ("stresses", "centroid_stresses")}
        assert max(worst.values()) < 1e-10, f"{cell}: {worst}"


def test_heat_flux_with_centroid_stress(done: Run) -> None:
    flux = {tag: np.array(list(map(float, words))) for tag, *words in done.lines("FLUX")}
    for cell in CELLS:
        assert relative(flux[f"{cell}-fusepot"], flux[f"{cell}-lj_cut"]) < 1e-10, cell
