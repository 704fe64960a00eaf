"""One deck that evaluates many cells with many pair styles, and what LAMMPS said about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusepot.structure import Structure
from seam.cells import TYPES, boundary, write_data
from seam.harness import BAR, ORDER, Run, read_dump

PRESSURE = ["pxx", "pyy", "pzz", "pxy", "pxz", "pyz"]
PER_ATOM = "id proc x y z fx fy fz c_pe " + " ".join(
    [f"c_s[{k}]" for k in range(1, 7)] + [f"c_c[{k}]" for k in range(1, 10)]
)
CENTROID = np.array([(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)])


@dataclass(frozen=True)
class Case:
    """A cell under a pair style: ``style`` and ``coeff`` are what follows pair_style and pair_coeff in the deck."""

    cell: str
    style: str
    coeff: Sequence[str]
    skin: float = 0.5


def fusepot(
    cell: str, file: Path, *, precision: str = "float64", types: Sequence[str] = TYPES, skin: float = 0.5
) -> Case:
    """The case of a potential file."""
    return Case(cell, f"fusepot precision {precision}", [f"* * {file} {' '.join(types)}"], skin)


def deck(folder: Path, cells: dict[str, Structure], cases: dict[str, Case]) -> str:
    """A deck that evaluates each case after a ``clear``; also writes the data files it reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, structure in cells.items():
        write_data(folder / f"{name}.data", structure)
    blocks = []
    for tag, case in cases.items():
        coefficients = "\n".join(f"pair_coeff {line}" for line in case.coeff)
        blocks.append(f"""
clear
units metal
boundary {boundary(cells[case.cell])}
read_data {case.cell}.data
neighbor {case.skin} bin
pair_style {case.style}
{coefficients}
compute pe all pe/atom
compute s all stress/atom NULL
compute c all centroid/stress/atom NULL
dump d all custom 1 {tag.replace("/", "-")}.dump {PER_ATOM}
dump_modify d sort id format float %.17g
thermo_style custom step pe {" ".join(PRESSURE)} vol
run 0
print "RESULT {tag} $(pe:%.17g) {" ".join(f"$({p}:%.17g)" for p in PRESSURE)} $(vol:%.17g)"
""")
    return "".join(blocks)


@dataclass(frozen=True)
class Static:
    """What LAMMPS says about one case; eV, Å. ``virial`` is dE/d(strain), ``owners`` the rank of each atom."""

    energy: float
    energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    virial: NDArray[np.float64]
    stresses: NDArray[np.float64]
    centroid_stresses: NDArray[np.float64]
    owners: NDArray[np.float64]


def read(run: Run) -> dict[str, Static]:
    """Results of every case of a deck."""
    results = {}
    for tag, energy, *words in run.ok().lines("RESULT"):
        *pressure, volume = map(float, words)
        table = read_dump(run.folder / f"{tag.replace(chr(47), chr(45))}.dump")
        n = len(table["id"])
        stresses, centroid = np.zeros((n, 3, 3)), np.zeros((n, 3, 3))
        for k, (a, b) in enumerate(ORDER, 1):
            stresses[:, a, b] = stresses[:, b, a] = table[f"c_s[{k}]"] / BAR
        for k, (a, b) in enumerate(CENTROID, 1):
            centroid[:, a, b] = table[f"c_c[{k}]"] / BAR
        results[tag] = Static(
            energy=float(energy),
            energies=table["c_pe"],
            forces=np.stack([table[f] for f in ("fx", "fy", "fz")], axis=1),
            virial=-symmetric(pressure) * volume / BAR,
            stresses=stresses,
            centroid_stresses=centroid,
            owners=table["proc"],
        )
    return results


def symmetric(components: Sequence[float]) -> NDArray[np.float64]:
    """The (3, 3) tensor of six components in LAMMPS's order."""
    tensor = np.zeros((3, 3))
    for value, (a, b) in zip(components, ORDER, strict=True):
        tensor[a, b] = tensor[b, a] = value
    return tensor


def deviation(got: object, expected: object) -> float:
    """Largest absolute difference of two arrays of one shape."""
    a, b = np.asarray(got, dtype=float), np.asarray(expected, dtype=float)
    assert a.shape == b.shape, f"{a.shape} is not {b.shape}"
    return float(np.abs(a - b).max(initial=0.0))
