"""Reader of the paper's public titanium set (Röcken & Zavadlav 2024; labels of Wen et al. 2021, DeePMD layout).

The user fetches it (github.com/tummfm/Fused-EXP-DFT-MLP); it is not part of fusepot. Files of one folder, n structures
of N atoms: ``box.npy`` (n, 9) Å, ``coord.npy`` (n, 3 N) Å, ``energy.npy`` (n,) eV, ``force.npy`` (n, 3 N) eV/Å,
``virial.npy`` (n, 9) eV, ``types.npy`` (n,).

- ``box`` holds lattice vectors as rows, which is the convention here. The paper's code transposes it because jax-md
  wants columns.
- ``virial`` is -dE/d(strain), DeePMD's sign (the paper's code negates its own prediction before comparing): the stress
  is -virial / volume.
- Only structures with ``types == 0`` (uniformly deformed cells) carry a virial label in the paper's loss; for others
  it is dropped here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from fusepot.data.checks import Limits, check
from fusepot.data.dataset import Dataset, Labelled, label
from fusepot.errors import DataError, FusepotError
from fusepot.structure import FloatArray, Structure

# Git blob ids of the published files.
PUBLISHED = {
    "box.npy": "7124fb58779674f970ce0d5da483ecf1f3db3bf8",
    "coord.npy": "54533aa303b91119209ea220188a1558c18dabd1",
    "energy.npy": "71096046b8b6c6d55917462b5b2da99cb67cdec5",
    "force.npy": "e1b880e3e2799eed9f1ef8c2afc1ab23c2ce8b41",
    "types.npy": "9aaabad2be658c0532e4e52cc1c115db9ab72d6e",
    "virial.npy": "420d6f9bf15a2b8455083bf348cd0eaf627a3711",
}
KINDS = {0: "deformed", 1: "bulk"}


def git_blob_id(content: bytes) -> str:
    """The id git gives a file's content: sha1 of a short header and the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def verify_published(folder: str | Path) -> None:
    """Check that a folder holds the paper's files, byte for byte.

    Raises:
        DataError: names the file that differs or is missing.
    """
    for name, expected in PUBLISHED.items():
        got = git_blob_id(_bytes(Path(folder) / name))
        if got != expected:
            raise DataError(
                str(Path(folder) / name),
                got=f"git blob {got}",
                expected=expected,
                remedy="The download is damaged, or the file is another version: fetch it again.",
            )


def load_npy(folder: str | Path, *, element: str = "Ti", limits: Limits | None = None) -> Dataset:
    """Read a folder in the layout described above; structures keep their order.

    Raises:
        DataError: a file is missing or damaged, shapes do not fit together, labels are NaN or absurd.
    """
    folder = Path(folder)
    contents = {name: _bytes(folder / name) for name in PUBLISHED}
    arrays = {name.removesuffix(".npy"): _array(folder / name) for name in PUBLISHED}
    n = len(arrays["energy"])
    atoms = arrays["coord"].shape[-1] // 3
    shapes = {
        "box": (n, 9),
        "coord": (n, 3 * atoms),
        "energy": (n,),
        "force": (n, 3 * atoms),
        "virial": (n, 9),
        "types": (n,),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise DataError(str(folder / f"{name}.npy"), got=f"shape {arrays[name].shape}", expected=f"shape {shape}")
    samples = []
    for k in range(n):
        try:
            samples.append(_sample({name: array[k] for name, array in arrays.items()}, element))
        except FusepotError as error:
            raise DataError(
                f"{folder}: structure {k}", got=str(error), expected="sound structure and labels"
            ) from error
    check(samples, source=str(folder), limits=limits)
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(hashlib.sha256(contents[name]).digest())
    return Dataset(tuple(samples), str(folder), digest.hexdigest())


def _sample(row: dict[str, FloatArray], element: str) -> Labelled:
    cell, coordinates = row["box"].reshape(3, 3).astype(np.float64), row["coord"].reshape(-1, 3).astype(np.float64)
    numbers = np.full(len(coordinates), atomic_numbers[element], dtype=np.int64)
    structure = Structure(coordinates, numbers, cell, np.ones(3, dtype=bool))
    kind = int(row["types"])
    virial = row["virial"].reshape(3, 3).astype(np.float64)
    return label(
        structure,
        energy=float(row["energy"]),
        forces=row["force"].reshape(-1, 3),
        stress=-(virial + virial.T) / (2 * structure.volume) if kind == 0 else None,
        config_type=KINDS.get(kind, f"type_{kind}"),
    )


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(str(path), got="no such file", expected=", ".join(PUBLISHED), remedy="See fusepot/data/npy.py.")
    return path.read_bytes()


def _array(path: Path) -> FloatArray:
    try:
        # Object arrays would be unpickled, that is, run code: refused.
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            str(path), got=f"a file numpy cannot read ({error})", expected="a plain numeric array"
        ) from error
