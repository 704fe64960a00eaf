"""Molecular dynamics: energy is conserved, ranks agree along the way, restarts continue as if nothing had happened."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_numbers

import structures
from fusepot.neighbors import find_pairs
from fusepot.potential import predict
from fusepot.structure import Structure
from seam import cells
from seam.cells import TYPES, write_data
from seam.conftest import BUILD
from seam.harness import Run, run
from seam.statics import deviation

SEED = 90210
IMPLOSION = -2  # position of that run among all of the deck, whose last is SWAP
PATH = ("xu", "yu", "zu", "vx", "vy", "vz")
BEAM = cells.oriented(cells.two_elements(structures.bcc((2, 2, 12), rattle=0.05, seed=8), seed=8))
BLOCK = cells.oriented(cells.two_elements(structures.bcc((3, 3, 4), rattle=0.05, seed=9), seed=9))
CLUSTER = cells.oriented(Structure(BLOCK.positions, BLOCK.numbers, np.zeros((3, 3)), np.zeros(3, dtype=bool)))
# fmt: off
ALONE = """
pair_style fusepot precision float64
pair_coeff * * {file} Al Ti
"""
# A random network lets atoms collapse; Lennard-Jones keeps them apart.
BOTH = """
pair_style hybrid/overlay fusepot precision float64 fusepot precision float64
pair_coeff * * fusepot 1 {file} Al Ti
pair_coeff * * fusepot 2 {soft} Al Ti
"""
START = """
clear
units metal
atom_modify map yes
read_data {data}.data
neighbor {skin} bin
""" + ALONE + """
velocity all create 1200 {seed} loop all
thermo_style custom step temp pe etotal press econserve lx ly lz xy xz yz
thermo_modify norm no
thermo 10
"""
DUMP = 'write_dump all custom {name}.dump id proc type xu yu zu vx vy vz modify sort id format float %.17g\n'
# A drift along the beam carries atoms over the borders between ranks while lists are rebuilt.
NVE = START + """
velocity all set NULL NULL 15.0 sum yes
write_dump all custom {name}-first.dump id proc modify sort id
timestep 0.001
fix 1 all nve
run {steps}
""" + DUMP
MORE = """
run 0
print "ENERGY again $(pe:%.17g)"
run 0
print "ENERGY again $(pe:%.17g)"
"""
PIECES = NVE + """
run 20 pre no
run 0 pre no
run 20
""" + DUMP.replace("{name}", "{name}-end")
RESTART = START + """
timestep 0.002
fix 1 all nve
run 30
write_restart {name}.restart
run 30
""" + DUMP + """
clear
read_restart {name}.restart
pair_style fusepot precision float64
pair_coeff * * {file} Al Ti
neighbor {skin} bin
timestep 0.002
fix 1 all nve
run 30
""" + DUMP.replace("{name}", "{name}-continued")
# Compression: far more pairs than the first arrays held. Once by the box; once by atoms that rush together while the
# neighbour lists, with their wide skin, stay as they are.
SQUEEZE = START + """
velocity all set 0 0 0
fix 1 all deform 1 x scale 0.78 y scale 0.8 z scale 0.76 remap x
run 30
unfix 1
run 0
""" + DUMP + """
print "ENERGY {name} $(pe:%.17g)"
print "BOX {name} $(lx:%.17g) $(ly:%.17g) $(lz:%.17g)"
"""
IMPLODE = START.replace("units metal", "units metal\nboundary f f f") + """
velocity all ramp vx 80 -80 x 8 17
velocity all ramp vy 80 -80 y 8 17
velocity all ramp vz 80 -80 z 8 20
fix 1 all nve
timestep 0.001
thermo 1
run 18
""" + DUMP + """
print "ENERGY {name} $(pe:%.17g)"
"""
# Types change without new neighbour lists.
SWAP = START + """
fix 1 all nve
fix 2 all atom/swap 5 20 {seed} 2000 ke yes types 1 2
run 20
""" + DUMP + """
print "ENERGY {name} $(pe:%.17g)"
print "SWAPS {name} $(f_2[2])"
"""
# fmt: on


def energy_and_structure(done: Run, name: str, start: Structure) -> tuple[float, Structure]:
    """LAMMPS's last energy of a part of the deck, and the structure it belongs to."""
    energies = {words[0]: float(words[1]) for words in done.lines("ENERGY")}
    boxes = {words[0]: np.diag(list(map(float, words[1:]))) for words in done.lines("BOX")}
    table = done.table(f"{name}.dump")
    numbers = np.array([atomic_numbers[TYPES[int(t) - 1]] for t in table["type"]])
    positions = np.stack([table[axis] for axis in ("xu", "yu", "zu")], axis=1)
    return energies[name], Structure(positions, numbers, boxes.get(name, start.cell), start.pbc)


@pytest.fixture(scope="module")
def runs(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """The same deck on 1 and 2 ranks."""
    done = {}
    for ranks in (1, 2):
        folder = tmp_path_factory.mktemp(f"dynamics-{ranks}")
        for name, structure in (("beam", BEAM), ("block", BLOCK), ("cluster", CLUSTER)):
            write_data(folder / f"{name}.data", structure)
        common = {"seed": SEED, "skin": 0.5, "file": models["lj"], "data": "block"}
        beam = common | {"data": "beam"}
        deck = (NVE + MORE).replace(ALONE, BOTH).format(**beam, soft=models["soft"], name="near", steps=120)
        deck += NVE.format(**beam, name="lj", steps=200)
        deck += NVE.format(**beam | {"skin": 2.0}, name="lj-wide", steps=200)
        deck += PIECES.format(**beam, name="lj-pieces", steps=160)
        deck += RESTART.format(**common, name="restart")
        deck += SQUEEZE.format(**common, name="squeeze")
        deck += IMPLODE.format(**common | {"skin": 5.0, "data": "cluster"}, name="implode")
        deck += SWAP.format(**common, name="swap")
        done[ranks] = run(folder, deck, ranks=ranks, timeout=300).ok()
    return done


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("table", "tolerance"), [(0, 4e-4), (3, 2e-4)], ids=["DimeNet++", "Lennard-Jones"])
def test_energy_is_conserved(runs: dict[int, Run], ranks: int, table: int, tolerance: float) -> None:
    thermo = runs[ranks].thermo()[table]
    drift = np.abs(thermo["TotEng"] - thermo["TotEng"][0]).max() / len(BEAM)
    exchanged = np.ptp(thermo["PotEng"]) / len(BEAM)
    assert drift < tolerance, f"seed {SEED}: {drift} eV per atom"
    assert exchanged > 20 * drift, f"seed {SEED}: potential energy hardly changed"


@pytest.mark.parametrize("name", ["near", "lj", "restart"])
def test_ranks_follow_the_same_path(runs: dict[int, Run], name: str) -> None:
    one, two = (runs[ranks].table(f"{name}.dump") for ranks in (1, 2))
    for column in PATH:
        assert deviation(two[column], one[column]) < 1e-9, f"{column}, seed {SEED}"


@pytest.mark.parametrize("name", ["near", "lj"])
def test_atoms_did_change_ranks(runs: dict[int, Run], name: str) -> None:
    first, last = (runs[2].table(f"{name}{when}.dump") for when in ("-first", ""))
    assert np.sum(first["proc"] != last["proc"]) > 5


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("other", ["lj-wide", "lj-pieces-end"])
def test_skin_and_pieces_change_nothing(runs: dict[int, Run], ranks: int, other: str) -> None:
    """A skin of 2.0 instead of 0.5 Å; 160 + 20 + 20 steps with ``pre no`` and ``run 0`` between instead of 200."""
    one, two = (runs[ranks].table(f"{name}.dump") for name in ("lj", other))
    for column in PATH:
        assert deviation(two[column], one[column]) < 1e-9, f"{column}, seed {SEED}"


@pytest.mark.parametrize("ranks", [1, 2])
def test_run_0_twice(runs: dict[int, Run], ranks: int) -> None:
    energies = [float(words[1]) for words in runs[ranks].lines("ENERGY") if words[0] == "again"]
    last = runs[ranks].thermo()[0]["PotEng"][-1]
    assert energies[0] == pytest.approx(energies[1], abs=1e-11)
    assert energies[0] == pytest.approx(last, abs=1e-4)


@pytest.mark.parametrize("ranks", [1, 2])
def test_restart_continues_as_if_uninterrupted(runs: dict[int, Run], ranks: int) -> None:
    straight, continued = (runs[ranks].table(f"restart{part}.dump") for part in ("", "-continued"))
    for column in PATH:
        assert deviation(continued[column], straight[column]) < 1e-10, f"{column}, seed {SEED}"


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_shrinking_box_loses_no_pairs(runs: dict[int, Run], ranks: int) -> None:
    energy, squeezed = energy_and_structure(runs[ranks], "squeeze", BLOCK)
    assert squeezed.volume < 0.5 * BLOCK.volume
    assert energy == pytest.approx(predict(BUILD["lj"], squeezed).energy, rel=1e-10)


@pytest.mark.parametrize("ranks", [1, 2])
def test_arrays_grow_between_rebuilds(runs: dict[int, Run], ranks: int) -> None:
    energy, dense = energy_and_structure(runs[ranks], "implode", CLUSTER)
    before, after = (len(find_pairs(s, BUILD["lj"].cutoff)) for s in (CLUSTER, dense))
    assert after > 1.5 * before
    assert energy == pytest.approx(predict(BUILD["lj"], dense).energy, rel=1e-10)
    builds = re.findall(r"Neighbor list builds = (\d+)", runs[ranks].text)
    assert builds[IMPLOSION] == "0"


@pytest.mark.parametrize("ranks", [1, 2])
def test_types_that_change_without_new_lists(runs: dict[int, Run], ranks: int) -> None:
    energy, swapped = energy_and_structure(runs[ranks], "swap", BLOCK)
    (swaps,) = [float(words[1]) for words in runs[ranks].lines("SWAPS")]
    assert swaps > 3, f"seed {SEED}: nothing was swapped"
    assert energy == pytest.approx(predict(BUILD["lj"], swapped).energy, rel=1e-10)
