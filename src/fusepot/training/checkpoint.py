"""Checkpoints: the whole training state in one safetensors file, written at once or not at all.

Why not orbax-checkpoint: the state of a potential is a few hundred kilobytes on one host. Orbax brings a dozen
packages and writes a folder of many files in the background, while one file that is renamed into place is atomic by
the file system alone, holds bits exactly, is never half there after ``kill -9``, and needs nothing that the
potential file does not need already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fusepot.errors import TrainingError
from fusepot.files import write_atomically

FORMAT = "fusepot-checkpoint-1"
State = TypeVar("State")


def save_checkpoint(path: Path, state: object, identity: Mapping[str, str]) -> None:
    """Write the state.

    Args:
        path: the file.
        state: what to keep, a tree of arrays.
        identity: what the state belongs to (hashes of configuration and data); ``load_checkpoint`` compares it.

    Raises:
        TrainingError: the file cannot be written (disk full, no permission); the one before it stays whole.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    arrays = {jax.tree_util.keystr(where): np.ascontiguousarray(leaf) for where, leaf in leaves}
    # ascontiguousarray makes (1,) of (): shapes are restored from the template. One entry, since several would be
    # written in random order, and the same state shall give the same bytes.
    header = json.dumps({"format": FORMAT, "identity": dict(identity)}, sort_keys=True)
    try:
        write_atomically(path, save(arrays, {"fusepot": header}))
    except OSError as error:
        raise TrainingError(
            f"{path}: the checkpoint could not be written ({error.strerror}). The last one is whole: "
            "make room and run the same command again to continue from it."
        ) from error


def load_checkpoint(path: Path, template: State, identity: Mapping[str, str]) -> State:
    """Read a state back, bit by bit.

    Args:
        path: the file.
        template: a state of the same configuration, or its ``jax.eval_shape``: for structure, shapes and dtypes.
        identity: as given to ``save_checkpoint``.

    Raises:
        TrainingError: damaged, of another format, or made with another configuration or other data.
    """
    content = path.read_bytes()
    start_over = f"Use another output folder, or --no-resume to start over and overwrite {path}."
    try:
        arrays = load(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        header = json.loads(metadata["fusepot"])
        found = header["identity"]
    except (SafetensorError, ValueError, KeyError) as error:
        raise TrainingError(f"{path}: a damaged checkpoint ({error}). {start_over}") from error
    if header["format"] != FORMAT:
        raise TrainingError(f"{path}: got format {header['format']}, expected {FORMAT}. {start_over}")
    for name, expected in identity.items():
        if found.get(name) != expected:
            raise TrainingError(
                f"{path}: this checkpoint was made with another {name} "
                f"(got {str(found.get(name))[:12]}, expected {expected[:12]}). {start_over}"
            )
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    restored = []
    for where, leaf in leaves:
        name = jax.tree_util.keystr(where)
        array = arrays.pop(name, None)
        if array is None or array.dtype != leaf.dtype or array.size != leaf.size:
            raise TrainingError(f"{path}: {name} is missing or of another shape. {start_over}")
        restored.append(array.reshape(leaf.shape))
    if arrays:
        raise TrainingError(f"{path}: unexpected arrays {sorted(arrays)[:3]}. {start_over}")
    return jax.tree_util.tree_unflatten(structure, restored)
