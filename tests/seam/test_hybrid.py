"""pair_style hybrid and hybrid/overlay, with NULL for types that fusepot does not handle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusepot.potential import Potential, Prediction, predict
from fusepot.structure import Structure
from seam import cells, statics
from seam.conftest import BUILD
from seam.harness import run
from seam.statics import Case, Static, deviation
from seam.test_lennard_jones import lj_cut

CELLS = {name: cell for name, cell in cells.all_cells().items() if name in ("alloy", "beam")}
TOTALS = ("energy", "energies", "forces", "virial")


def only(potential: Potential, structure: Structure, number: int) -> Prediction:
    """The prediction for the atoms of one element, spread over the arrays of the whole structure."""
    chosen = structure.numbers == number
    part = predict(
        potential, Structure(structure.positions[chosen], structure.numbers[chosen], structure.cell, structure.pbc)
    )
    energies, forces = np.zeros(len(structure)), np.zeros((len(structure), 3))
    energies[chosen], forces[chosen] = part.energies, part.forces
    return part._replace(energies=energies, forces=forces)


def combined(parts: list[tuple[float, Prediction]]) -> dict[str, np.ndarray]:
    """Totals of a weighted sum of predictions."""
    return {name: sum(weight * np.asarray(getattr(part, name)) for weight, part in parts) for name in TOTALS}


@pytest.fixture(scope="module", params=[1, 2], ids=["1 rank", "2 ranks"])
def results(
    request: pytest.FixtureRequest, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Static]:
    cases = {}
    for cell in CELLS:
        own = lj_cut(cell, BUILD["lj_bare"])
        mixed = [line for line in own.coeff if not line.startswith("2 2")]  # type 2 is titanium
        by_fusepot = f"* * fusepot {models['near']} NULL Ti"
        coeff = [by_fusepot, *(f"{' '.join(line.split()[:2])} lj/cut {' '.join(line.split()[2:])}" for line in mixed)]
        cutoff = BUILD["lj"].cutoff
        style = f"fusepot precision float64 lj/cut {cutoff:.17g}\npair_modify shift yes"
        cases[f"{cell}-hybrid"] = Case(cell, f"hybrid {style}", coeff)
        cases[f"{cell}-overlay"] = Case(cell, f"hybrid/overlay {style}", coeff)
        cases[f"{cell}-two"] = Case(
            cell,
            "hybrid/overlay fusepot precision float64 fusepot precision float64",
            [f"* * fusepot 1 {models['lj']} Al Ti", f"* * fusepot 2 {models['near']} Al Ti"],
        )
    folder = tmp_path_factory.mktemp("hybrid")
    return statics.read(run(folder, statics.deck(folder, CELLS, cases), ranks=request.param))


@pytest.mark.parametrize("cell", CELLS)
def test_null_leaves_a_type_to_another_style(results: dict[str, Static], cell: str) -> None:
    structure, lj = CELLS[cell], BUILD["lj_bare"]
    expected = combined(
        [(1, only(BUILD["near"], structure, 22)), (1, predict(lj, structure)), (-1, only(lj, structure, 22))]
    )
    for style in ("hybrid", "overlay"):
        got = results[f"{cell}-{style}"]
        worst = {name: deviation(getattr(got, name), expected[name]) for name in TOTALS}
        assert max(worst.values()) < 1e-8, f"{style}: {worst}"


@pytest.mark.parametrize("cell", CELLS)
def test_two_potentials_add_up(results: dict[str, Static], cell: str) -> None:
    expected = combined([(1, predict(BUILD[name], CELLS[cell])) for name in ("lj", "near")])
    worst = {name: deviation(getattr(results[f"{cell}-two"], name), expected[name]) for name in TOTALS}
    assert max(worst.values()) < 1e-8, worst
