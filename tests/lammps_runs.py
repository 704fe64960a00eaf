"""Short LAMMPS runs of a validation: hcp titanium by a potential whose path has blanks."""

from __future__ import annotations

import shutil
from pathlib import Path

from fusepot.validation.interface import Run, Subject
from fusepot.validation.running.folders import Folders

POTENTIAL = Path(__file__).parents[1] / "potentials" / "ti-pbe-nep" / "potential.fusepot"


def subject_in(folder: Path) -> Subject:
    """A potential whose path has blanks, which LAMMPS takes for the end of a word."""
    file = folder / "ti of the people.fusepot"
    shutil.copyfile(POTENTIAL, file)
    return Subject("ti", file)


def folders_at(root: Path) -> Folders:
    return Folders(root, "Ti", {"ti": "digest"})


def hcp(subject: Subject, condition: str = "300K", **changes: float | str) -> Run:
    """48 atoms of hcp titanium for 500 steps."""
    variables = {"temperature": 300, "nx": 3, "ny": 2, "nz": 2, "equilibration": 100, "production": 400} | changes
    return Run(f"ti/lattice/{condition}", subject, "npt_hcp.in", variables, steps=500, atoms=48)
