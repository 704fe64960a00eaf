"""The command line: results as tables, mistakes as one line on stderr and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import labelled
import potentials
import structures
from fusepot import huge_pages
from fusepot.potential_file import load_potential, save_potential

CONFIG = f"""{labelled.RUN}
[training]
epochs = 2
atoms_per_bin = 40
"""


@pytest.fixture(scope="module")
def lennard_jones(tmp_path_factory):
    path = tmp_path_factory.mktemp("potential") / "lj.fusepot"
    save_potential(potentials.lennard_jones(("Ti", "Al"), cutoff=4.5), path)
    return path


def test_train_evaluate_and_train_again(run, tmp_path):
    labelled.write_extxyz(tmp_path / "set.extxyz", labelled.dataset().samples)
    (tmp_path / "lj.toml").write_text(CONFIG)
    code, stdout, stderr = run("train", "lj.toml")
    assert (code, "Traceback" in stderr) == (0, False)
    assert "validation" in stderr  # progress
    for word in ("train", "test", "meV/atom", "GPa", "Saved lj-run/potential.fusepot"):
        assert word in stdout
    potential = load_potential(tmp_path / "lj-run" / "potential.fusepot")
    assert set(potential.provenance["test_errors"]) == {"energy", "forces", "stress", "virial"}
    assert potential.provenance["errors"]["train"]["forces"]["unit"] == "meV/Å"

    code, stdout, _ = run("train", "lj.toml")
    assert code == 0
    assert "Already finished after 2 epochs" in stdout

    code, stdout, _ = run("evaluate", "lj-run/potential.fusepot")
    assert code == 0
    assert f"{potential.provenance['test_errors']['forces']:.0f}" in stdout
    code, stdout, _ = run("evaluate", "lj-run/potential.fusepot", "set.extxyz")
    assert code == 0
    assert "cluster" in stdout

    # Other data, other results: neither mistaken for the ones before.
    text = (tmp_path / "set.extxyz").read_text()
    (tmp_path / "set.extxyz").write_text(text.replace("config_type=hcp", "config_type=hex"))
    code, _, stderr = run("evaluate", "lj-run/potential.fusepot")
    assert (code, "changed since the training" in stderr) == (2, True)
    code, _, stderr = run("train", "lj.toml")
    assert (code, "another data set" in stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nowhere.toml"), "nowhere.toml"),
        (("train", "typo.toml"), "training.epoch: got an unknown key"),
        (("train", "nodata.toml"), "nodata.extxyz"),
        (("evaluate", "nowhere.fusepot"), "nowhere.fusepot"),
        (("verify", "typo.toml"), "typo.toml"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run, tmp_path, arguments, message):
    (tmp_path / "typo.toml").write_text('[data]\npath = "ti_pbe"\n[training]\nepoch = 3\n')
    (tmp_path / "nodata.toml").write_text('[data]\npath = "nodata.extxyz"\n[training]\nepochs = 3\n')
    code, stdout, stderr = run(*arguments)
    assert code == 2
    assert message in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert stderr.count("\n") == 1


def test_evaluate_needs_data_where_the_file_names_none(run, lennard_jones):
    code, _, stderr = run("evaluate", lennard_jones)
    assert (code, "data: got nothing" in stderr) == (2, True)


def test_evaluate_on_elements_it_does_not_know(run, lennard_jones, tmp_path):
    save_potential(potentials.lennard_jones(("Cu",)), tmp_path / "cu.fusepot")
    code, _, stderr = run("evaluate", "cu.fusepot", "ti_pbe")
    assert (code, "element Ti" in stderr) == (2, True)


def test_verify_and_doctor_report(run, lennard_jones, monkeypatch, tmp_path):
    from fusepot import doctor, testing
    from fusepot.testing import CheckResult

    seen = []
    good, bad = CheckResult("one", True, 0.0, 1e-3, "fine"), CheckResult("two", False, 1.0, 1e-3, "[broken]")
    monkeypatch.setattr(testing, "verify", lambda potential, structure: seen.append(structure) or [good])
    code, stdout, _ = run("verify", lennard_jones)
    assert (code, "one" in stdout, seen) == (0, True, [None])
    structures.hcp().to_ase().write(tmp_path / "hcp.extxyz")
    assert run("verify", lennard_jones, "hcp.extxyz")[0] == 0
    assert len(seen[-1]) == 2
    code, _, stderr = run("verify", lennard_jones, "missing.xyz")
    assert (code, "missing.xyz" in stderr) == (2, True)
    monkeypatch.setattr(doctor, "diagnose", lambda: [good, bad])
    code, stdout, stderr = run("doctor")
    assert (code, "[broken]" in stdout, "1 of 2 checks failed: two" in stderr) == (1, True, True)


def test_help_is_fast_and_loads_no_jax():
    source = str(Path(__file__).parents[2] / "src")
    program = "import sys\nsys.argv = ['fusepot', '--help']\nfrom fusepot.cli import main\n"
    program += "try:\n    main()\nfinally:\n    assert 'jax' not in sys.modules and 'ase' not in sys.modules\n"
    environment = os.environ | {"PYTHONPATH": source}
    job = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert job.returncode == 0, job.stderr
    for command in ("train", "evaluate", "verify", "doctor"):
        assert command in job.stdout


def test_training_restarts_itself_once_with_huge_pages(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execv", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36")
    monkeypatch.setenv(huge_pages.RESTARTED, "1")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    huge_pages.restart_with("fusepot.cli", ["train", "a.toml"])
    assert not calls, "a restarted process does not restart again"
    monkeypatch.delenv(huge_pages.RESTARTED)
    huge_pages.restart_with("fusepot.cli", ["train", "a.toml"])
    assert calls == [(sys.executable, [sys.executable, "-m", "fusepot.cli", "train", "a.toml"])]
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.check=0:glibc.malloc.hugetlb=1"
    monkeypatch.delenv(huge_pages.RESTARTED)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=2")
    huge_pages.restart_with("fusepot.cli", ["train", "a.toml"])
    assert len(calls) == 1, "the user's choice stands"
