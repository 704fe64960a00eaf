"""Potentials with compiled code in LAMMPS: block by block, without Python, and the same numbers as XLA."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import potentials
import structures
from fusepot import native
from fusepot.models.zbl import Zbl
from fusepot.potential import predict_many
from fusepot.potential_file import save_potential
from seam import cells, statics
from seam.harness import Run, run
from seam.statics import Case, Static, deviation

SEED = 23
POTENTIAL = potentials.nep(
    ("Ti", "Al"), seed=SEED, angular_cutoff=4.2, n_max_radial=3, n_max_angular=2, neurons=30, five_body=True,
    zbl=Zbl(inner=1.4, outer=2.8, numbers=(22, 13)),
)  # fmt: skip
ALL_CELLS = cells.all_cells()
TOTALS = ("energy", "energies", "forces", "virial")
EVERYTHING = (*TOTALS, "stresses", "centroid_stresses")
ENGINES = ("auto", "xla")
HYBRID = ("alloy", "beam")  # type 1, aluminium, is left to Lennard-Jones

pytestmark = pytest.mark.skipif(native.library() is None, reason=str(native.load()))


@pytest.fixture(scope="module")
def file(compiled: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("native") / "nep.fusepot"
    save_potential(POTENTIAL, path)
    return path


def cases_of(file: Path, ranks: int) -> dict[str, Case]:
    """Every cell, one of them in float32, and two beside another style that handles one of the types.

    On one rank some of it with XLA as well, which takes seconds to compile.
    """
    cases = {}
    for engine in ENGINES if ranks == 1 else ENGINES[:1]:
        for cell in ALL_CELLS if engine == "auto" else ["beam"]:
            style = f"fusepot engine {engine} precision float64"
            cases[f"{engine}/{cell}"] = Case(cell, style, [f"* * {file} Al Ti"])
        for cell in HYBRID if engine == "auto" else ["alloy"]:
            style = f"hybrid fusepot precision float64 engine {engine} lj/cut 5.0"
            lines = [f"* * fusepot {file} NULL Ti", "1 1 lj/cut 0.4 2.6", "1 2 lj/cut 0.5 2.5"]
            cases[f"{engine}/hybrid_{cell}"] = Case(cell, style, lines)
    cases["single/alloy"] = Case("alloy", "fusepot precision float32", [f"* * {file} Al Ti"])
    return cases


@pytest.fixture(scope="module")
def runs(file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    folder = tmp_path_factory.mktemp("statics")
    return {
        ranks: run(
            folder / str(ranks), statics.deck(folder / str(ranks), ALL_CELLS, cases_of(file, ranks)), ranks=ranks,
            timeout=300,
        )
        for ranks in (1, 2)
    }  # fmt: skip


@pytest.fixture(scope="module")
def results(runs: dict[int, Run]) -> dict[int, dict[str, Static]]:
    return {ranks: statics.read(done) for ranks, done in runs.items()}


def compare(got: Static, expected: Static, limit: float, case: str) -> None:
    """Largest deviations relative to the largest component, which must be worth comparing."""
    for name in EVERYTHING:
        scale = np.abs(getattr(expected, name)).max()
        assert scale > 0.1, f"seed {SEED}, {case}: {name} are too small to compare"
        error = deviation(getattr(got, name), getattr(expected, name)) / scale
        assert error < limit, f"seed {SEED}, {case}: {name} differ by {error:.1e}"


def test_native_equals_xla_in_lammps(results: dict[int, dict[str, Static]]) -> None:
    for case in ("beam", "hybrid_alloy"):
        compare(results[1][f"auto/{case}"], results[1][f"xla/{case}"], 1e-10, case)


def test_ranks_agree(results: dict[int, dict[str, Static]]) -> None:
    for case, got in results[2].items():
        compare(got, results[1][case], 1e-10 if case.startswith("auto") else 1e-4, f"{case} on 2 ranks and 1")


def test_native_equals_predict(results: dict[int, dict[str, Static]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEPOT_ENGINE", "xla")
    predictions, _ = predict_many(POTENTIAL, list(ALL_CELLS.values()))
    for cell, expected in zip(ALL_CELLS, predictions, strict=True):
        for name in TOTALS:
            scale = np.abs(getattr(expected, name)).max()
            error = deviation(getattr(results[1][f"auto/{cell}"], name), getattr(expected, name)) / scale
            assert error < 1e-10, f"seed {SEED}, {cell}: {name} differ by {error:.1e}"


def test_single_precision(results: dict[int, dict[str, Static]]) -> None:
    got, expected = results[1]["single/alloy"], results[1]["auto/alloy"]
    compare(got, expected, 2e-5, "float32")
    assert deviation(got.forces, expected.forces) > 1e-9, "not the float64 model"


def test_log_says_which_engine_and_how_much_memory(runs: dict[int, Run]) -> None:
    blocks = dict(zip(cases_of(Path(), 1), runs[1].text.split("read_data")[1:], strict=True))
    for case, text in blocks.items():
        engine = "XLA" if case.startswith("xla") else "compiled kernel"
        assert re.search(rf"fusepot: nep potential for Ti Al, .*, {engine}\n", text), f"{case}:\n{text[:2000]}"
        memory = re.findall(r"fusepot: (\d+) atoms; per atom (\d+) bytes of pair style and (\d+) of neighbor", text)
        assert len(memory) == 1, f"{case}:\n{text[:2000]}"
        assert int(memory[0][0]) == len(ALL_CELLS[case.split("/")[1].removeprefix("hybrid_")])


DYNAMICS = """units metal
boundary p p p
read_data big.data
neighbor 0.4 bin
neigh_modify every 5 delay 0 check no
pair_style fusepot precision float64
pair_coeff * * soft.fusepot Al Ti
velocity all create 900 4711 loop all
timestep 0.002
fix 1 all nve
thermo_style custom step pe etotal pxx pyy pzz
thermo 10
run 30
"""
BIG = cells.oriented(cells.two_elements(structures.bcc((4, 4, 12), rattle=0.05, seed=SEED), seed=SEED))
SOFT = replace(POTENTIAL, params=POTENTIAL.params | {"output": POTENTIAL.params["output"] * 0.1})


@pytest.fixture(scope="module")
def dynamics(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """384 atoms: two blocks on one rank, one on each of two."""
    folder = tmp_path_factory.mktemp("dynamics")
    cells.write_data(folder / "big.data", BIG)
    save_potential(SOFT, folder / "soft.fusepot")
    return {ranks: run(folder, DYNAMICS, ranks=ranks).ok() for ranks in (1, 2)}


def test_dynamics_follow_the_same_path(dynamics: dict[int, Run]) -> None:
    (one,), (two,) = (dynamics[ranks].thermo() for ranks in (1, 2))
    assert np.ptp(one["PotEng"]) > 0.1, "atoms moved"
    for name, column in one.items():
        assert deviation(two[name], column) < 1e-7 * np.abs(column).max(), f"seed {SEED}: {name}"
    drift = np.ptp(one["TotEng"]) / np.ptp(one["PotEng"])
    assert drift < 0.01, f"seed {SEED}: the total energy changes {drift:.1e} times as much as the potential energy"


def test_memory_does_not_grow_with_the_system(dynamics: dict[int, Run]) -> None:
    """What is held is one block of 256 atoms: 56 bytes per pair, up to half of it to spare."""
    per_atom = int(re.findall(r"per atom (\d+) bytes of pair style", dynamics[1].text)[0])
    assert 0 < per_atom * len(BIG) < 256 * 60 * 56 * 1.5


NON_FINITE = (
    "pair_style fusepot: the potential returned non-finite energies or forces. Look for overlapping atoms, a time step "
    "that is too long, or a configuration far from the training data."
)
COINCIDING = """
units metal
boundary p p p
region box block 0 9 0 9 0 40
create_box 2 box
create_atoms 2 single 1 1 30
create_atoms 1 single 1 1 32.9
create_atoms 1 single 1 1 2
create_atoms 2 single 1 1 2
mass * 50
neighbor 0.5 bin
pair_style fusepot precision {precision} engine {engine}
pair_coeff * * {file} Al Ti
run 0
"""


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_coinciding_atoms_stop_all_ranks(file: Path, tmp_path: Path, precision: str) -> None:
    """They are on one of the two ranks only."""
    done = run(tmp_path, COINCIDING.format(precision=precision, engine="auto", file=file), ranks=2)
    assert done.code != 0
    assert NON_FINITE in done.text, done.text[-2000:]


def test_the_graph_path_says_the_same(models: dict[str, Path], tmp_path: Path) -> None:
    done = run(tmp_path, COINCIDING.format(precision="float64", engine="auto", file=models["lj"]))
    assert NON_FINITE in done.text, done.text[-2000:]


def test_unknown_engine_is_explained(file: Path, tmp_path: Path) -> None:
    done = run(tmp_path, COINCIDING.format(precision="float64", engine="magic", file=file))
    assert done.code != 0
    assert "pair_style fusepot engine: got 'magic', expected 'auto' or 'xla'" in done.text
