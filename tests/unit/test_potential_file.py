"""The potential file: what goes in comes out, and nothing damaged comes out."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load, save

import damage
import potentials
from fusepot import potential_file
from fusepot.errors import InputError, PotentialFileError
from fusepot.parameters import flatten, unflatten
from fusepot.potential import Potential, predict
from fusepot.potential_file import load_potential, read_header, save_potential
from fusepot.samples import rattled

ABSENT = object()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "lj.fusepot"
    save_potential(potentials.lennard_jones(("Ti", "Al")), path)
    return path.read_bytes()


@pytest.fixture
def saved(content: bytes, tmp_path: Path) -> Path:
    (tmp_path / "lj.fusepot").write_bytes(content)
    return tmp_path / "lj.fusepot"


def rewrite(path: Path, *, arrays: dict[str, Any] | None = None, sign: bool = True, **changes: Any) -> None:
    """Write a file with other header entries or arrays, with a valid checksum where ``sign``."""
    header = read_header(path)
    arrays = load(path.read_bytes()) if arrays is None else arrays
    text = json.dumps({key: value for key, value in (header | changes).items() if value is not ABSENT})
    checksum = potential_file.checksum(text, arrays) if sign else "another kind"
    path.write_bytes(save(arrays, metadata={"fusepot": text, "checksum": checksum}))


@pytest.mark.parametrize("make", [potentials.lennard_jones, lambda elements: potentials.dimenet(elements, n_blocks=1)])
def test_what_is_saved_is_loaded(make: Any, tmp_path: Path) -> None:
    provenance = {"config": {"epochs": 3, "rates": [1e-3, 0.1]}, "data": "sha256:abc", "note": "Å, µ"}
    before = replace(make(("Ti", "Al")), dtype="float32", provenance=provenance)
    save_potential(before, tmp_path / "p.fusepot")
    after = load_potential(tmp_path / "p.fusepot")
    assert replace(after, params=None) == replace(before, params=None)
    assert jax.tree.structure(after.params) == jax.tree.structure(before.params)
    for a, b in zip(jax.tree.leaves(after.params), jax.tree.leaves(before.params), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    structure = rattled(("Ti", "Al"), 5.0)
    for a, b in zip(predict(after, structure), predict(before, structure), strict=True):
        np.testing.assert_array_equal(a, b)


def test_dtype_can_be_overridden(saved: Path) -> None:
    assert load_potential(saved, dtype="float32").dtype == "float32"
    with pytest.raises(InputError, match="float16"):
        load_potential(saved, dtype="float16")


def test_names_with_slashes_and_percent_signs_round_trip() -> None:
    params = {"~": {"a": np.zeros(2)}, "block_1/~/linear": {"w/b": np.ones(1), "50%": np.ones(3), "%2F": np.ones(4)}}
    flat = flatten(params)
    block = "block_1%2F~%2Flinear"
    assert set(flat) == {"~/a", f"{block}/w%2Fb", f"{block}/50%25", f"{block}/%252F"}
    assert jax.tree.map(np.shape, unflatten(flatten(params, "x"), "x")) == jax.tree.map(np.shape, params)
    assert jax.tree.map(np.shape, unflatten(flat)) == jax.tree.map(np.shape, params)


@pytest.mark.parametrize("bad", [{"a": [object()]}, {1: np.zeros(1)}, np.zeros(1), {"a": "text"}])
def test_unusual_params_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match="params"):
        flatten(bad)


def test_every_region_of_the_file_is_guarded(saved: Path) -> None:
    """Flip one bit at a time, everywhere in the header and in the arrays."""
    damage.notice_flipped_bits(saved, first=range(24), inside=200, last=64, seed=5)


@pytest.mark.parametrize("keep", [0, 5, 8, 300, -1, -40])
def test_truncated(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(PotentialFileError, match=r"truncated|empty|not a potential"):
        load_potential(saved)


def test_trailing_bytes(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"\0" * 8)
    with pytest.raises(PotentialFileError, match="damaged"):
        load_potential(saved)


def test_flipped_bit_in_an_array_says_checksum(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-3] ^= 1
    saved.write_bytes(content)
    with pytest.raises(PotentialFileError, match="checksum"):
        load_potential(saved)


FOREIGN = {
    "eam": b"Al99.eam.alloy: Mishin potential\n# comment\n1 Al\n10000 5e-4 10000 6e-4 6.28\n" * 9,
    "random": np.random.default_rng(0).bytes(4096),
    "numpy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}",
    "zip": b"PK\x03\x04" + bytes(200),
    "zeros": bytes(64),
    "short": b"Ti",
    "safetensors": save({"weight": np.ones((2, 2))}),
    "safetensors with metadata": save({"weight": np.ones((2, 2))}, metadata={"format": "pt"}),
    "safetensors with our key": save({"weight": np.ones(2)}, metadata={"fusepot": "no json"}),
    "other format": save({"weight": np.ones(2)}, metadata={"fusepot": '{"format": "else"}'}),
    "json": struct.pack("<Q", 2) + b"[]",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(FOREIGN[name])
    with pytest.raises(PotentialFileError, match=r"foreign: is (not a potential file|a safetensors file, but none)"):
        load_potential(path)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(PotentialFileError, match="does not exist"):
        load_potential(tmp_path / "nothing")
    with pytest.raises(PotentialFileError, match="is a directory"):
        load_potential(tmp_path)


def test_future_version_is_refused_whatever_else_it_holds(saved: Path) -> None:
    rewrite(saved, format_version=3, fusepot_version="9.9", sign=False)
    with pytest.raises(PotentialFileError, match=r"format version 3, written by fusepot 9\.9.*Upgrade"):
        load_potential(saved)


def test_unknown_header_keys_are_ignored(saved: Path) -> None:
    rewrite(saved, committee=[1, 2])
    assert load_potential(saved).elements == ("Ti", "Al")


def test_unknown_architecture(saved: Path) -> None:
    rewrite(saved, architecture="mace")
    with pytest.raises(PotentialFileError, match="'mace', and this fusepot has dimenet"):
        load_potential(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"cutof": 5.0}}, "unusable header.*cutof"),
        ({"config": None}, "unusable header"),
        ({"elements": ["Ti"]}, "has shape"),
        ({"reference_energies": [1.0]}, "reference_energies"),
        ({"dtype": "float16"}, "float16"),
        ({"self_test": {}}, "unusable header"),
    ],
)
def test_unusable_header_with_a_valid_checksum(saved: Path, change: Any, message: str) -> None:
    rewrite(saved, **change)
    with pytest.raises(PotentialFileError, match=message):
        load_potential(saved)


@pytest.mark.parametrize("key", ["elements", "config", "self_test", "architecture", "dtype", "provenance"])
def test_missing_header_key(saved: Path, key: str) -> None:
    rewrite(saved, **{key: ABSENT})
    with pytest.raises(PotentialFileError, match=key):
        load_potential(saved)


def test_wrong_arrays(saved: Path) -> None:
    arrays = load(saved.read_bytes())
    for changed, message in [
        ({"params/sigma": arrays["params/sigma"]}, "1 arrays missing, the first is epsilon"),
        (arrays | {"params/extra": np.ones(1)}, "1 arrays too many, the first is extra"),
        (arrays | {"params/sigma": np.ones((3, 3))}, r"sigma has shape \(3, 3\) instead of \(2, 2\)"),
    ]:
        rewrite(saved, arrays=changed)
        with pytest.raises(PotentialFileError, match=message):
            load_potential(saved)
        rewrite(saved, arrays=arrays)
    assert load_potential(saved).elements == ("Ti", "Al")


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_self_test_notices_another_result(saved: Path, name: str) -> None:
    stored = read_header(saved)["self_test"]
    rewrite(saved, self_test=stored | {name: (np.asarray(stored[name]) * (1 + 1e-7)).tolist()})
    with pytest.raises(PotentialFileError, match=f"self-test.*different {name}"):
        load_potential(saved)


def test_self_test_holds_every_element(tmp_path: Path) -> None:
    elements = ("Ti", "Al", "V", "Mo", "Zr", "Nb", "Ta", "Cr", "Fe", "Ni")
    save_potential(potentials.lennard_jones(elements), tmp_path / "many.fusepot")
    numbers = read_header(tmp_path / "many.fusepot")["self_test"]["numbers"]
    assert set(numbers) == {22, 13, 23, 42, 40, 41, 73, 24, 26, 28}
    assert load_potential(tmp_path / "many.fusepot").elements == elements


def test_saving_refuses_what_could_not_be_loaded(tmp_path: Path) -> None:
    good = potentials.lennard_jones()
    nan = {**good.params, "sigma": np.full((1, 1), np.nan)}
    for bad in [
        replace(good, params={"epsilon": np.ones((1, 1))}),
        replace(good, params=nan),
        replace(good, provenance={"loss": float("nan")}),
        replace(good, provenance={"model": object()}),
    ]:
        with pytest.raises(InputError):
            save_potential(bad, tmp_path / "bad.fusepot")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_potential(potentials.lennard_jones(("V",)), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_non_contiguous_arrays(tmp_path: Path) -> None:
    good = potentials.lennard_jones(("Ti", "Al"))
    params = {name: np.asfortranarray(array + np.array([[0, 0.1], [0, 0]])) for name, array in good.params.items()}
    save_potential(Potential(good.architecture, good.config, good.elements, (0.0, 0.0), params), tmp_path / "p")
    np.testing.assert_array_equal(load_potential(tmp_path / "p").params["sigma"], params["sigma"])
