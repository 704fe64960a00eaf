"""Commands that exchange potentials with other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fusepot.cli.output import out


class Format(StrEnum):
    """File formats of other programs."""

    NEP = "nep"


def export_file(
    file: Annotated[Path, typer.Argument(help="Potential file.")],
    target: Annotated[Path, typer.Argument(help="File to write, for example nep.txt.")],
    kind: Annotated[Format, typer.Option("--format", help="nep: NEP4, for GPUMD and others.")] = Format.NEP,
) -> None:
    """Write a potential in another program's format."""
    from fusepot.nep_txt import write_nep
    from fusepot.potential_file import load_potential

    write_nep(load_potential(file), target)
    out.print(f"Saved {target} ({kind.value})", highlight=False, soft_wrap=True)


def import_file(
    source: Annotated[Path, typer.Argument(help="nep.txt of a NEP4 potential.")],
    target: Annotated[
        Path | None, typer.Option("--out", help="File to write; by default SOURCE with the ending .fusepot.")
    ] = None,
    dtype: Annotated[str, typer.Option("--precision", help="float32 or float64, what it is evaluated in.")] = "float32",
) -> None:
    """Read another program's potential and save it as a potential file."""
    from fusepot.nep_txt import read_nep
    from fusepot.potential_file import save_potential

    target = target or source.with_suffix(".fusepot")
    potential = read_nep(source, dtype=dtype)
    save_potential(potential, target)
    out.print(f"Saved {target}: nep for {' '.join(potential.elements)}", highlight=False, soft_wrap=True)
