"""``fusepot validate`` from the command line, on one small check: real LAMMPS runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusepot.cli.commands import app
from fusepot.errors import ConfigError, InputError

ROOT = Path(__file__).parents[2]
POTENTIAL = ROOT / "potentials/ti-pbe-nep/potential.fusepot"
LATTICE = """
[[lattice]]
table = "hcp_titanium"
temperatures_K = [300]
limit_percent = {limit}
"""


def validate(folder: Path, *words: str, limit: float = 0.5, file: Path = POTENTIAL, text: str = LATTICE):
    (folder / "validation.toml").write_text('element = "Ti"\n' + text.format(limit=limit))
    words = ("--experiment", str(folder / "validation.toml"), "--out", str(folder / "out"), *words)
    return CliRunner().invoke(app, ["validate", str(file), *words])


def numbers(folder: Path) -> dict:
    content = json.loads((folder / "out/report.json").read_text())
    (check,) = content["checks"]
    return {row["quantity"]: row for row in check["rows"]}


def test_a_report_and_the_same_report_again(tmp_path: Path) -> None:
    done = validate(tmp_path, "--quick")
    assert done.exit_code == 0, done.output
    rows = numbers(tmp_path)
    assert set(rows) == {"a", "c"}
    assert abs(rows["a"]["value"] - 2.9506) < 0.02
    assert 0 < rows["a"]["error"] < 0.01
    page = (tmp_path / "out/report.html").read_text()
    assert "ti-pbe-nep" in page
    assert "300 K" in page
    log = tmp_path / "out/runs/ti-pbe-nep/lattice/300K_0GPa/log.lammps"
    before = log.stat().st_mtime_ns
    # A limit is of the report, not of the run.
    again = validate(tmp_path, "--quick", limit=1e-6)
    assert again.exit_code == 0, again.output
    assert log.stat().st_mtime_ns == before
    assert [row["passed"] for row in numbers(tmp_path).values()] == [False, False]
    assert {row["value"] for row in numbers(tmp_path).values()} == {row["value"] for row in rows.values()}


def test_a_run_that_fails_is_in_the_report_and_in_the_exit_code(tmp_path: Path) -> None:
    melting = LATTICE.replace("[300]", "[9000]")
    done = validate(tmp_path, "--quick", text=melting)
    rows = numbers(tmp_path)
    assert {row["value"] for row in rows.values()} == {None}
    assert all(row["problem"] for row in rows.values())
    failed = (tmp_path / "out/runs/ti-pbe-nep/lattice/9000K_0GPa/failed.json").exists()
    assert done.exit_code == int(failed)  # melted: LAMMPS came to its end, and the report refuses the result


def test_a_job_array_and_one_of_its_runs(tmp_path: Path) -> None:
    done = validate(tmp_path, "--quick", "--slurm", "--ranks", "2")
    assert done.exit_code == 0, done.output
    names = (tmp_path / "out/slurm/jobs.txt").read_text().split()
    assert names == ["ti-pbe-nep/lattice/300K_0GPa"]
    assert not (tmp_path / "out/runs").exists()
    assert validate(tmp_path, "--quick", "--ranks", "2", "--run", names[0]).exit_code == 0
    assert not (tmp_path / "out/report.html").exists()
    assert "on 2 procs for" in (tmp_path / f"out/runs/{names[0]}/log.lammps").read_text()
    assert validate(tmp_path, "--quick").exit_code == 0
    assert numbers(tmp_path)["c"]["value"] > 4.6


@pytest.mark.parametrize(
    ("words", "text", "error", "message"),
    [
        (("--quick", "--paper"), LATTICE, InputError, "preset: got several"),
        (("--only", "lattice,elastc"), LATTICE, InputError, "only: got elastc.*lattice"),
        (("--run", "nowhere"), LATTICE, InputError, "run: got nowhere"),
        (("--quick", "--jobs", "0"), LATTICE, InputError, "jobs: got 0"),
        ((), LATTICE.replace("lattice", "latice"), ConfigError, "latice: got an unknown key.*lattice"),
        ((), LATTICE.replace("[300]", "[-3]"), ConfigError, "temperatures above 0 K"),
    ],
)
def test_mistakes(tmp_path: Path, words, text, error, message) -> None:
    done = validate(tmp_path, *words, text=text)
    with pytest.raises(error, match=f"(?s){message}"):
        raise done.exception


def test_a_potential_that_does_not_know_the_element(tmp_path: Path) -> None:
    (tmp_path / "cu.toml").write_text('element = "Cu"\n')
    done = CliRunner().invoke(app, ["validate", str(POTENTIAL), "--experiment", str(tmp_path / "cu.toml")])
    with pytest.raises(InputError, match="a potential of Ti, expected one that knows Cu"):
        raise done.exception
