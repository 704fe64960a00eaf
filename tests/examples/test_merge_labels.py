"""Merging labels into the shipped table: nothing new changes nothing, and nothing wrong gets in."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fusepot.data import load_dataset
from fusepot.data.extxyz import shipped

SCRIPT = Path(__file__).parents[2] / "examples/titanium/pbe/merge_labels.py"
TABLE = shipped("ti_pbe.extxyz")


def frames() -> list[str]:
    """The text of each structure of the shipped table."""
    lines, found = TABLE.read_text().splitlines(keepends=True), []
    while lines:
        n = int(lines[0]) + 2
        found.append("".join(lines[:n]))
        lines = lines[n:]
    return found


def merge(table: Path, *parts: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, parts), "--table", str(table)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_split_table_is_merged_to_the_same_bytes(tmp_path: Path) -> None:
    every = frames()
    table, first, second = (tmp_path / name for name in ("table.extxyz", "part-a.extxyz", "part-b.extxyz"))
    table.write_text("".join(every[::3]))
    first.write_text("".join(reversed(every[1::3])))  # workers finish in any order
    second.write_text("".join(every[2::3] + every[:4]))  # and may repeat what is there
    job = merge(table, second, first)
    assert job.returncode == 0, job.stderr
    assert table.read_bytes() == TABLE.read_bytes()
    assert f"| all | {len(every[::3])} | {len(every)} |" in job.stdout
    samples = load_dataset(TABLE).samples
    for kind in {sample.config_type for sample in samples}:
        before, after = (sum(s.config_type == kind for s in some) for some in (samples[::3], samples))
        assert f"| {kind} | {before} | {after} |" in job.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-a.extxyz", "part-b.extxyz", "table.extxyz"]


def test_nothing_new_leaves_the_bytes_and_the_readme_says_what_is_there(tmp_path: Path) -> None:
    table = tmp_path / "table.extxyz"
    table.write_bytes(TABLE.read_bytes())
    job = merge(table, TABLE)
    assert job.returncode == 0, job.stderr
    assert table.read_bytes() == TABLE.read_bytes()
    assert job.stdout.splitlines()[-1] in TABLE.with_name("README.md").read_text()


def test_liquids_are_those_planned_and_can_be_merged(tmp_path: Path) -> None:
    table = tmp_path / "table.extxyz"
    table.write_bytes(TABLE.read_bytes())
    liquids = SCRIPT.with_name("liquid.extxyz")
    job = merge(table, liquids)
    assert job.returncode == 0, job.stderr
    assert f"| liquid | 0 | {len(load_dataset(liquids).samples)} |" in job.stdout


def shifted(pattern: str, by: float) -> Callable[[str], str]:
    """A change of the first number that follows a pattern."""

    def change(text: str) -> str:
        return re.sub(rf"({pattern})(-?\d+\.\d+)", lambda m: f"{m[1]}{float(m[2]) + by:.8f}", text, count=1)

    return change


ROW = r"\nTi" + r" +-?\d+\.\d+" * 3 + " +"  # up to the forces of the first atom


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shifted(" energy=", 0.01), "energy of plan_id 3: got a value 0.00125 away from that in"),
        (shifted(ROW, 0.01), "forces of plan_id 3"),
        (shifted('stress="', 0.001), "stress of plan_id 3"),
        (shifted(ROW, 5.0), "add up to"),
        (shifted("\nTi +", 0.001), "expected that of plan_id 3: hcp_thermal, rattle 0.05"),
        (shifted('Lattice="', 0.001), "expected that of plan_id 3: hcp_thermal, rattle 0.05"),
        (shifted(" rattle=", 0.1), "expected that of plan_id 3: hcp_thermal, rattle 0.05"),
        (lambda text: text.replace("hcp_thermal", "hcp_hot"), "expected that of plan_id 3"),
        (lambda text: text.replace("plan_id=3", "plan_id=4"), "expected that of plan_id 4"),
        (lambda text: text.replace("plan_id=3", "plan_id=100000"), "plan_id: got 100000"),
        (lambda text: text.replace("plan_id=3", "number=3"), "plan_id: got None"),
        (lambda text: re.sub(r' stress="[^"]*"', "", text), "got a missing label"),
        (lambda text: text[:-60], "cannot read"),
    ],
)
def test_what_disagrees_is_refused_and_nothing_written(
    tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    every = frames()
    (text,) = (frame for frame in every if "plan_id=3 " in frame)
    table, part = tmp_path / "table.extxyz", tmp_path / "part-a.extxyz"
    table.write_text("".join(every))
    part.write_text(every[-1] + damage(text))
    assert damage(text) != text
    job = merge(table, part)
    assert job.returncode == 2, job.stderr
    assert message in job.stderr
    assert "part-a.extxyz" in job.stderr
    assert len(job.stderr.splitlines()) == 1
    assert table.read_text() == "".join(every)


def test_two_parts_that_disagree_are_refused(tmp_path: Path) -> None:
    every = frames()
    table, first, second = (tmp_path / name for name in ("table.extxyz", "part-a.extxyz", "part-b.extxyz"))
    table.write_text("".join(every[1:]))
    first.write_text(every[0])
    second.write_text(shifted(" energy=", 0.01)(every[0]))
    job = merge(table, first, second)
    assert job.returncode == 2
    assert "part-b.extxyz: structure 0: energy of plan_id 0" in job.stderr
    assert "part-a.extxyz: structure 0" in job.stderr
    assert table.read_text() == "".join(every[1:])


def test_an_energy_that_is_absurd_among_the_others_only_is_refused(tmp_path: Path) -> None:
    every = frames()
    table, part = tmp_path / "table.extxyz", tmp_path / "part-a.extxyz"
    table.write_text("".join(every[1:]))
    part.write_text(shifted(" energy=", 100.0)(every[0]))
    job = merge(table, part)
    assert job.returncode == 2
    assert "all files together: structure 0 (config_type hcp_strained): got an energy" in job.stderr
    assert "eV/atom away from the other structures" in job.stderr
    assert table.read_text() == "".join(every[1:])
