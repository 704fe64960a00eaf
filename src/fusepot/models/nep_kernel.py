"""The compiled kernel of NEP (``src/native``): inside jit as a custom call, and for LAMMPS as a function of blocks."""

from __future__ import annotations

import ctypes
import weakref
from ctypes import Structure, c_char_p, c_double, c_int32, c_void_p
from typing import Any

import jax
import numpy as np

from fusepot import native
from fusepot.graph import Graph
from fusepot.models.interface import Evaluate, Params
from fusepot.models.nep import NepConfig

ARRAYS = ("radial", "angular", "scaler", "hidden", "hidden_bias", "output", "bias")
SUFFIX = {"float32": "f32", "float64": "f64"}


class Shape(Structure):
    """``fusepot_nep_shape``."""

    _fields_ = [
        *((name, c_double) for name in ("cutoff", "angular_cutoff", "zbl_inner", "zbl_outer")),
        *((name, c_int32) for name in ("species", "radial", "radial_basis", "angular", "angular_basis")),
        *((name, c_int32) for name in ("l_max", "four_body", "five_body", "neurons")),
    ]


class Arrays(Structure):
    """``fusepot::NepArrays``."""

    _fields_ = [(name, c_void_p) for name in (*ARRAYS, "charges")]


def kernel(config: NepConfig) -> Evaluate | None:
    """``Architecture.kernel``: energies and pair gradient as one custom call of XLA."""
    if native.library() is None:
        return None

    def evaluate(params: Params, graph: Graph) -> tuple[jax.Array, jax.Array]:
        dtype = graph.vectors.dtype
        results = (
            jax.ShapeDtypeStruct(graph.species.shape, dtype),
            jax.ShapeDtypeStruct(graph.vectors.shape, dtype),
        )
        call = jax.ffi.ffi_call(f"fusepot_nep_ffi_{SUFFIX[str(dtype)]}", results, vmap_method="sequential")
        zbl = config.zbl
        pairs = (graph.vectors, graph.centers, graph.others, graph.pair_mask)
        energies, gradient = call(
            *pairs, graph.species, graph.atom_mask, *(params[name].astype(dtype) for name in ARRAYS),
            cutoff=np.float64(config.cutoff),
            angular_cutoff=np.float64(config.angular_cutoff),
            zbl_inner=np.float64(zbl.inner if zbl else 0),
            zbl_outer=np.float64(zbl.outer if zbl else 0),
            zbl_numbers=np.asarray(zbl.numbers if zbl else (), np.int64),
            l_max=np.int64(config.l_max),
            four_body=np.int64(config.four_body),
            five_body=np.int64(config.five_body),
            simd=native.simd(),
        )  # fmt: skip
        return energies, gradient

    return evaluate


def block_kernel(config: NepConfig, params: Params, dtype: str) -> native.BlockKernel | None:
    """``Architecture.block_kernel``: the kernel with the parameters of one potential, evaluated in ``dtype``."""
    library = native.library()
    if library is None:
        return None
    arrays = {name: np.ascontiguousarray(params[name], dtype) for name in ARRAYS}
    zbl = config.zbl
    if zbl is not None:
        arrays["charges"] = np.asarray(zbl.numbers, np.float64)
    shape = Shape(
        config.cutoff, config.angular_cutoff, zbl.inner if zbl else 0, zbl.outer if zbl else 0,
        len(arrays["radial"]), *arrays["radial"].shape[2:], *arrays["angular"].shape[2:],
        config.l_max, config.four_body, config.five_body, config.neurons,
    )  # fmt: skip
    pointers = Arrays(**{name: array.ctypes.data for name, array in arrays.items()})

    def function(name: str) -> Any:
        return getattr(library, f"fusepot_nep_{name}_{SUFFIX[dtype]}")

    create, destroy = function("create"), function("destroy")
    create.restype, create.argtypes = c_void_p, [c_void_p, c_void_p, c_char_p]
    destroy.restype, destroy.argtypes = None, [c_void_p]
    model = create(ctypes.byref(shape), ctypes.byref(pointers), native.simd().encode())
    if model is None:
        raise MemoryError("no memory for a NEP model")
    owner = _Owner()
    weakref.finalize(owner, destroy, model)
    address = ctypes.cast(function("evaluate"), c_void_p).value
    assert address is not None
    return native.BlockKernel(address, model, owner)


class _Owner:
    """As long as it lives, so does the C++ model."""
