"""Merge what label_gpaw.py wrote into the table that ships with fusepot.

    python merge_labels.py part-*.extxyz [--table TABLE]

Run it with the Python that fusepot is installed in. Every structure must be that of plan.extxyz or plan_liquid.extxyz
with its plan_id, with energy, forces and stress that ``fusepot.data`` accepts. A structure that is there already may
come again with the same labels, and the table's stay; with other labels nothing is written, and the message names
both files. The table is sorted by plan_id and replaced in one step; without anything new it stays as it is to the
byte.

Prints the counts by kind before and after, and the sentence for src/fusepot/data/tables/README.md.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from fusepot.data import Labelled, load_dataset
from fusepot.data.checks import check
from fusepot.errors import DataError, FusepotError
from fusepot.files import write_atomically
from fusepot.structure import Structure

HERE = Path(__file__).resolve().parent
TABLE = HERE.parents[2] / "src" / "fusepot" / "data" / "tables" / "ti_pbe.extxyz"

# Two runs of GPAW on one structure agree far better, other settings do not: eV per atom, eV/Å, eV/Å^3.
SAME = {"energy": 1e-4, "forces": 5e-3, "stress": 1e-4}


@dataclass(frozen=True)
class Entry:
    """A labelled structure: as ASE read it and will write it, checked, and where it was found."""

    atoms: Atoms
    sample: Labelled
    where: str


def read_plan(path: Path) -> dict[int, Atoms]:
    """The planned structures by number."""
    return {int(atoms.info["plan_id"]): atoms for atoms in ase.io.read(path, ":")}


def read_labels(path: Path, plan: dict[int, Atoms]) -> list[tuple[int, Entry]]:
    """Numbers and structures of a file.

    Raises:
        DataError: unsound or missing labels, or a structure that is not the plan's.
    """
    dataset, entries = load_dataset(path), []
    for k, (sample, atoms) in enumerate(zip(dataset.samples, ase.io.read(path, ":", format="extxyz"), strict=True)):
        where = f"{path}: structure {k}"
        number = int(atoms.info.get("plan_id", -1))
        if number not in plan:
            raise DataError(f"{where}, plan_id", got=atoms.info.get("plan_id"), expected="a number of plan.extxyz")
        if not all(sample.has):
            raise DataError(where, got="a missing label", expected="energy, forces and stress")
        planned = plan[number]
        kind, rattle = planned.info["config_type"], planned.info.get("rattle")
        if (sample.config_type, atoms.info.get("rattle")) != (kind, rattle) or not _same_place(
            sample.structure, Structure.from_ase(planned)
        ):
            raise DataError(
                where, got="another structure", expected=f"that of plan_id {number}: {kind}, rattle {rattle}"
            )
        entries.append((number, Entry(atoms, sample, where)))
    return entries


def _same_place(a: Structure, b: Structure) -> bool:
    """Whether two structures are equal but for rounding in files (1e-8 Å)."""
    return np.array_equal(a.numbers, b.numbers) and all(
        np.allclose(x, y, rtol=0, atol=1e-7) for x, y in ((a.positions, b.positions), (a.cell, b.cell))
    )


def merge(entries: Iterable[tuple[int, Entry]]) -> dict[int, Entry]:
    """All structures by number, sorted; the first of several that agree.

    Raises:
        DataError: labels of one structure that disagree.
    """
    merged: dict[int, Entry] = {}
    for number, entry in entries:
        first = merged.setdefault(number, entry)
        for name, limit in SAME.items():
            found, known = (np.asarray(getattr(e.sample, name)) for e in (entry, first))
            difference = float(np.abs(found - known).max()) / (len(entry.sample.structure) if name == "energy" else 1)
            if difference > limit:
                raise DataError(
                    f"{entry.where}: {name} of plan_id {number}",
                    got=f"a value {difference:.3g} away from that in {first.where}",
                    expected=f"the same within {limit:g}",
                    remedy="Find out which one is right and remove the other.",
                )
    return dict(sorted(merged.items()))


def text_of(entries: Sequence[Entry]) -> str:
    """The table's content: ASE writes what it read, to the byte."""
    stream = io.StringIO()
    ase.io.write(stream, [entry.atoms for entry in entries], format="extxyz")
    return stream.getvalue()


def counts_table(before: Sequence[Entry], after: Sequence[Entry]) -> str:
    """Markdown: structures by kind."""
    old, new = (Counter(entry.sample.config_type for entry in entries) for entries in (before, after))
    rows = [*((kind, old[kind], new[kind]) for kind in sorted(new)), ("all", len(before), len(after))]
    lines = ["| config_type | before | after |", "|---|---|---|"]
    return "\n".join(lines + [f"| {kind} | {a} | {b} |" for kind, a, b in rows])


def sentence(entries: Sequence[Entry], planned: int) -> str:
    """What the README of the tables says about the set's size."""
    kinds = Counter(entry.sample.config_type for entry in entries)
    sizes = Counter(len(entry.sample.structure) for entry in entries)
    words = [f"{kind.replace('_ev', '_equation of state').replace('_', ' ')} {n}" for kind, n in kinds.most_common()]
    cells = [f"{n} {'of' if k else 'cells of'} {size}" for k, (size, n) in enumerate(sorted(sizes.items()))]
    cells[0] += " atoms"
    return f"{len(entries)} of the {planned} planned so far: {', '.join(words)}; {', '.join(cells)}"


def main() -> None:
    """Read, merge, check, write, count."""
    parser = argparse.ArgumentParser(description="Merge part files of label_gpaw.py into the table of PBE labels.")
    parser.add_argument("parts", type=Path, nargs="+", help="files that label_gpaw.py wrote")
    parser.add_argument("--table", type=Path, default=TABLE, help="extended XYZ file to add to")
    arguments = parser.parse_args()
    try:
        plan = read_plan(HERE / "plan.extxyz") | read_plan(HERE / "plan_liquid.extxyz")
        before = read_labels(arguments.table, plan)
        after = list(
            merge([*before, *(entry for part in arguments.parts for entry in read_labels(part, plan))]).values()
        )
        # All together once more: an energy can be absurd among others only.
        check([entry.sample for entry in after], source="all files together")
    except FusepotError as error:
        print(f"merge_labels: {error}", file=sys.stderr)
        sys.exit(2)
    write_atomically(arguments.table, text_of(after).encode())
    print(counts_table([entry for _, entry in before], after))
    print(f"\n{sentence(after, len(plan))}")


if __name__ == "__main__":
    main()
