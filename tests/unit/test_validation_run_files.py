"""Files that LAMMPS leaves: restart files and lines cut short, tables over restarts, phases, reasons of failures."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fusepot.validation.analysis.averages import mean_of, read_averages
from fusepot.validation.analysis.phases import require_phase
from fusepot.validation.interface import RunFailed
from fusepot.validation.running.execute import error_in
from fusepot.validation.running.folders import RESTART_END, drop_half_lines, newest_restart


def test_restart_files_that_were_being_written_do_not_count(tmp_path):
    old, new = tmp_path / "run.restart.1", tmp_path / "run.restart.2"
    assert newest_restart(tmp_path) is None
    new.write_bytes(b"LammpS RestartT\0 and half of the rest")
    assert newest_restart(tmp_path) is None
    old.write_bytes(b"LammpS RestartT\0 all of it" + RESTART_END)
    os.utime(old, ns=(1, 1))
    assert newest_restart(tmp_path) == old
    new.write_bytes(b"shorter" + RESTART_END)
    assert newest_restart(tmp_path) == new


def test_half_lines_are_cut(tmp_path):
    contents = {
        "run.averages": (b"# Step a\n0 2.95\n5 2.9", b"# Step a\n0 2.95\n"),
        "run.whole": (b"0 2.95\n", b"0 2.95\n"),
        "run.empty": (b"", b""),
        "run.one": (b"# St", b""),
        "run.restart.1": (b"a\nb\0c", b"a\nb\0c"),
        "run.dump.bin": (b"a\nb\0c", b"a\nb\0c"),
        "log.lammps": (b"a\nb", b"a\nb"),
    }
    for name, (before, _) in contents.items():
        (tmp_path / name).write_bytes(before)
    drop_half_lines(tmp_path)
    for name, (_, after) in contents.items():
        assert (tmp_path / name).read_bytes() == after, name


def test_tables_over_restarts(tmp_path):
    path = tmp_path / "run.averages"
    path.write_text("# TimeStep v_a\n0 1\n5 2.0\n10 99\n1\n# TimeStep v_a\n10 3.0\n15 4.0\n20 5 25 6\n\n")
    np.testing.assert_array_equal(read_averages(path), [[5, 2], [10, 3], [15, 4]])
    np.testing.assert_array_equal(read_averages(path, after=5), [[10, 3], [15, 4]])


@pytest.mark.parametrize(
    ("text", "after", "says"),
    [
        ("# only a head\n", 0, "no row after step 0"),
        ("", 0, "no row after step 0"),
        ("0 1\n5 2\n", 5, "no row after step 5"),
        ("5 1\n10 nan\n", 0, "not finite"),
        ("5 1\n10 inf\n", 0, "not finite"),
        ("5 1\nten 2\n", 0, "no row of numbers: ten 2"),
        (None, 0, "is missing"),
    ],
)
def test_tables_of_no_use(tmp_path, text, after, says):
    path = tmp_path / "run.averages"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunFailed, match=says):
        read_averages(path, after=after)


def test_errors_of_means():
    independent = np.random.default_rng(0).normal(size=1000)
    assert mean_of(independent).error == pytest.approx(1000**-0.5, rel=0.5)
    correlated = np.repeat(independent[:100], 10)  # ten rows count as one
    assert mean_of(correlated).error == pytest.approx(0.1, rel=0.5)
    assert np.isnan(mean_of(np.array([1.0])).error)
    assert mean_of(np.array([1.0, 3.0])).value == 2


@pytest.mark.parametrize("text", ["nan nan nan\n", "", "0.1 0.9\n", "a b c\n", None])
def test_phases_that_are_not_known_never_pass(tmp_path, text):
    path = tmp_path / "run.phase"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunFailed):
        require_phase(path, "hcp")


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("ERROR: Lost atoms: original 4 (src/thermo.cpp:494)\nLast input line: run 5\n", "Lost atoms: original 4"),
        ("LAMMPS\nERROR on proc 1: Neighbor list overflow (../npair.cpp:12)\n", "Neighbor list overflow"),
        ("ERROR: fusepot: no such file (a b.fusepot)\n", "fusepot: no such file (a b.fusepot)"),
        ("WARNING: ERROR is a word\nStep Temp\n", None),
    ],
)  # fmt: skip
def test_reasons(tmp_path, log, reason):
    path = tmp_path / "log.lammps"
    assert error_in(path) is None
    path.write_text(log)
    assert error_in(path) == reason
    assert error_in(path, after=len(log)) is None
