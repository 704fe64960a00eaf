"""NEP in LAMMPS under MPI: speed-up from one rank to two, and the memory of a million atoms."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil

from benchmarks.shipped import NEP
from benchmarks.timing import Result, emit

COMMAND = "python -m benchmarks nep_ranks"
BIN = Path(sys.executable).parent
DECK = """
units metal
lattice custom 2.95 a1 1 0 0 a2 0 1.7320508 0 a3 0 0 1.5864 basis 0 0 0 basis 0.5 0.5 0 &
        basis 0.5 0.8333333333 0.5 basis 0 0.3333333333 0.5
region box block 0 {nx} 0 {ny} 0 {nz}
create_box 1 box
create_atoms 1 box
mass 1 47.867
velocity all create 600 4711
pair_style fusepot
pair_coeff * * {potential} Ti
neighbor 0.5 bin
fix nve all nve
timestep 0.002
thermo 1000
run {warm}
run {steps}
"""


def run(ranks: int, cells: tuple[int, int, int], *, warm: int, steps: int) -> tuple[float, float, str]:
    """Wall seconds of the last run, largest memory of all ranks together in GiB, and the log."""
    with tempfile.TemporaryDirectory() as folder:
        deck = DECK.format(potential=NEP, warm=warm, steps=steps, **dict(zip(("nx", "ny", "nz"), cells, strict=True)))
        (Path(folder) / "in.deck").write_text(deck)
        command = [BIN / "mpiexec", "-n", str(ranks), BIN / "lmp", "-in", "in.deck", "-screen", "none"]
        with subprocess.Popen(
            list(map(str, command)), cwd=folder, env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
        ) as job:
            largest = 0.0
            while job.poll() is None:
                largest = max(largest, resident(job.pid))
                time.sleep(0.2)
        log = (Path(folder) / "log.lammps").read_text()
    if job.returncode != 0:
        raise SystemExit(f"LAMMPS ended with code {job.returncode}\n{log[-2000:]}")
    return float(re.findall(r"Loop time of ([\d.e+-]+)", log)[-1]), largest, log


def resident(pid: int) -> float:
    """Unique memory of a process and its children in GiB; pages that ranks share count once per rank at most."""
    total = 0
    try:
        for process in psutil.Process(pid).children(recursive=True):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 2**30


def loop_time(ranks: int) -> float:
    """Wall seconds of 200 steps of 16384 atoms."""
    return run(ranks, (32, 16, 8), warm=20, steps=200)[0]


def copies_time() -> float:
    """The same for two separate runs of one rank at a time: what this machine's cores cost each other."""
    with ThreadPoolExecutor(2) as pool:
        return max(pool.map(loop_time, (1, 1)))


def main() -> None:
    """Speed-up at 16384 atoms (both cores must be free), then the million."""
    rounds = [(loop_time(1), loop_time(2), copies_time()) for _ in range(7)]
    one, two, copies = (np.array(column) for column in zip(*rounds, strict=True))
    low, high = np.quantile(one / two, [0.25, 0.75])
    value = float(np.median(one) / np.median(two))
    words = (
        f"16384 atoms, 200 steps: 1 rank {np.median(one):.3g} s, 2 ranks {np.median(two):.3g} s, wall time; two "
        f"separate runs side by side do {2 * np.median(one) / np.median(copies):.3g} times the work of one: the ceiling"
    )
    met = value >= 1.8
    emit(Result("nep_speedup_two_ranks", value, "ratio", "at least 1.8", met, float(high - low), COMMAND, words))
    wall, memory, _ = run(2, (100, 50, 50), warm=0, steps=10)
    words = f"1,000,000 atoms, 2 ranks, 10 steps in {wall:.3g} s; resident memory of both ranks"
    emit(Result("nep_million_atoms_GiB", memory, "GiB", "below 12", memory < 12, 0.0, COMMAND, words))


if __name__ == "__main__":
    main()
