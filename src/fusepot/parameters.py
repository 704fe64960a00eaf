"""Parameters as flat, named arrays, and whether they are the ones an architecture wants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from fusepot.errors import InputError
from fusepot.models import ARCHITECTURES
from fusepot.models.interface import ModelConfig, Params

Arrays = dict[str, np.ndarray]
DTYPES = ("float32", "float64", "int32", "int64", "bool")


def named_leaves(params: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a nested dict under flat names: keys joined by "/", with "%" and "/" inside keys as %25 and %2F.

    Raises:
        InputError: a key that is no string.
    """
    if not isinstance(params, Mapping):
        yield name, params
        return
    for key, child in params.items():
        if not isinstance(key, str):
            raise InputError("params", got=f"key {key!r}", expected="strings as keys")
        part = key.replace("%", "%25").replace("/", "%2F")
        yield from named_leaves(child, f"{name}/{part}" if name else part)


def flatten(params: Params, prefix: str = "") -> Arrays:
    """Nested dict of arrays to flat names below ``prefix``, see ``named_leaves``; arrays become contiguous.

    Raises:
        InputError: something else than a nested dict of numeric arrays.
    """
    if not isinstance(params, Mapping):
        raise InputError("params", got=type(params).__name__, expected="a nested dict of arrays")
    flat = {}
    for name, leaf in named_leaves(params, prefix):
        array = np.asarray(leaf)
        if array.dtype.name not in DTYPES:
            raise InputError("params", got=f"{name} of type {array.dtype}", expected=f"one of {', '.join(DTYPES)}")
        flat[name] = array if array.flags.c_contiguous else np.ascontiguousarray(array)
    return flat


def unflatten(flat: Mapping[str, np.ndarray], prefix: str = "") -> Params:
    """Inverse of ``flatten``; names that are not below ``prefix`` are left out."""
    params: dict[str, Any] = {}
    start = f"{prefix}/" if prefix else ""
    for name, array in flat.items():
        if not name.startswith(start):
            continue
        parts = name.removeprefix(start).split("/")
        *parents, last = [part.replace("%2F", "/").replace("%25", "%") for part in parts]
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = array
    return params


def layout_problem(architecture: str, config: ModelConfig, n_species: int, params: Params, *, members: int = 1) -> str:
    """The first difference between ``params`` and the arrays the architecture wants, in words; empty if none.

    The arrays of several members are stacked, see ``fusepot.members``.
    """
    init = ARCHITECTURES[architecture].init
    want = dict(named_leaves(init(config, n_species, jax.random.key(0))))
    have = dict(named_leaves(params))
    if missing := sorted(want.keys() - have.keys()):
        return f"{len(missing)} arrays missing, the first is {missing[0]}"
    if extra := sorted(have.keys() - want.keys()):
        return f"{len(extra)} arrays too many, the first is {extra[0]}"
    leading = (members,) if members > 1 else ()
    for name, leaf in want.items():
        if np.shape(have[name]) != leading + leaf.shape:
            return f"{name} has shape {np.shape(have[name])} instead of {leading + leaf.shape}"
    return ""
