"""Architectures: each a function of pair vectors that returns an energy per atom.

``ARCHITECTURES`` maps the name that configuration files and potential files use to the functions behind it. Adding an
architecture is one module and one line here; forces, stress, LAMMPS and training follow from ``energy`` alone.
"""

from dataclasses import replace

from fusepot.models import dimenetpp, lennard_jones, nep, nep_kernel
from fusepot.models.interface import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    "dimenet++": dimenetpp.ARCHITECTURE,
    "lennard-jones": lennard_jones.ARCHITECTURE,
    "nep": replace(nep.ARCHITECTURE, kernel=nep_kernel.kernel, block_kernel=nep_kernel.block_kernel),
}

__all__ = ["ARCHITECTURES", "Architecture"]
