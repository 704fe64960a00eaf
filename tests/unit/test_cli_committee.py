"""A committee from the command line: train with several seeds, join, evaluate; mistakes are one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import committees
import labelled
from fusepot.committee import provenances, split
from fusepot.potential_file import load_potential, save_potential

CONFIG = f"{labelled.RUN}[training]\nepochs = 1\natoms_per_bin = 40\n"


def test_train_with_seeds_join_and_evaluate(run, tmp_path):
    labelled.write_extxyz(tmp_path / "set.extxyz", labelled.dataset().samples[4:12])
    (tmp_path / "lj.toml").write_text(CONFIG)
    for seed in (0, 7):
        code, stdout, stderr = run("train", "lj.toml", "--seed", seed)
        assert (code, f"Saved lj-seed{seed}-run/potential.fusepot" in stdout) == (0, True), stderr
    files = [f"lj-seed{seed}-run/potential.fusepot" for seed in (0, 7)]
    code, stdout, _ = run("committee", *files, "--out", "both.fusepot")
    assert (code, stdout) == (0, "Saved both.fusepot: committee of 2 lennard-jones potentials for Al Ti\n")
    committee = load_potential(tmp_path / "both.fusepot")
    assert [one["config"]["training"]["seed"] for one in provenances(committee)] == [0, 7]
    for part, file in zip(split(committee), files, strict=True):
        np.testing.assert_array_equal(part.params["sigma"], load_potential(tmp_path / file).params["sigma"])

    code, stdout, _ = run("evaluate", "both.fusepot")
    assert code == 0
    assert "both.fusepot on test set of set.extxyz" in stdout
    assert "Force deviation of the 2 members" in stdout
    assert "rank correlation over atoms" in stdout
    assert "Force deviation" not in run("evaluate", files[0])[1]

    # A run with another seed is another run: its checkpoint is not continued.
    code, _, stderr = run("train", "lj.toml", "--seed", 8, "--out", "lj-seed7-run")
    assert (code, "another configuration" in stderr) == (2, True)
    code, _, stderr = run("train", "lj.toml", "--seed", -1)
    assert (code, "training.seed: got -1, expected greater than or equal to 0" in stderr) == (2, True)


@pytest.fixture
def files(tmp_path):
    """Three files of one kind: a, b, and one with other reference energies."""
    first, second, third = committees.lennard_jones_parts()
    other = replace(third, reference_energies=(-1.0, -1.25))
    for name, potential in {"a": first, "b": second, "other": other}.items():
        save_potential(potential, tmp_path / name)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "--out", "c"), "FILES: got a, expected at least two potential files"),
        (("a", "b", "--out", "b"), "--out: got b, which is a member"),
        (("a", "missing", "--out", "c"), "missing: does not exist"),
        (("a", "other", "--out", "c"), "other: got reference energies -1.0, -1.25 eV, expected -1.0, -1.5 eV as in a"),
        (("a", "b", "a", "--out", "c"), "a: got the parameters of a, expected others"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run, tmp_path, arguments, message):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, stdout, stderr = run("committee", *arguments)
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert message in stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_verify_takes_committees(run, tmp_path, monkeypatch):
    from fusepot import testing

    save_potential(committees.lennard_jones(2), tmp_path / "both")
    monkeypatch.setattr(testing, "verify", lambda potential, structure: seen.append(potential.members) or [])
    seen: list[int] = []
    assert run("verify", "both")[0] == 0
    assert seen == [2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"sha256": "two"}}, "the members were trained on different data"),
        ({"config": {"data": {"path": "p", "seed": 1}}}, "the members were trained on different data"),
    ],
)
def test_evaluate_needs_data_where_members_do_not_share_theirs(run, tmp_path, changes, message):
    known = {"config": {"data": {"path": "p", "seed": 0}}, "data": {"sha256": "one"}}
    committee = replace(committees.lennard_jones(2), provenance={"members": [known, known | changes]})
    save_potential(committee, tmp_path / "both")
    code, _, stderr = run("evaluate", "both")
    assert (code, message in stderr, stderr.count("\n")) == (2, True, 1)
    save_potential(replace(committee, provenance={}), tmp_path / "unknown")
    code, _, stderr = run("evaluate", "unknown")
    assert (code, "the file does not name its own" in stderr) == (2, True)
