"""Potential files and runs that several tests look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import potentials
from fusepot.potential import Potential
from fusepot.potential_file import save_potential
from fusepot.serving import plugin

ELEMENTS = ("Ti", "Al")
SMALL = {"embedding_size": 8, "output_embedding_size": 8, "n_spherical": 4, "n_radial": 4, "n_residual_after": 0}
PAPER = {
    "embedding_size": 32,
    "output_embedding_size": 64,
    "type_embedding_size": 16,
    "n_residual_after": 2,
    "n_output_layers": 3,
}


def scaled(potential: Potential, *, weights: float = 1.0, energy: float = 1.0) -> Potential:
    """All weights, or the energy, times a factor.

    Random networks hardly notice angles, and a mistake in them would hide: larger weights make them notice. What then
    is too violent for molecular dynamics gets a smaller energy.
    """

    def scale(path: tuple[Any, ...], leaf: Any) -> Any:
        names = [str(part.key) for part in path]
        if names[-1] == "frequencies":
            return leaf
        return np.asarray(leaf) * weights * (energy if names[0].endswith("_energy") else 1.0)

    return replace(potential, params=jax.tree_util.tree_map_with_path(scale, potential.params))


LENNARD_JONES = potentials.lennard_jones(ELEMENTS)
NEAR = scaled(potentials.dimenet(ELEMENTS, seed=1, n_blocks=1, cutoff=3.6, **SMALL), weights=1.8)
BUILD: dict[str, Potential] = {
    "lj": LENNARD_JONES,
    "lj_bare": replace(LENNARD_JONES, reference_energies=(0.0, 0.0)),
    "near": NEAR,
    "soft": scaled(NEAR, energy=0.1),
    "far": scaled(potentials.dimenet(ELEMENTS, seed=2, n_blocks=4, cutoff=5.0, **PAPER), weights=1.15),
}
CACHE = {
    "jax_compilation_cache_dir": "",
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@pytest.fixture(scope="session", autouse=True)
def _compiled_plugin() -> None:
    """The pair style exists wherever there is a compiler, and then it must be tested."""
    if plugin.library_path() is None:
        compilers = [name for name in ("c++", "g++", "clang++") if shutil.which(name)]
        assert not compilers, (
            f"pair_style fusepot was not built, although there is {compilers[0]}: see `fusepot doctor`"
        )
        pytest.skip("no C++ compiler, so no pair_style fusepot")


@pytest.fixture(scope="package")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Settings of jax under which all runs of this folder share what they compile; in the environment of the runs."""
    settings = CACHE | {"jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled"))}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name.upper(), str(value))
        yield settings


@pytest.fixture(scope="package")
def models(compiled: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Potential files of two elements.

    lj, and lj_bare without reference energies: Lennard-Jones; near, and soft with a tenth of its energy: DimeNet++ of 2
    hops of 3.6 Å; far: the paper's, 5 hops of 5 Å.
    """
    folder = tmp_path_factory.mktemp("models")
    files = {name: folder / f"{name}.fusepot" for name in BUILD}
    before = {name: getattr(jax.config, name) for name in compiled}
    try:
        for name, value in compiled.items():
            jax.config.update(name, value)
        for name, potential in BUILD.items():
            save_potential(potential, files[name])
        yield files
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@pytest.fixture(scope="package")
def bare() -> Potential:
    """The potential of the file lj_bare."""
    return BUILD["lj_bare"]
