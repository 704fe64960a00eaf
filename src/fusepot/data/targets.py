"""What an EXP trainer trains on: a crystal at some temperatures, and measured values its simulations should reproduce.

An experiment file is TOML::

    symmetry = "hexagonal"           # of the crystal, optional; observables may make use of it
    temperatures_K = [23, 323]
    rows = ["more.csv"]              # optional: long tables, one target per row

    [crystal]
    prototype = "hcp"                # hcp, fcc or bcc in rectangular cells of 4, 4 or 2 atoms
    element = "Ti"
    lattice = "hcp_titanium"         # a table with a (and c) by temperature, or {a = 2.95, c = 4.68} in Å
    # file = "cell.extxyz"           # instead of these three
    repeat = [4, 4, 4]

    [[targets]]
    observable = "C11_adiabatic"     # as fusepot.observables calls it
    table = "hcp_titanium"           # values by temperature
    quantity = "C11"                 # the table's column, if it is not called what the observable is
    weight = 1.0                     # per unit^2, of the squared deviation; 1 / uncertainty^2 if not given

    [[targets]]
    observable = "pressure"
    value = 0.0                      # or one value, at all temperatures or at temperature_K
    unit = "GPa"
    uncertainty = 0.3
    source = "cells are those measured at ambient pressure"

Tables are wide ones (``fusepot.data.experiment``), by the name of one that ships with fusepot or as a CSV file, and are
interpolated between the measured temperatures, linearly. ``rows`` are CSV files with the header
``temperature_K,observable,value,uncertainty,unit,source[,weight]``, where what is not known may be left empty; lines
that start with ``#`` are comments. Paths are relative to the experiment file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from fusepot.data.crystals import CrystalSection, crystal_at, table_path
from fusepot.data.experiment import load_measurements
from fusepot.data.target_entries import Entry, Tables, Target, TargetSection, read_rows, target_at
from fusepot.errors import ConfigError
from fusepot.structure import Structure
from fusepot.toml_files import Section, parse_section, read_toml

__all__ = ["Condition", "Experiment", "Target", "load_experiment"]


@dataclass(frozen=True)
class Condition:
    """A simulation at constant volume, and what it should give.

    Attributes:
        temperature_K: positive.
        structure: the crystal, atoms on their sites, in the cell measured at this temperature.
        targets: at least one; each observable once.
    """

    temperature_K: float  # noqa: N815
    structure: Structure
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Experiment:
    """What was measured on a crystal.

    Attributes:
        symmetry: "hexagonal", "cubic", ...; None where observables shall make no use of it.
        conditions: in the order of the temperatures.
        sha256: hash of all that a training depends on; not of paths, sources and comments.
    """

    symmetry: str | None
    conditions: tuple[Condition, ...]
    sha256: str


class ExperimentFile(Section):
    """An experiment file: a crystal, temperatures, and measured values."""

    symmetry: str | None = Field(default=None, description="of the crystal; observables make use of it")
    temperatures_K: tuple[float, ...]  # noqa: N815
    rows: tuple[str, ...] = Field(default=(), description="CSV files, one target per row")
    crystal: CrystalSection
    targets: tuple[TargetSection, ...] = ()


def load_experiment(path: str | Path, *, temperatures_K: Sequence[float] | None = None) -> Experiment:
    """Read an experiment file; the head of this module describes it.

    Args:
        path: a TOML file.
        temperatures_K: instead of those of the file.

    Raises:
        ConfigError: an unknown key (names the nearest known one); an unusable or missing value; a temperature without
            targets, or outside what was measured; an observable with two targets at one temperature.
        DataError: a table or a structure file is damaged; names file and line.
        InputError: there is no such table.
    """
    path = Path(path)
    content = parse_section(read_toml(path, argument="experiment"), ExperimentFile, prefix=f"{path}: ")
    _check_symmetry(content, str(path))
    _check_temperatures(content.temperatures_K, f"{path}: temperatures_K")
    chosen = content.temperatures_K if temperatures_K is None else tuple(float(t) for t in temperatures_K)
    _check_temperatures(chosen, "temperatures_K")
    entries = [Entry(section, f"{path}: target {section.observable}") for section in content.targets]
    entries += [entry for name in content.rows for entry in read_rows(path.parent / name)]
    for entry in entries:
        # A mistyped temperature would otherwise drop a target without a word.
        if not any(entry.at(temperature) for temperature in (*content.temperatures_K, *chosen)):
            got = f"a target at {entry.section.temperature_K:g} K"
            raise ConfigError(entry.where, got=got, expected=f"one of {_listed(content.temperatures_K)} K")
    names = dict.fromkeys(entry.section.table for entry in entries if entry.section.table is not None)
    tables = {name: load_measurements(table_path(name, path.parent)) for name in names}
    conditions = tuple(
        Condition(
            temperature,
            crystal_at(content.crystal, temperature, folder=path.parent, where=f"{path}: crystal"),
            _targets_at(temperature, entries, tables, path=path),
        )
        for temperature in chosen
    )
    return Experiment(content.symmetry, conditions, _hash(content.symmetry, conditions))


def _check_symmetry(content: ExperimentFile, where: str) -> None:
    """Observables that make use of a symmetry rely on axes along x, y, z as the prototypes of that symmetry have."""
    if content.symmetry is None or content.crystal.file is not None:
        return
    expected = content.crystal.known.symmetry
    if content.symmetry != expected:
        raise ConfigError(
            f"{where}: symmetry",
            got=repr(content.symmetry),
            expected=f"{expected!r}, or none, for {content.crystal.prototype}",
        )


def _check_temperatures(values: Sequence[float], argument: str) -> None:
    if not values or len(set(values)) < len(values) or not all(0 < value < float("inf") for value in values):
        raise ConfigError(argument, got=_listed(values), expected="at least one temperature above 0 K, each once")


def _listed(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"


def _targets_at(temperature_K: float, entries: Sequence[Entry], tables: Tables, *, path: Path) -> tuple[Target, ...]:
    found: dict[str, Target] = {}
    for entry in entries:
        name = entry.section.observable
        if not entry.at(temperature_K):
            continue
        if name in found:
            raise ConfigError(
                entry.where,
                got=f"a second target for {name} at {temperature_K:g} K",
                expected="one for each observable",
                remedy="Remove one of them, or limit them by temperature_K.",
            )
        found[name] = target_at(entry, temperature_K, tables)
    if not found:
        raise ConfigError(f"{path}: targets", got=f"none at {temperature_K:g} K", expected="at least one")
    return tuple(found.values())


def _hash(symmetry: str | None, conditions: Sequence[Condition]) -> str:
    """Hash of the numbers: twelve digits, positions and cells to 1e-8 Å, so that rounding of a machine has no part."""
    digest = hashlib.sha256(repr(symmetry).encode())
    for condition in conditions:
        structure = condition.structure
        digest.update(f"{condition.temperature_K:.12g} {structure.pbc.tolist()}".encode())
        for array in (structure.numbers, (structure.positions * 1e8).round(), (structure.cell * 1e8).round()):
            digest.update(array.astype("<i8").tobytes())
        for t in condition.targets:
            numbers = [f"{x:.12g}" for x in (t.value, t.weight, t.uncertainty or 0.0)]
            digest.update(repr((t.observable, t.unit, *numbers)).encode())
    return digest.hexdigest()
