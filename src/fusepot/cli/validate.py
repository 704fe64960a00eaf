"""``fusepot validate``: LAMMPS input decks with served potentials, and a report beside experiment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fusepot.cli.output import FAILED_CHECK, err, out
from fusepot.errors import InputError

if TYPE_CHECKING:
    from fusepot.validation.interface import Run
    from fusepot.validation.presets import Preset
    from fusepot.validation.validate import Validation

NEEDED = ("freud", "jinja2", "lammps", "matplotlib", "phonopy", "spglib")


def validate(
    files: Annotated[list[Path], typer.Argument(help="Potential files, side by side in the report.")],
    experiment: Annotated[Path, typer.Option(help="Validation file, see examples/titanium/validation.toml.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the report and of the runs.")] = Path("report"),
    quick: Annotated[bool, typer.Option("--quick", help="Minutes: small boxes, few conditions.")] = False,
    standard: Annotated[bool, typer.Option("--standard", help="An hour or so; the default.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Sizes and lengths of Röcken & Zavadlav 2024.")] = False,
    only: Annotated[str, typer.Option(help="Names of checks, with commas between.")] = "",
    jobs: Annotated[int | None, typer.Option(help="LAMMPS runs at a time; by default as many as cores allow.")] = None,
    ranks: Annotated[int, typer.Option(help="MPI processes of each run.")] = 1,
    slurm: Annotated[bool, typer.Option("--slurm", help="Write a job array instead of running anything.")] = False,
    run: Annotated[str | None, typer.Option(help="One run by its name, as job arrays do; no report.")] = None,
) -> None:
    """Run LAMMPS with potentials and compare with experiment. Run it again to continue where it was stopped.

    The exit code is 1 where a run failed; limits that are not met are in the report.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            "fusepot validate",
            got=f"an environment without {', '.join(missing)}",
            expected="the extra",
            remedy="pip install 'fusepot[validation]'",
        )
    from fusepot.validation.validate import plan_validation

    preset = _preset(quick=quick, standard=standard, paper=paper)
    names = [name.strip() for name in only.split(",") if name.strip()]
    validation = plan_validation(files, experiment, folder, preset=preset, only=names)
    folder.mkdir(parents=True, exist_ok=True)
    if slurm:
        at_once = max(1, len(validation.runs)) if jobs is None else jobs
        _write_array(validation, folder, names, ranks=ranks, jobs=at_once)
        return
    chosen = [one for one in validation.runs if run is None or one.name == run]
    if run is not None and not chosen:
        raise InputError("run", got=run, expected="the name of a run, as in slurm/jobs.txt")
    if jobs is None:
        jobs = max(1, (os.cpu_count() or 1) // max(1, ranks))
    failed = _run(validation, chosen, jobs=jobs, ranks=ranks)
    if run is None:
        _report(validation, folder)
    if failed:
        err.print(
            f"[red]{failed} of {len(chosen)} runs have no result. One that ended with an error is not tried again "
            f"until its folder in {escape(str(validation.folders.root))} is deleted.",
            soft_wrap=True,
        )
        raise typer.Exit(FAILED_CHECK)


def _preset(*, quick: bool, standard: bool, paper: bool) -> Preset:
    if quick + standard + paper > 1:
        raise InputError("preset", got="several", expected="one of --quick, --standard and --paper")
    return "quick" if quick else "paper" if paper else "standard"


def _run(validation: Validation, runs: list[Run], *, jobs: int, ranks: int) -> int:
    """Run what is left; returns how many runs have no result."""
    from fusepot.training.interrupt import stop_signals
    from fusepot.validation.running.execute import run_all

    folders = validation.folders
    left = [one for one in runs if folders.state(one) in ("new", "begun")]
    if left:
        out.print(f"{len(left)} of {len(runs)} LAMMPS runs to do, {jobs} at a time on {ranks} ranks each")
    done = 0

    def report(one: Run, what: str) -> None:
        nonlocal done
        done += 1
        colour = "green" if what == "finished" else "red"
        out.print(f"{done}/{len(left)} {escape(one.name)}: [{colour}]{escape(what)}", highlight=False, soft_wrap=True)

    with stop_signals() as stopped:
        run_all(runs, folders, jobs=jobs, ranks=ranks, stopped=stopped, report=report)
    return sum(folders.state(one) != "finished" for one in runs)


def _write_array(validation: Validation, folder: Path, only: Sequence[str], *, ranks: int, jobs: int) -> None:
    from fusepot.validation.running.slurm import write_job_array

    left = [one for one in validation.runs if validation.folders.state(one) in ("new", "begun")]
    command = ["fusepot", "validate", *(str(subject.file) for subject in validation.subjects)]
    command += ["--experiment", str(validation.experiment), "--out", str(folder), f"--{validation.preset}"]
    command += ["--only", ",".join(only)] if only else []
    script = write_job_array(folder, left, command, ranks=ranks, jobs=jobs)
    submit = f"{len(left)} runs: sbatch {shlex.quote(str(script))}"
    out.print(
        submit if script else "All runs are done: leave --slurm out for the report.", highlight=False, soft_wrap=True
    )


def _report(validation: Validation, folder: Path) -> None:
    from fusepot.validation.report.page import write_report
    from fusepot.validation.report.record import Context

    context = Context(
        title=f"Validation of {', '.join(subject.name for subject in validation.subjects)}",
        preset=validation.preset,
        experiment=validation.experiment,
        versions={name: metadata.version(name) for name in ("fusepot", "lammps", "jax", "phonopy")},
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        element=validation.folders.element,
    )
    page = write_report(folder, subjects=validation.subjects, findings=validation.findings(), context=context)
    out.print(f"Saved {page}", highlight=False, soft_wrap=True)
