"""The command that joins potentials to a committee."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusepot.cli.output import out
from fusepot.errors import InputError


def join_files(
    files: Annotated[list[Path], typer.Argument(help="Potential files of one model, trained with different seeds.")],
    target: Annotated[Path, typer.Option("--out", help="File to write.")],
) -> None:
    """Join potentials to a committee: it predicts their mean, and their deviation tells where not to trust it."""
    from fusepot.committee import join
    from fusepot.potential_file import load_potential, save_potential

    if len(files) < 2:
        raise InputError("FILES", got=str(files[0]), expected="at least two potential files")
    if target.resolve() in [file.resolve() for file in files]:
        raise InputError("--out", got=f"{target}, which is a member", expected="another file")
    committee = join([load_potential(file) for file in files], names=[str(file) for file in files])
    save_potential(committee, target)
    kind = f"committee of {committee.members} {committee.architecture} potentials for {' '.join(committee.elements)}"
    out.print(f"Saved {target}: {kind}", highlight=False, soft_wrap=True)
