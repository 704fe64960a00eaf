"""The compiled code of a potential that LAMMPS calls block by block, without Python."""

from __future__ import annotations

import os

from fusepot.gradient import ENGINE_VARIABLE, Engine
from fusepot.members import unstack
from fusepot.models import ARCHITECTURES
from fusepot.native import BlockKernel
from fusepot.potential import Potential, cast_params


def block_kernels(potential: Potential, *, engine: Engine = "auto") -> tuple[BlockKernel, ...]:
    """The kernel of each member of a potential in its precision; none where it has none, or XLA is asked for."""
    make = ARCHITECTURES[potential.architecture].block_kernel
    if make is None or engine == "xla" or os.environ.get(ENGINE_VARIABLE) == "xla":
        return ()
    assert potential.hops == 1, "a block holds the neighbours of its atoms, and not theirs"
    each = unstack(cast_params(potential.params, potential.dtype), members=potential.members)
    kernels = (make(potential.config, params, potential.dtype) for params in each)
    found = tuple(kernel for kernel in kernels if kernel is not None)
    return found if len(found) == potential.members else ()
