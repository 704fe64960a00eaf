"""Job arrays: the scripts are run by bash, with a program in place of fusepot that notes what it was asked to do."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from fusepot.errors import InputError
from fusepot.validation.interface import Run, Subject
from fusepot.validation.running.slurm import write_job_array

STUB = """#!/bin/bash
printf '%s\\n' "$PWD" "$@" > "$NOTES"
"""


def runs(*names: str) -> list[Run]:
    subject = Subject("ti", Path("ti.fusepot"))
    return [Run(name, subject, "npt_hcp.in", {}, 100, 16) for name in names]


def execute(script: Path, folder: Path, task: str | None) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Run the script elsewhere, as sbatch does; gives what the stub of fusepot was called with, its folder first."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "fusepot").write_text(STUB)
    (programs / "fusepot").chmod(0o755)
    spool = folder / "spool.sh"  # sbatch runs a copy
    spool.write_bytes(script.read_bytes())
    notes = folder / "notes"
    notes.unlink(missing_ok=True)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "NOTES": str(notes)}
    environment.pop("SLURM_ARRAY_TASK_ID", None)
    if task is not None:
        environment["SLURM_ARRAY_TASK_ID"] = task
    done = subprocess.run(["bash", str(spool)], cwd="/", env=environment, capture_output=True, text=True, check=False)
    return done, notes.read_text().splitlines() if notes.exists() else []


def directives(script: Path) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.+)$", script.read_text(), re.MULTILINE))


def test_each_task_runs_its_line_whatever_names_and_paths_contain(tmp_path, monkeypatch):
    work = tmp_path / "a folder with 'quotes' and $HOME"
    work.mkdir()
    monkeypatch.chdir(work)
    names = ["ti pbe/lattice/4K", "ti's/$(reboot)/23K", 'say "hi"/lattice/*', "plain/a&b;c/\\n"]
    command = ["fusepot", "validate", "my potential.fusepot", "it's.fusepot", "--experiment", "a b.toml", "--out", "$x"]
    script = write_job_array(Path("re port"), runs(*names), command, ranks=2, jobs=3)
    assert script == work / "re port" / "slurm" / "array.sh"
    assert os.access(script, os.X_OK)
    assert (script.parent / "jobs.txt").read_text().splitlines() == names
    subprocess.run(["bash", "-n", str(script)], check=True)
    for task, name in enumerate(names, start=1):
        done, called = execute(script, tmp_path, str(task))
        assert done.returncode == 0, done.stderr
        assert called == [str(work), *command[1:], "--ranks", "2", "--jobs", "1", "--run", name]


def test_directives(tmp_path):
    script = write_job_array(tmp_path, runs("a", "b", "c"), ["fusepot", "validate"], ranks=4, jobs=2)
    assert directives(script) == {
        "job-name": "fusepot-validate", "array": "1-3%2", "nodes": "1", "ntasks": "4", "cpus-per-task": "1"
    }  # fmt: skip
    text = script.read_text()
    assert text.startswith("#!/bin/bash\n#SBATCH ")
    assert f"sbatch {script}" in text
    first_command = next(k for k, line in enumerate(text.splitlines()) if not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in text.splitlines()[first_command:])  # sbatch stops reading


def test_the_comment_says_how_to_make_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = write_job_array(tmp_path / "out", runs("a"), ["fusepot", "validate", "a b"], ranks=1, jobs=1)
    comments = [line.lstrip("# ") for line in script.read_text().splitlines() if line.startswith("#")]
    assert f"cd {tmp_path} && fusepot validate 'a b'" in comments


def test_one_rank_and_more_jobs_than_runs(tmp_path):
    script = write_job_array(tmp_path, runs("only"), ["fusepot", "validate"], ranks=1, jobs=8)
    assert directives(script)["array"] == "1-1%1"
    assert directives(script)["ntasks"] == "1"
    _, called = execute(script, tmp_path, "1")
    assert called[1:] == ["validate", "--ranks", "1", "--jobs", "1", "--run", "only"]


@pytest.mark.parametrize(("task", "says"), [("3", "no line 3"), (None, "SLURM_ARRAY_TASK_ID: is set by sbatch")])
def test_a_task_without_a_line_runs_nothing(tmp_path, task, says):
    script = write_job_array(tmp_path, runs("a", "b"), ["fusepot", "validate"], ranks=1, jobs=2)
    done, called = execute(script, tmp_path, task)
    assert done.returncode != 0
    assert says in done.stderr
    assert not called


def test_the_task_ends_with_the_exit_code_of_its_run(tmp_path):
    script = write_job_array(tmp_path, runs("a"), ["bash", "-c", "exit 7"], ranks=1, jobs=1)
    done, _ = execute(script, tmp_path, "1")
    assert done.returncode == 7


def test_nothing_to_run_leaves_no_script(tmp_path):
    assert write_job_array(tmp_path / "new", [], ["fusepot"], ranks=1, jobs=1) is None
    assert not (tmp_path / "new").exists()
    script = write_job_array(tmp_path, runs("a"), ["fusepot"], ranks=1, jobs=1)
    assert write_job_array(tmp_path, [], ["fusepot"], ranks=1, jobs=1) is None
    assert not script.exists()
    assert not (script.parent / "jobs.txt").exists()


@pytest.mark.parametrize(("ranks", "jobs", "argument"), [(0, 1, "ranks"), (1, 0, "jobs"), (-2, 1, "ranks")])
def test_counts_must_be_positive(tmp_path, ranks, jobs, argument):
    with pytest.raises(InputError, match=f"{argument}: got"):
        write_job_array(tmp_path, runs("a"), ["fusepot"], ranks=ranks, jobs=jobs)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", ""])
def test_names_and_words_must_fit_on_a_line(tmp_path, name):
    with pytest.raises(InputError, match="runs: got"):
        write_job_array(tmp_path, runs("fine", name), ["fusepot"], ranks=1, jobs=1)
    with pytest.raises(InputError, match="command: got"):
        write_job_array(tmp_path, runs("fine"), ["fusepot", name], ranks=1, jobs=1)
    assert not list(tmp_path.iterdir())
