"""Molecular dynamics of NEP inside JAX: 256 atoms, Langevin, a scan over steps; the compiled kernel over XLA."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.shipped import NEP
from benchmarks.timing import Result, emit, ratio, use_one_core

COMMAND = "python -m benchmarks nep_md"
ENGINES = ("auto", "xla")
STEPS, REPETITIONS = 200, 15


def work() -> None:
    """Worker: for each line on standard input run some steps and answer with the CPU seconds they took."""
    use_one_core()
    from ase.build import bulk

    from fusepot.potential_file import load_potential
    from fusepot.sampling import Nvt, advance, start
    from fusepot.structure import Structure

    potential = load_potential(NEP)
    atoms = bulk("Ti", "hcp", a=2.95, c=4.68, orthorhombic=True).repeat((4, 4, 4))
    ensemble = Nvt(temperature_K=300.0)
    state = start(potential, Structure.from_ase(atoms), ensemble, seed=1)
    for _ in sys.stdin:
        begin = time.process_time()
        state, _ = advance(potential, state, ensemble, steps=STEPS, timestep_fs=2.0, sample_every=50)
        print(time.process_time() - begin, flush=True)


def main() -> None:
    """One process per engine, since an engine is chosen when code is compiled; they take turns."""
    import numpy as np

    workers = {}
    for engine in ENGINES:
        environment = os.environ | ({} if engine == "auto" else {"FUSEPOT_ENGINE": engine})
        workers[engine] = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.nep_md", "work"],
            env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def turn(engine: str) -> float:
        worker = workers[engine]
        assert worker.stdin is not None and worker.stdout is not None  # noqa: PT018
        worker.stdin.write("go\n")
        worker.stdin.flush()
        return float(worker.stdout.readline())

    for engine in ENGINES * 3:  # compile, equilibrate, settle the pair list
        turn(engine)
    rounds = [[turn(engine) for engine in ENGINES] for _ in range(REPETITIONS)]
    for worker in workers.values():
        worker.communicate()
    times = {engine: np.array(column) for engine, column in zip(ENGINES, zip(*rounds, strict=True), strict=True)}
    value, spread, words = ratio(times, "xla", "auto")
    speed = STEPS / np.median(times["auto"])
    words = f"{STEPS} steps of 256 atoms, 300 K: {words}; {speed:.0f} steps/s with the kernel"
    emit(Result("nep_md_steps_over_xla", value, "ratio", "at least 4", value >= 4, spread, COMMAND, words))


if __name__ == "__main__":
    work() if sys.argv[1:] == ["work"] else main()
