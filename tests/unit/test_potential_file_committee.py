"""Committees in potential files: all members come back, none can be damaged unnoticed, old files and readers hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load, save

import committees
import damage
import potentials
import structures
from fusepot import potential_file
from fusepot.committee import split
from fusepot.errors import InputError, PotentialFileError
from fusepot.potential import Potential, predict
from fusepot.potential_file import load_potential, read_header, save_potential

# lennard_jones(("Ti", "Al")) as version 0.1.0 wrote it, before there were committees.
OLD_FILE = Path(__file__).parent / "data" / "lennard_jones_0.1.0.fusepot"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "committee.fusepot"
    save_potential(committees.lennard_jones(), path)
    return path.read_bytes()


@pytest.fixture
def saved(content: bytes, tmp_path: Path) -> Path:
    (tmp_path / "committee.fusepot").write_bytes(content)
    return tmp_path / "committee.fusepot"


def rewrite(path: Path, *, arrays: dict[str, Any] | None = None, **changes: Any) -> None:
    """Write a file with other header entries or arrays and a valid checksum."""
    text = json.dumps(read_header(path) | changes)
    arrays = load(path.read_bytes()) if arrays is None else arrays
    path.write_bytes(save(arrays, metadata={"fusepot": text, "checksum": potential_file.checksum(text, arrays)}))


def same(found: Potential, expected: Potential) -> None:
    assert replace(found, params=None) == replace(expected, params=None)
    for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(expected.params), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    before = committees.nep(dtype="float32")
    save_potential(before, tmp_path / "nep.fusepot")
    after = load_potential(tmp_path / "nep.fusepot")
    same(after, before)
    for found, expected in zip(split(after), committees.nep_parts(dtype="float32"), strict=True):
        same(found, expected)
    structure = structures.alloy((1, 1, 1), seed=1)
    np.testing.assert_array_equal(predict(after, structure).forces, predict(before, structure).forces)


def test_readers_without_committees_refuse_the_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They read version 1 and would take stacked arrays for those of one potential."""
    assert read_header(saved)["members"] == 3
    monkeypatch.setattr(potential_file, "FORMAT_VERSION", 1)
    with pytest.raises(PotentialFileError, match=r"format version 2.*reads up to version 1.*Upgrade"):
        load_potential(saved)


def test_single_potentials_are_written_as_before(tmp_path: Path) -> None:
    """Key for key and byte for byte, but for the version of the package that writes; self-test values to rounding."""
    save_potential(potentials.lennard_jones(committees.ELEMENTS), tmp_path / "new.fusepot")
    old, new = read_header(OLD_FILE), read_header(tmp_path / "new.fusepot")
    assert list(old) == list(new)
    assert new["format_version"] == 1
    for key in set(old) - {"self_test", "fusepot_version"}:
        assert old[key] == new[key], key
    for key, value in old["self_test"].items():
        np.testing.assert_allclose(new["self_test"][key], value, rtol=1e-12, atol=1e-12, err_msg=key)
    arrays = [load(path.read_bytes()) for path in (OLD_FILE, tmp_path / "new.fusepot")]
    assert {name: a.tobytes() for name, a in arrays[0].items()} == {name: a.tobytes() for name, a in arrays[1].items()}


def test_files_from_before_committees_are_read(tmp_path: Path) -> None:
    expected = potentials.lennard_jones(committees.ELEMENTS)
    found = load_potential(OLD_FILE)
    assert found.members == 1
    np.testing.assert_array_equal(found.params["sigma"], expected.params["sigma"])
    structure = structures.alloy((1, 1, 1), seed=1)
    assert predict(found, structure).energy == predict(expected, structure).energy
    # A key of that name in such a file is a stranger's and is ignored, as those readers ignored it.
    copy = tmp_path / "copy.fusepot"
    copy.write_bytes(OLD_FILE.read_bytes())
    rewrite(copy, members=3)
    assert load_potential(copy).members == 1


def test_every_region_of_the_file_is_guarded(saved: Path) -> None:
    damage.notice_flipped_bits(saved, first=(), inside=60, last=48, seed=6)


@pytest.mark.parametrize("member", range(3))
def test_each_member_is_tested_when_read(saved: Path, member: int) -> None:
    """A valid checksum over wrong parameters, as a reader that computes wrongly would see it."""
    arrays = {name: array.copy() for name, array in load(saved.read_bytes()).items()}
    arrays["params/epsilon"][member] *= 1 + 1e-7
    rewrite(saved, arrays=arrays)
    with pytest.raises(PotentialFileError, match=r"self-test.*different energy"):
        load_potential(saved)


def test_members_whose_errors_cancel_are_noticed(saved: Path) -> None:
    """Energies are linear in the well depth: with sizes alike, this leaves the mean as it was."""
    committee = load_potential(saved)
    committee.params["sigma"][1] = committee.params["sigma"][0]
    save_potential(committee, saved)
    arrays = {name: array.copy() for name, array in load(saved.read_bytes()).items()}
    arrays["params/epsilon"][:2] += 1e-6 * np.array([1.0, -1.0])[:, None, None]
    rewrite(saved, arrays=arrays)
    structure = structures.alloy((1, 1, 1), seed=1)
    changed = replace(committee, params={**committee.params, "epsilon": arrays["params/epsilon"]})
    assert predict(changed, structure).energy == pytest.approx(predict(committee, structure).energy, abs=1e-12)
    with pytest.raises(PotentialFileError, match="self-test"):
        load_potential(saved)


def test_exchanged_members_are_noticed(saved: Path) -> None:
    arrays = {name: np.ascontiguousarray(array[[1, 0, 2]]) for name, array in load(saved.read_bytes()).items()}
    rewrite(saved, arrays=arrays)
    with pytest.raises(PotentialFileError, match="self-test"):
        load_potential(saved)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (2, r"has shape \(3, 2, 2\) instead of \(2, 2, 2\)"),
        (1, r"has shape \(3, 2, 2\) instead of \(2, 2\)"),
        (0, r"instead of \(2, 2\)"),
        (3.0, "unusable header.*members"),
        ("three", "unusable header"),
        (None, "unusable header"),
    ],
)
def test_another_number_of_members(saved: Path, members: Any, message: str) -> None:
    rewrite(saved, members=members)
    with pytest.raises(PotentialFileError, match=message):
        load_potential(saved)


def test_no_number_of_members(saved: Path) -> None:
    text = json.dumps({key: value for key, value in read_header(saved).items() if key != "members"})
    arrays = load(saved.read_bytes())
    saved.write_bytes(save(arrays, metadata={"fusepot": text, "checksum": potential_file.checksum(text, arrays)}))
    with pytest.raises(PotentialFileError, match=r"unusable header.*members"):
        load_potential(saved)


def test_saving_refuses_members_that_do_not_fit(tmp_path: Path) -> None:
    good = committees.lennard_jones()
    for bad in (replace(good, members=2), replace(good, members=1), replace(potentials.lennard_jones(), members=2)):
        with pytest.raises(InputError, match="has shape"):
            save_potential(bad, tmp_path / "bad.fusepot")
    assert list(tmp_path.iterdir()) == []
