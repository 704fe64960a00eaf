"""Read labelled structures from extended XYZ files through ASE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.io.extxyz import key_val_str_to_dict
from ase.stress import voigt_6_to_full_3x3_stress

from fusepot.data.checks import Limits, check
from fusepot.data.dataset import Dataset, Labelled, label
from fusepot.data.npy import load_npy
from fusepot.errors import DataError, FusepotError, InputError
from fusepot.structure import Structure


def shipped(name: str) -> Path:
    """Path of a file that ships with fusepot, see ``data/tables/README.md``.

    Raises:
        InputError: there is no such file.
    """
    folder = Path(str(resources.files("fusepot.data"))) / "tables"
    path = folder / name
    if not path.is_file():
        known = sorted(p.name for p in folder.iterdir() if p.suffix in (".csv", ".extxyz"))
        raise InputError("name", got=name, expected=f"one of {', '.join(known)}")
    return path


def load_dataset(path: str | Path, *, limits: Limits | None = None) -> Dataset:
    """Read and check labelled structures.

    Energies (``free_energy`` where given, else ``energy``; eV), ``forces`` (eV/Å), ``stress`` (eV/Å^3, ASE's sign),
    ``config_type`` and ``weight`` are taken from each frame. A label that is absent is unknown.

    Args:
        path: an extended XYZ file; a folder in the paper's layout (see ``fusepot.data.npy``); or ``"ti_pbe"``, the
            titanium set that ships with fusepot.
        limits: what is taken to be absurd.

    Raises:
        DataError: damaged, NaN or absurd labels; names the file and the index of the structure.
        InputError: there is no such file.
    """
    if str(path) == "ti_pbe":
        path = shipped("ti_pbe.extxyz")
    path = Path(path)
    if path.is_dir():
        return load_npy(path, limits=limits)
    if not path.is_file():
        raise InputError(
            "data", got=str(path), expected="an existing file or folder, or ti_pbe", remedy="Check the path."
        )
    content = path.read_bytes()
    try:
        frames = ase.io.read(path, index=":", format="extxyz")
        infos = list(_comments(content.decode()))
    except (OSError, ValueError, IndexError, KeyError, RuntimeError, StopIteration) as error:
        raise DataError(
            str(path), got=f"a file ASE cannot read ({error})", expected="extended XYZ", remedy="Is it truncated?"
        ) from error
    if not frames:
        raise DataError(str(path), got="no structure", expected="at least one")
    samples = tuple(
        _sample(frame, info, f"{path}: structure {k}")
        for k, (frame, info) in enumerate(zip(frames, infos, strict=True))
    )
    check(samples, source=str(path), limits=limits)
    return Dataset(samples, str(path), hashlib.sha256(content).hexdigest())


def _comments(text: str) -> Iterator[dict[str, Any]]:
    """The parsed comment line of each frame. ASE keeps six of nine stress components; this sees all of them."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip():
            return
        yield key_val_str_to_dict(next(lines))
        for _ in range(int(line)):
            next(lines)


def _sample(atoms: Atoms, info: dict[str, Any], where: str) -> Labelled:
    kind = str(info.get("config_type", "default"))
    results = atoms.calc.results if atoms.calc else {}
    if "virial" in info and "stress" not in info:
        raise DataError(
            f"{where} (config_type {kind})",
            got="a virial without a stress",
            expected="stress in eV/Å^3, tension positive",
            remedy="Programs disagree about the sign of a virial: convert it to stress = (1/V) dE/d(strain).",
        )
    stress = None
    if "stress" in results:
        given = np.asarray(info["stress"], dtype=np.float64)
        stress = given if given.shape == (3, 3) else voigt_6_to_full_3x3_stress(results["stress"])
    try:
        return label(
            Structure.from_ase(atoms),
            energy=results.get("free_energy", results.get("energy")),
            forces=results.get("forces"),
            stress=stress,
            config_type=kind,
            weight=float(info.get("weight", 1.0)),
        )
    except FusepotError as error:
        raise DataError(
            f"{where} (config_type {kind})", got=str(error), expected="sound structure and labels"
        ) from error
