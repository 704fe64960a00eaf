"""Structures to LAMMPS and numbers back: files that the deck forces.in reads, and what it wrote about them.

LAMMPS wants the first lattice vector along x and the second in the xy plane. ``ase.calculators.lammps.Prism`` turns
structures there, and forces and stresses back.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.calculators.lammps import Prism
from ase.geometry import complete_cell
from ase.io.lammpsdata import write_lammps_data
from ase.stress import voigt_6_to_full_3x3_stress

from fusepot.errors import InputError
from fusepot.potential import Prediction
from fusepot.structure import FloatArray, Structure
from fusepot.validation.interface import RunFailed

BAR_PER_EV_PER_A3 = 1.6021765e6  # as LAMMPS rounds it in units metal; CODATA differs by 8e-8
VOIGT_OF_LAMMPS = (0, 1, 2, 5, 4, 3)  # where xx yy zz yz xz xy stand among LAMMPS's xx yy zz xy xz yz


class Relaxed(NamedTuple):
    """What forces.in did to the box it relaxed.

    Attributes:
        stretch: (3,) factors of its edges.
        energy: eV per atom.
        pressure: (2,) left along x and along z, bar.
    """

    stretch: FloatArray
    energy: float
    pressure: FloatArray


def periodic(structure: Structure, gap: float) -> Structure:
    """The structure itself if it is periodic in three directions; else in a box with ``gap`` Å of vacuum around.

    No pair reaches through a gap wider than the cutoff, so energy and forces are those of the open structure.
    """
    if structure.pbc.all():
        return structure
    directions = complete_cell(structure.cell * structure.pbc[:, None])
    cell = directions.copy()
    for axis in np.flatnonzero(~structure.pbc):  # its vector is perpendicular to all others
        unit = directions[axis] / np.linalg.norm(directions[axis])
        cell[axis] = unit * (np.ptp(structure.positions @ unit) + gap)
    return Structure(structure.positions, structure.numbers, cell, np.ones(3, dtype=bool))


def dump_file(structures: Sequence[Structure], elements: Sequence[str], *, gap: float) -> str:
    """The text of a dump that forces.in reads, exact to the last digit; atom IDs are indices + 1, steps begin at 1.

    Args:
        structures: any periodicity, any cell.
        elements: of the atom types, the deck's variable ``elements``.
        gap: Å of vacuum along open directions; wider than the potential's cutoff.

    Raises:
        InputError: a structure has another element.
    """
    lines = []
    for step, structure in enumerate(structures, start=1):
        if unknown := sorted(set(structure.symbols) - set(elements)):
            raise InputError(
                f"structure {step - 1}", got=f"an atom of {unknown[0]}", expected=f"atoms of {', '.join(elements)}"
            )
        box = periodic(structure, gap)
        prism = Prism(box.cell)
        lx, ly, lz, xy, xz, yz = prism.get_lammps_prism()
        # Bounds of a triclinic box are those of a box around it.
        bounds = [
            (min(0, xy, xz, xy + xz), lx + max(0, xy, xz, xy + xz), xy),
            (min(0, yz), ly + max(0, yz), xz),
            (0.0, lz, yz),
        ]
        lines += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", str(len(box))]
        lines += ["ITEM: BOX BOUNDS xy xz yz pp pp pp", *(f"{a:.17g} {b:.17g} {c:.17g}" for a, b, c in bounds)]
        lines += ["ITEM: ATOMS id type x y z"]
        for atom, (symbol, place) in enumerate(zip(box.symbols, prism.vector_to_lammps(box.positions), strict=True), 1):
            lines.append(f"{atom} {list(elements).index(symbol) + 1} {place[0]:.17g} {place[1]:.17g} {place[2]:.17g}")
    return "\n".join(lines) + "\n"


def data_file(structure: Structure, elements: Sequence[str]) -> str:
    """The text of a data file of a periodic structure in an orthogonal box, to be relaxed by forces.in."""
    text = io.StringIO()
    write_lammps_data(text, structure.to_ase(), specorder=list(elements), masses=True)
    return text.getvalue()


def served_predictions(folder: Path, structures: Sequence[Structure], *, gap: float) -> list[Prediction]:
    """What LAMMPS said about structures, in their own orientation. It is asked for no energies of atoms: those are NaN.

    Args:
        folder: where forces.in ran, with ``out`` run.
        structures: as given to ``dump_file``; where the deck relaxed a box, ``stretched`` as it was.
        gap: the same as there.

    Raises:
        RunFailed: the files are missing, cut short, of other structures, or hold numbers that are not finite.
    """
    try:
        lines = (folder / "run.energies").read_text(encoding="utf-8").splitlines()[1:]
        table = np.array([[float(word) for word in line.split()] for line in lines])
        frames = list(_frames(folder / "run.forces"))
    except (OSError, ValueError, IndexError) as error:
        raise RunFailed(f"forces.in left files that cannot be read: {error}") from error
    if table.shape != (len(structures), 8) or [len(f) for f in frames] != [len(s) for s in structures]:
        raise RunFailed(f"forces.in wrote {len(table)} energies and {len(frames)} frames of other structures")
    if not (np.isfinite(table).all() and all(np.isfinite(frame).all() for frame in frames)):
        raise RunFailed("LAMMPS wrote numbers that are not finite")
    return [
        _prediction(structure, row, forces, gap)
        for structure, row, forces in zip(structures, table, frames, strict=True)
    ]


def relaxed(folder: Path) -> Relaxed:
    """What forces.in wrote about the box it relaxed.

    Raises:
        RunFailed: there is no such file, or it holds something else.
    """
    try:
        text = (folder / "run.relaxed").read_text(encoding="utf-8")
        x, z, energy, along_x, along_z = (float(word) for word in text.split())
    except (OSError, ValueError) as error:
        raise RunFailed(f"forces.in relaxed no box: {error}") from error
    return Relaxed(np.array([x, x, z]), energy, np.array([along_x, along_z]))


def stretched(structure: Structure, factors: FloatArray) -> Structure:
    """Positions and cell times (3,) factors along x, y and z."""
    return replace(structure, positions=structure.positions * factors, cell=structure.cell * factors)


def _prediction(structure: Structure, row: FloatArray, forces: FloatArray, gap: float) -> Prediction:
    """``row``: step, energy, pressure (6,); ``forces``: (atoms, 3). Both as LAMMPS says."""
    box = periodic(structure, gap)
    prism = Prism(box.cell)
    pressure = voigt_6_to_full_3x3_stress(row[2:][list(VOIGT_OF_LAMMPS)])
    virial = -prism.tensor2_to_ase(pressure) * box.volume / BAR_PER_EV_PER_A3
    unknown = np.full(len(structure), np.nan)
    return Prediction(float(row[1]), unknown, prism.vector_to_ase(forces), virial, virial / structure.volume)


def _frames(path: Path) -> Iterator[FloatArray]:
    """(atoms, 3) forces of each frame of a dump with columns id type x y z fx fy fz, sorted by ID."""
    with path.open(encoding="utf-8") as file:
        while head := list(islice(file, 9)):  # step, number of atoms, three bounds, and the lines that announce them
            rows = [line.split() for line in islice(file, int(head[3]))]
            yield np.array([[float(word) for word in row[5:8]] for row in rows]).reshape(-1, 3)
