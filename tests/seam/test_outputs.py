"""Outputs: LAMMPS on 1, 2 and 4 ranks = ASE calculator = predict, for every kind of cell."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from ase.stress import voigt_6_to_full_3x3_stress

from fusepot.gradient import energy_and_pair_gradient, precision
from fusepot.graph import build_graph
from fusepot.potential import Prediction, predict_many
from fusepot.potential_file import load_potential
from fusepot.serving.ase import FusepotCalculator
from seam import cells, statics
from seam.conftest import BUILD
from seam.harness import run
from seam.statics import Static, deviation

CELLS = cells.all_cells()
Matrix = dict[int, dict[str, list[str]]]  # ranks -> model -> cells; model "near:float32" in that precision
MIXED = ["four_atoms", "alloy", "slab", "corner", "beam"]
DAILY: Matrix = {
    1: {"lj": list(CELLS), "near": MIXED, "lj:float32": ["alloy"], "near:float32": ["four_atoms"]},
    # The paper's DimeNet++: its 5 hops reach each of these 16 atoms many times over.
    2: {"lj": list(CELLS), "near": ["four_atoms", "slab", "corner", "beam"], "lj:float32": ["alloy"], "far": ["alloy"]},
    4: {"lj": ["four_atoms", "slab", "corner", "beam"], "near": ["corner", "beam"]},
}
EVERY = {"lj": list(CELLS), "near": list(CELLS), "far": ["alloy"], "lj:float32": ["alloy"], "near:float32": ["beam"]}
ALL: Matrix = {1: EVERY, 2: EVERY, 4: EVERY}
TOTALS = ("energy", "energies", "forces", "virial")


class Results(NamedTuple):
    """What predict says by model and cell, and LAMMPS by number of ranks, model and cell."""

    predictions: dict[tuple[str, str], Prediction]
    lammps: dict[int, dict[tuple[str, str], Static]]

    def pairs(self, ranks: int, *, single: bool) -> list[tuple[str, Static, Prediction]]:
        """Each case of a precision with its prediction, for one number of ranks."""
        found = [
            (f"{model} {cell} on {ranks} ranks", got, self.predictions[model.split(":")[0], cell])
            for (model, cell), got in self.lammps[ranks].items()
            if ("float32" in model) == single
        ]
        return found


@pytest.fixture(scope="module", params=["daily", pytest.param("all", marks=pytest.mark.slow)])
def results(
    request: pytest.FixtureRequest, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Results:
    matrix = DAILY if request.param == "daily" else ALL
    folder = tmp_path_factory.mktemp("outputs")
    lammps, wanted = {}, {}
    for ranks, column in matrix.items():
        cases, home = {}, folder / str(ranks)
        for model, names in column.items():
            name, _, precision = model.partition(":")
            wanted[name] = sorted({*wanted.get(name, ()), *names})
            for cell in names:
                cases[f"{model}/{cell}".replace(":", "_")] = statics.fusepot(
                    cell, models[name], precision=precision or "float64"
                )
        done = statics.read(run(home, statics.deck(home, CELLS, cases), ranks=ranks, timeout=400))
        lammps[ranks] = {tuple(tag.replace("_float", ":float").split("/")): got for tag, got in done.items()}
    predictions = {}
    for name, names in wanted.items():
        found, _ = predict_many(load_potential(models[name]), [CELLS[cell] for cell in names])
        predictions |= {(name, cell): prediction for cell, prediction in zip(names, found, strict=True)}
    return Results(predictions, lammps)


@pytest.mark.parametrize("ranks", DAILY)
def test_float64_equals_predict(results: Results, ranks: int) -> None:
    for case, got, expected in results.pairs(ranks, single=False):
        worst = {name: deviation(getattr(got, name), getattr(expected, name)) for name in TOTALS}
        assert max(worst.values()) < 1e-8, f"{case}: {worst}"


@pytest.mark.parametrize("ranks", [1, 2])
def test_float32_is_close_to_predict(results: Results, ranks: int) -> None:
    for case, got, expected in results.pairs(ranks, single=True):
        n = len(expected.energies)
        worst = {
            "energy per atom": deviation(got.energy / n, expected.energy / n),
            "energies": deviation(got.energies, expected.energies),
            "forces": deviation(got.forces, expected.forces),
            "virial per atom": deviation(got.virial / n, expected.virial / n),
        }
        assert 1e-10 < max(worst.values()) < 5e-4, f"{case}: {worst}"


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_agree(results: Results, ranks: int) -> None:
    for case, got in results.lammps[ranks].items():
        if "float32" in case[0] or case not in results.lammps[1]:
            continue
        one = results.lammps[1][case]
        names = (*TOTALS, "stresses", "centroid_stresses")
        worst = {name: deviation(getattr(got, name), getattr(one, name)) for name in names}
        assert max(worst.values()) < 1e-9, f"{case} on {ranks} ranks and 1: {worst}"


def test_some_ranks_had_no_atoms(results: Results) -> None:
    """The cell made for it leaves ranks empty, and the long one gives each rank its share."""
    for ranks in (2, 4):
        assert len(set(results.lammps[ranks]["near", "corner"].owners)) < ranks
        assert len(set(results.lammps[ranks]["near", "beam"].owners)) == ranks


@pytest.mark.parametrize("ranks", DAILY)
def test_per_atom_values_sum_to_totals(results: Results, ranks: int) -> None:
    for case, got, _ in results.pairs(ranks, single=False):
        centroid = got.centroid_stresses.sum(axis=0)
        worst = {
            "energy": deviation(got.energies.sum(), got.energy),
            "stress": deviation(got.stresses.sum(axis=0), got.virial),
            "centroid stress": deviation((centroid + centroid.T) / 2, got.virial),
            "force": deviation(got.forces.sum(axis=0), np.zeros(3)),
        }
        assert max(worst.values()) < 1e-9, f"{case}: {worst}"


@pytest.mark.parametrize("ranks", DAILY)
def test_per_atom_stresses_are_sums_over_pairs(results: Results, beam_terms: np.ndarray, ranks: int) -> None:
    """Centroid stress: all of ``r (x) g`` on the neighbour, rows for r; stress: half of its symmetric part to each."""
    got = results.lammps[ranks]["near", "beam"]
    to_centers, to_others = beam_terms
    assert deviation(to_others, to_others.swapaxes(1, 2)) > 0.01, "a transposed tensor would be noticed"
    assert deviation(got.centroid_stresses, to_others) < 1e-9
    half = (to_centers + to_others) / 2
    assert deviation(got.stresses, (half + half.swapaxes(1, 2)) / 2) < 1e-9


@pytest.fixture(scope="module")
def beam_terms() -> np.ndarray:
    """The sums of ``r (x) dE/dr`` over the pairs of each center and over those of each neighbour, (2, atoms, 3, 3)."""
    potential, structure = BUILD["near"], CELLS["beam"]
    graph = build_graph(structure, cutoff=potential.cutoff, elements=potential.elements, dtype="float64")
    evaluate = jax.jit(partial(energy_and_pair_gradient, potential.architecture, potential.config))
    with precision("float64"):
        gradient = np.asarray(evaluate(potential.params, graph)[1])[graph.pair_mask]
    products = graph.vectors[graph.pair_mask][:, :, None] * gradient[:, None, :]
    sums = np.zeros((2, len(structure), 3, 3))
    np.add.at(sums[0], graph.centers[graph.pair_mask], products)
    np.add.at(sums[1], graph.others[graph.pair_mask], products)
    return sums


@pytest.mark.parametrize("model", ["lj", "near"])
def test_ase_calculator_equals_lammps(results: Results, models: dict[str, Path], model: str) -> None:
    calculator = FusepotCalculator(models[model])
    largest_first = sorted(MIXED, key=lambda cell: -len(CELLS[cell]))  # so that it compiles once
    for cell in largest_first:
        atoms, got = CELLS[cell].to_ase(), results.lammps[1][model, cell]
        atoms.calc = calculator
        worst = {
            "energy": deviation(atoms.get_potential_energy(), got.energy),
            "energies": deviation(atoms.get_potential_energies(), got.energies),
            "forces": deviation(atoms.get_forces(), got.forces),
        }
        if atoms.pbc.all():
            stress = voigt_6_to_full_3x3_stress(atoms.get_stress())
            worst["stress times volume"] = deviation(stress * atoms.get_volume(), got.virial)
        assert max(worst.values()) < 1e-8, f"{model} {cell}: {worst}"
