"""The crystal of an experiment at a temperature: a prototype with measured lattice constants, or a cell from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from fusepot.data.experiment import interpolate, load_measurements
from fusepot.errors import ConfigError, DataError, InputError
from fusepot.structure import Structure
from fusepot.toml_files import Section


class Prototype(NamedTuple):
    """A crystal in a rectangular cell, lattice vectors along x, y, z.

    Attributes:
        symmetry: as observables call it.
        edges: lengths of the lattice vectors, in units of a; the last one in units of c where there is a c.
        sites: (atoms, 3) in units of the lattice vectors.
        has_c: whether there is a second lattice constant.
    """

    symmetry: str
    edges: tuple[float, float, float]
    sites: tuple[tuple[float, float, float], ...]
    has_c: bool


# hcp as lammps_interface/decks/npt_hcp.in builds it: close-packed rows along x, c along z.
HCP = ((0, 0, 0), (1 / 2, 1 / 2, 0), (1 / 2, 5 / 6, 1 / 2), (0, 1 / 3, 1 / 2))
FCC = ((0, 0, 0), (0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0))
BCC = ((0, 0, 0), (1 / 2, 1 / 2, 1 / 2))
PROTOTYPES: Mapping[str, Prototype] = MappingProxyType(
    {
        "hcp": Prototype("hexagonal", (1, 3**0.5, 1), HCP, has_c=True),
        "fcc": Prototype("cubic", (1, 1, 1), FCC, has_c=False),
        "bcc": Prototype("cubic", (1, 1, 1), BCC, has_c=False),
    }
)


class LatticeSection(Section):
    """``lattice = {...}``: lattice constants in Å, at all temperatures."""

    a: PositiveFloat
    c: PositiveFloat | None = None


class CrystalSection(Section):
    """``[crystal]``: a prototype, or a file."""

    prototype: Literal[tuple(PROTOTYPES)] | None = None  # type: ignore[valid-type]
    element: str | None = None
    lattice: str | LatticeSection | None = Field(default=None, description="table with a (and c), or the constants, Å")
    file: str | None = Field(default=None, description="a periodic cell in extended XYZ, at all temperatures")
    repeat: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(default=(1, 1, 1), description="cells along each axis")

    @model_validator(mode="after")
    def _complete(self) -> CrystalSection:
        given = {value is not None for value in (self.prototype, self.element, self.lattice)}
        if given != {self.file is None}:
            raise ValueError("either prototype, element and lattice, or file")
        if self.element is not None and atomic_numbers.get(self.element, 0) < 1:
            raise ValueError(f"a chemical element, not {self.element!r}")
        if isinstance(self.lattice, LatticeSection) and (self.lattice.c is not None) != self.known.has_c:
            raise ValueError(f"lattice constants {'a and c' if self.known.has_c else 'a only'} for {self.prototype}")
        return self

    @property
    def known(self) -> Prototype:
        """What the name of the prototype stands for."""
        return PROTOTYPES[str(self.prototype)]


def table_path(name: str, folder: Path) -> str | Path:
    """A table as ``load_measurements`` wants it: a CSV file is taken from the folder of the file that names it."""
    return folder / name if Path(name).suffix == ".csv" else name


def crystal_at(section: CrystalSection, temperature_K: float, *, folder: Path, where: str) -> Structure:
    """The crystal with the cell that it has at a temperature.

    Args:
        section: which crystal.
        temperature_K: temperature, for tables of lattice constants.
        folder: paths are relative to it.
        where: the section's place, for messages.

    Raises:
        ConfigError: the table has no lattice constants at this temperature, in Å.
        DataError: the file is unreadable, or holds no single periodic cell.
        InputError: there is no such table.
    """
    if section.file is not None:
        return Structure.from_ase(_read(folder / section.file).repeat(section.repeat))
    prototype = section.known
    a, c = _lattice_constants(section, temperature_K, folder=folder, where=where)
    x, y, z = prototype.edges
    sites = np.array(prototype.sites)
    cell = (x * a, y * a, z * (c if prototype.has_c else a))
    atoms = Atoms([section.element] * len(sites), scaled_positions=sites, cell=cell, pbc=True)
    return Structure.from_ase(atoms.repeat(section.repeat))


def _lattice_constants(
    section: CrystalSection, temperature_K: float, *, folder: Path, where: str
) -> tuple[float, float]:
    """Both constants in Å; where there is no c, a stands for it."""
    if isinstance(section.lattice, LatticeSection):
        return section.lattice.a, section.lattice.c or section.lattice.a
    table = load_measurements(table_path(str(section.lattice), folder))
    names = ("a", "c") if section.known.has_c else ("a", "a")
    units = {m.unit for m in table if m.quantity in names}
    if units - {"Å"}:
        raise ConfigError(f"{where}.lattice", got=f"{section.lattice}, in {', '.join(sorted(units))}", expected="Å")
    try:
        a, c = (interpolate(table, name, temperature_K) for name in names)
    except InputError as error:
        needed = f"{' and '.join(dict.fromkeys(names))} at {temperature_K:g} K"
        raise ConfigError(f"{where}.lattice", got=f"{section.lattice} ({error})", expected=needed) from error
    return a, c


def _read(path: Path) -> Atoms:
    expected = "one cell in extended XYZ, periodic in all three directions"
    try:
        frames = ase.io.read(path, index=":", format="extxyz")
    except (OSError, ValueError, IndexError, KeyError, RuntimeError, StopIteration) as error:
        raise DataError(str(path), got=f"a file ASE cannot read ({error})", expected=expected) from error
    if len(frames) != 1 or not frames[0].pbc.all():
        raise DataError(str(path), got=f"{len(frames)} structures" if len(frames) != 1 else "no pbc", expected=expected)
    return frames[0]
