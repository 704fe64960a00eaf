"""The commands. Thin, and jax is imported inside them, so that ``--help`` is fast."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from fusepot import huge_pages
from fusepot.cli.committee import join_files
from fusepot.cli.exchange import export_file, import_file
from fusepot.cli.output import err, errors_table, out, report, uncertainty_line
from fusepot.cli.reference import keys
from fusepot.cli.train import train
from fusepot.cli.validate import validate
from fusepot.errors import FusepotError, InputError

app = typer.Typer(
    help="Interatomic potentials trained on DFT and experiment together, served to LAMMPS and ASE.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
USER_ERROR = 2


def main() -> None:
    """Entry point: run a command; a mistake of the user is one line on stderr and exit code 2, never a traceback."""
    if sys.argv[1:2] == ["train"]:
        huge_pages.restart_with("fusepot.cli", sys.argv[1:])
    try:
        app()
    except FusepotError as error:
        # Being stopped is no mistake, and carries its own exit code.
        err.print(f"[red]{escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(getattr(error, "exit_code", USER_ERROR))


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"fusepot {metadata.version('fusepot')}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="Potential file.")],
    data: Annotated[
        str | None,
        typer.Argument(
            help="Labelled structures (extended XYZ); by default the test set the potential was trained beside."
        ),
    ] = None,
) -> None:
    """Compare a potential with labelled structures: RMSE and MAE, overall and per kind of structure."""
    from fusepot.committee import provenances
    from fusepot.data import load_dataset
    from fusepot.potential import mean
    from fusepot.potential_file import load_potential
    from fusepot.validation.analysis.held_out import held_out
    from fusepot.validation.analysis.parity import errors, predict_all_members, uncertainty

    potential = load_potential(file)
    if data is not None:
        dataset, title = load_dataset(data), data
    else:
        dataset, title = held_out(provenances(potential), remedy="Name the data: fusepot evaluate FILE DATA.")
    members = predict_all_members(potential, dataset)
    found = errors(dataset.samples, [mean(predictions) for predictions in members])
    out.print(errors_table({"all": found}, f"{file.name} on {title} (RMSE / MAE)"))
    if potential.members > 1:
        known = uncertainty(dataset.samples, members)
        out.print(uncertainty_line(potential.members, known), highlight=False, soft_wrap=True)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="Potential file.")],
    structure: Annotated[Path | None, typer.Argument(help="Any file ASE reads; by default several small ones.")] = None,
) -> None:
    """Check that a potential is one: forces and stress are derivatives, symmetries hold, nothing depends on padding."""
    from fusepot import testing
    from fusepot.potential_file import load_potential

    potential = load_potential(file)
    results = testing.verify(potential, _read_structure(structure) if structure else None)
    report(results)


@app.command()
def doctor() -> None:
    """Check this installation: versions, the compiler bug of jaxlib 0.10.2, LAMMPS and its plugin."""
    from fusepot.doctor import diagnose

    report(diagnose())


app.command("train")(train)
app.command("validate")(validate)
app.command("keys")(keys)
app.command("committee")(join_files)
app.command("export")(export_file)
app.command("import")(import_file)


def _read_structure(path: Path) -> Any:
    """A structure from any file ASE reads."""
    import ase.io

    from fusepot.structure import Structure

    try:
        return Structure.from_ase(ase.io.read(path))
    except FusepotError:
        raise
    except Exception as error:  # ASE's readers raise anything
        raise InputError("structure", got=f"{path} ({error})", expected="a file ASE can read") from error
