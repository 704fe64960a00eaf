"""The compiled kernels of this installation: where their library is, and its functions for XLA and for LAMMPS.

The library is built with the package where there is a C++ compiler (``src/native``). Nothing needs it: without it, or
where it does not fit the installed jaxlib, everything runs through XLA, only slower. ``fusepot doctor`` says which.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import jax

from fusepot.errors import InputError

LIBRARY = "fusepotnative.so"
SIMD_VARIABLE = "FUSEPOT_SIMD"  # forces an instruction set, for tests
SIMD = ("default", "avx2", "avx512")
FFI_TARGETS = ("fusepot_nep_ffi_f32", "fusepot_nep_ffi_f64")


@dataclass(frozen=True)
class BlockKernel:
    """Compiled code that evaluates blocks of atoms, and the model it does so with; see ``src/native/block.h``.

    Attributes:
        evaluate: address of a ``fusepot_evaluate_block``.
        model: address of the prepared, immutable model, its first argument.
        owner: keeps the model alive.
    """

    evaluate: int
    model: int
    owner: object


def library_path() -> Path | None:
    """The compiled library, or None where fusepot was installed without a C++ compiler."""
    spec = find_spec("fusepot")
    folders = list(spec.submodule_search_locations or []) if spec else []
    candidates = (Path(folder) / "native_library" / LIBRARY for folder in folders)
    return next((path for path in candidates if path.exists()), None)


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL | str:
    """The library with its kernels registered for XLA on CPUs, or why there is none."""
    path = library_path()
    if path is None:
        return "fusepot was installed without a C++ compiler"
    try:
        library = ctypes.CDLL(str(path))
        for target in FFI_TARGETS:
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, target)), platform="cpu")
    except Exception as error:  # whatever another jaxlib may say about code that was not built for it
        return f"{path}: {error}"
    return library


def library() -> ctypes.CDLL | None:
    """The library, None where this installation has none that works."""
    loaded = load()
    return None if isinstance(loaded, str) else loaded


def simd() -> str:
    """The instruction set that the environment forces, empty for the fastest one.

    Raises:
        InputError: this machine or installation does not have it.
    """
    forced = os.environ.get(SIMD_VARIABLE, "")
    if forced and forced not in (available := available_simd()):
        raise InputError(SIMD_VARIABLE, got=forced, expected=f"one of {', '.join(available)}")
    return forced


def available_simd() -> list[str]:
    """The instruction sets that this machine and installation have."""
    found = library()
    return [] if found is None else [name for name in SIMD if found.fusepot_has_simd(name.encode())]
