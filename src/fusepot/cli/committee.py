"""The command that joins potentials to a committee, and where a committee's members come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusepot.cli.output import out
from fusepot.errors import InputError

if TYPE_CHECKING:
    from fusepot.potential import Potential


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


def training_of(potential: Potential) -> Mapping[str, Any]:
    """Provenance of the training: of a single potential its own, of a committee the first member's.

    Raises:
        InputError: it says nothing about a training, or members were trained on other data or with another split.
    """
    from fusepot.committee import provenances

    first, *others = provenances(potential)
    if not ("config" in first and "data" in first):
        raise InputError("data", got="nothing", expected="labelled structures: the file does not name its own")
    if any(_data_of(other) != _data_of(first) for other in others):
        raise InputError(
            "data",
            got="nothing",
            expected="labelled structures: the members were trained on different data",
            remedy="Name the data: fusepot evaluate FILE DATA.",
        )
    return first


def _data_of(provenance: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides the test set: content of the data and how it is split, wherever the file was."""
    section = dict(provenance.get("config", {}).get("data", {}))
    section.pop("path", None)
    return section, provenance.get("data", {}).get("sha256")
