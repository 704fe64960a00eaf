"""Save and load a potential as one file: safetensors arrays and a JSON header, no pickle.

The header is the safetensors metadata entry ``fusepot``. It holds the architecture and its configuration, elements,
units, cutoff, reference energies (eV), dtype, provenance, and a self-test: a small structure with its energy (eV),
forces (eV/Å) and stress (eV/Å^3) in float64, computed when the file was written and again whenever it is read. The
metadata entry ``checksum`` is a SHA-256 over the header's text and all arrays; safetensors itself has none.

A committee's header has ``members``, their number; its arrays are stacked (``fusepot.members``), and so are the values
of its self-test: one energy, set of forces and stress per member. Such files are of version 2, others of version 1.

Readers ignore header keys they do not know; a change that would make an old reader wrong raises ``format_version``.
"""

from __future__ import annotations

import hashlib
import json
import struct
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as write_arrays

from fusepot.errors import InputError, PotentialFileError
from fusepot.files import write_atomically
from fusepot.gradient import precision
from fusepot.graph import build_graph
from fusepot.models import ARCHITECTURES
from fusepot.parameters import flatten, layout_problem, unflatten
from fusepot.potential import Potential, cast_params
from fusepot.samples import rattled
from fusepot.structure import Structure

FORMAT = "fusepot-potential"
FORMAT_VERSION, SINGLE_VERSION = 2, 1  # the newest this code reads; the one that every reader reads
SELF_TEST_TOLERANCE = 1e-9  # relative to the largest value; rounding differs between machines by about 1e-12
PREFIX = "params"  # leaves room for more than one set of arrays in a file
UNITS = {"name": "metal", "energy": "eV", "length": "Å"}

Arrays = dict[str, np.ndarray]
Header = dict[str, Any]


def save_potential(potential: Potential, path: str | Path) -> None:
    """Write a potential to one file; an existing file is replaced only when the new one is complete on disk.

    Raises:
        InputError: parameters that are not the architecture's, provenance that JSON cannot hold, or a potential that
            returns non-finite numbers for its self-test.
        OSError: the file cannot be written.
    """
    arrays = flatten(potential.params, PREFIX)
    count = len(potential.elements)
    if problem := layout_problem(
        potential.architecture, potential.config, count, potential.params, members=potential.members
    ):
        raise InputError("potential.params", got=problem, expected=f"the arrays of {potential.architecture}")
    structure = rattled(potential.elements, potential.cutoff)
    header: Header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION if potential.members > 1 else SINGLE_VERSION,
        "fusepot_version": _fusepot_version(),
        "architecture": potential.architecture,
        **({"members": potential.members} if potential.members > 1 else {}),
        "config": potential.config.model_dump(mode="json"),
        "elements": list(potential.elements),
        "units": UNITS,
        "cutoff": potential.cutoff,
        "reference_energies": [float(e) for e in potential.reference_energies],
        "dtype": potential.dtype,
        "provenance": dict(potential.provenance),
        "self_test": {
            "positions": structure.positions.tolist(),
            "numbers": structure.numbers.tolist(),
            "cell": structure.cell.tolist(),
            **{name: value.tolist() for name, value in _self_test_values(potential, structure).items()},
        },
    }
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            "potential",
            got=f"a value that JSON cannot hold ({error})",
            expected="finite self-test values, and provenance of finite numbers, strings, lists and dicts",
        ) from error
    metadata = {"fusepot": text, "checksum": checksum(text, arrays)}
    write_atomically(Path(path), write_arrays(arrays, metadata=metadata))


def load_potential(path: str | Path, *, dtype: str | None = None) -> Potential:
    """Read a potential and check it: format, checksum, arrays, and the self-test recomputed in float64.

    Args:
        path: a file written by ``save_potential``.
        dtype: precision to evaluate in instead of the one the file names ("float32" or "float64").

    Raises:
        PotentialFileError: missing, damaged, truncated, foreign, from a newer fusepot, or failing its self-test.
        InputError: unknown dtype.
    """
    path = Path(path)
    header, arrays = _read(path)
    try:
        architecture = ARCHITECTURES[header["architecture"]]
    except KeyError:
        raise _bad(
            path,
            f"names the architecture {header.get('architecture')!r}, and this fusepot has {', '.join(ARCHITECTURES)}",
            "Install the fusepot version that wrote it: " + str(header.get("fusepot_version")),
        ) from None
    try:
        config = architecture.config.model_validate(header["config"])
        elements = tuple(header["elements"])
        members = header["members"] if header["format_version"] > SINGLE_VERSION else 1
        params = unflatten(arrays, PREFIX)
        if problem := layout_problem(header["architecture"], config, len(elements), params, members=members):
            raise _bad(path, f"does not hold the arrays of its architecture: {problem}", "Save it again.")
        potential = Potential(
            architecture=header["architecture"],
            config=config,
            elements=elements,
            reference_energies=tuple(header["reference_energies"]),
            params=params,
            dtype=header["dtype"],
            provenance=header["provenance"],
            members=members,
        )
        _check_self_test(path, potential, header["self_test"])
    except ValidationError as error:
        detail = "; ".join(f"config.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise _bad(path, f"has an unusable header ({detail})", "Save it again.") from error
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise _bad(path, f"has an unusable header ({type(error).__name__}: {error})", "Save it again.") from error
    return potential if dtype is None else potential.with_dtype(dtype)


def read_header(path: str | Path) -> Header:
    """The JSON header of a potential file, checksum verified, self-test not run. Raises as ``load_potential``."""
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[Header, Arrays]:
    """Header and arrays of a file whose format and checksum are right."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _bad(path, "does not exist", "Check the path; relative paths start at the working directory.") from None
    except IsADirectoryError:
        raise _bad(path, "is a directory", "Name the potential file inside it.") from None
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror})", "Check permissions and the file system.") from error
    metadata, header = _parse_header(path, content)
    try:
        arrays = read_arrays(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _bad(path, f"is truncated or damaged ({error})", "Copy or download it again.") from error
    if metadata.get("checksum") != checksum(metadata["fusepot"], arrays):
        raise _bad(path, "is damaged: its checksum does not match its content", "Copy or download it again.")
    return header, arrays


def _parse_header(path: Path, content: bytes) -> tuple[dict[str, str], Header]:
    """The safetensors metadata and our header inside them, of a version that this code reads."""
    foreign = "Pass a file written by fusepot train or fusepot.potential_file.save_potential."
    if not content:
        raise _bad(path, "is empty", "Copy or download it again.")
    length = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else 0
    if content[8:10] != b'{"':
        raise _bad(path, f"is not a potential file of fusepot (it starts with {content[:12]!r})", foreign)
    if length > len(content) - 8:
        raise _bad(path, "is truncated: it ends inside its header", "Copy or download it again.")
    try:
        outer = json.loads(content[8 : 8 + length])
    except ValueError as error:
        raise _bad(path, f"is damaged: unreadable header ({error})", "Copy or download it again.") from error
    try:
        metadata = outer["__metadata__"]
        header = json.loads(metadata["fusepot"])
        recognised = header["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        recognised = False
    if not recognised:
        raise _bad(path, "is a safetensors file, but none of fusepot", foreign)
    found = header.get("format_version")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        raise _bad(
            path,
            f"has format version {found}, written by fusepot {header.get('fusepot_version')}; "
            f"this is fusepot {_fusepot_version()}, which reads up to version {FORMAT_VERSION}",
            "Upgrade fusepot.",
        )
    return metadata, header


def checksum(header: str, arrays: Arrays) -> str:
    """SHA-256 over a header's text and the names, types, shapes and bytes of all arrays."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return f"sha256:{digest.hexdigest()}"


def _self_test_values(potential: Potential, structure: Structure) -> dict[str, np.ndarray]:
    """Energy (), forces (atoms, 3) and stress (3, 3) in float64, reference energies left out.

    Those of a committee have a leading axis of members: a mean alone would hide members that are wrong by opposite
    amounts, and follows from the members.
    """
    graph = build_graph(structure, cutoff=potential.cutoff, elements=potential.elements, dtype="float64")
    # Compiled without optimisation: it runs once, and an MPI job waits for it.
    quick = {"xla_backend_optimization_level": 0}
    with precision("float64"):
        params = cast_params(potential.params, "float64")
        evaluate = jax.jit(potential.model.predictions, compiler_options=quick)
        energies, forces, virials = (np.asarray(leaf) for leaf in evaluate(params, graph))
    values = {
        "energy": energies.sum(axis=1),
        "forces": forces[:, : len(structure)],
        "stress": virials[:, 0] / structure.volume,
    }
    return values if potential.members > 1 else {name: value[0] for name, value in values.items()}


def _check_self_test(path: Path, potential: Potential, stored: Header) -> None:
    structure = Structure(
        np.asarray(stored["positions"], dtype=np.float64),
        np.asarray(stored["numbers"], dtype=np.int64),
        np.asarray(stored["cell"], dtype=np.float64),
        np.ones(3, dtype=bool),
    )
    for name, value in _self_test_values(potential, structure).items():
        expected = np.asarray(stored[name])
        error = np.abs(value - expected).max()
        if not error <= SELF_TEST_TOLERANCE * max(1.0, np.abs(expected).max()):
            raise _bad(
                path,
                f"fails its self-test: this installation computes a different {name} (by {error:.3g}) than the "
                "one that wrote it",
                "Run `fusepot doctor`, and compare fusepot's version with the one in the file's header.",
            )


def _fusepot_version() -> str:
    try:
        return version("fusepot")
    except PackageNotFoundError:
        return "unknown"


def _bad(path: Path, problem: str, remedy: str) -> PotentialFileError:
    return PotentialFileError(f"{path}: {problem}. {remedy}")
