"""The Python half of the LAMMPS border: a table of C functions registered with the plugin.

Mirrors ``lammps_interface/src/border.h``. No exception crosses the border: each becomes a traceback on standard error,
a message for LAMMPS and a non-zero return code, upon which the C++ side stops every rank.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import traceback
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_int, c_int32, c_uint8, c_void_p
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fusepot.errors import FusepotError

if TYPE_CHECKING:
    from fusepot.gradient import Engine
    from fusepot.potential import Potential
    from fusepot.serving.lammps import PairServer

BORDER_VERSION = 2


class Sizes(Structure):
    """``fusepot_sizes``."""

    _fields_ = [("atoms", c_int32), ("pairs", c_int32), ("neighbors", c_int32)]


class Buffers(Structure):
    """``fusepot_buffers``."""

    _fields_ = [
        ("capacity", Sizes),
        ("centers", POINTER(c_int32)),
        ("others", POINTER(c_int32)),
        ("reverse", POINTER(c_int32)),
        ("vectors", POINTER(c_double)),
        ("species", POINTER(c_int32)),
        ("counted", POINTER(c_uint8)),
        ("energies", POINTER(c_double)),
        ("gradient", POINTER(c_double)),
        ("member_gradients", POINTER(c_double)),
    ]


class Kernel(Structure):
    """``fusepot_kernel``; null pointers where a potential has no compiled code."""

    _fields_ = [("evaluate", c_void_p), ("models", POINTER(c_void_p)), ("references", POINTER(c_double))]


# Text buffers that this side writes are c_void_p: ctypes would hand over copies for c_char_p.
Open = CFUNCTYPE(
    c_int, c_char_p, c_char_p, c_char_p, c_int32, POINTER(c_char_p), POINTER(c_int32), POINTER(c_double),
    POINTER(c_int32), POINTER(c_int32), POINTER(c_int32), POINTER(Kernel), c_void_p, c_void_p, c_int32,
)  # fmt: skip
Reserve = CFUNCTYPE(c_int, c_int32, POINTER(Sizes), POINTER(Sizes), c_void_p, c_int32)
Bind = CFUNCTYPE(c_int, c_int32, POINTER(Buffers), c_void_p, c_int32)
Compute = CFUNCTYPE(c_int, c_int32, c_int32, c_int32, c_int32, c_void_p, c_int32)
Close = CFUNCTYPE(c_int, c_int32, c_void_p, c_int32)


class Table(Structure):
    """``fusepot_table``."""

    _fields_ = [
        ("version", c_int32), ("open", Open), ("reserve", Reserve), ("bind", Bind), ("compute", Compute),
        ("close", Close),
    ]  # fmt: skip


class Bridge:
    """Open potentials by handle, and the C table that reaches them. Keep it alive while it is registered."""

    def __init__(self) -> None:
        self.servers: dict[int, PairServer] = {}
        self._kernels: dict[int, Kernel] = {}  # C++ holds addresses of their arrays
        self.table = Table(
            BORDER_VERSION,
            Open(self._open),
            Reserve(self._reserve),
            Bind(self._bind),
            Compute(self._compute),
            Close(self._close),
        )

    def add(self, server: PairServer) -> int:
        """Register an open potential; returns its handle."""
        handle = max(self.servers, default=-1) + 1
        self.servers[handle] = server
        return handle

    def _open(
        self, path: bytes, dtype: bytes, engine: bytes, ntypes: int, names: Any, handle: Any, cutoff: Any, hops: Any,
        members: Any, species: Any, kernel: Any, summary: int, message: int, size: int,
    ) -> int:  # fmt: skip
        def act() -> None:
            # Imported late, so that the number of threads is settled before jax starts.
            from fusepot.serving.lammps import PairServer

            potential = _load(path.decode(), None if dtype == b"file" else dtype.decode())
            chosen: Engine = "xla" if engine == b"xla" else "auto"
            server = PairServer(potential, [names[k].decode() for k in range(ntypes)], engine=chosen)
            handle[0], cutoff[0], hops[0] = self.add(server), potential.cutoff, potential.hops
            members[0] = potential.members
            for k, index in enumerate(server.species):
                species[k] = index
            kernel[0] = self._kernels[handle[0]] = _kernel(server)
            _write(summary, size, server.summary())

        return _guarded(act, message, size)

    def _reserve(self, handle: int, need: Any, capacity: Any, message: int, size: int) -> int:
        def act() -> None:
            wanted = need[0]
            have = self.servers[handle].reserve(wanted.atoms, wanted.pairs, wanted.neighbors)
            capacity[0] = Sizes(have.atoms, have.pairs, have.neighbors)

        return _guarded(act, message, size)

    def _bind(self, handle: int, buffers: Any, message: int, size: int) -> int:
        def act() -> None:
            server = self.servers[handle]
            server.bind(_views(buffers[0], server.members))

        return _guarded(act, message, size)

    def _compute(self, handle: int, atoms: int, pairs: int, each: int, message: int, size: int) -> int:
        # The hot path: no closure.
        try:
            self.servers[handle].compute(atoms, pairs, members=bool(each))
        except BaseException as error:
            return _report(error, message, size)
        return 0

    def _close(self, handle: int, message: int, size: int) -> int:
        def act() -> None:
            self._kernels.pop(handle, None)
            self.servers.pop(handle, None)

        return _guarded(act, message, size)


def _load(path: str, dtype: str | None) -> Potential:
    """Read a potential file once, however often a deck opens it between two ``clear``."""
    try:
        status = os.stat(path)
    except OSError:
        return _load_file(path, dtype, ())  # it knows what to say
    return _load_file(path, dtype, (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=4)
def _load_file(path: str, dtype: str | None, stamp: tuple[int, ...]) -> Potential:
    from fusepot.potential_file import load_potential

    return load_potential(path, dtype=dtype)


def _views(buffers: Buffers, members: int) -> Any:
    from fusepot.serving.lammps import PairArrays

    atoms, pairs = buffers.capacity.atoms, buffers.capacity.pairs

    def view(name: str, *shape: int) -> Any:
        return np.ctypeslib.as_array(getattr(buffers, name), shape=shape)

    return PairArrays(
        centers=view("centers", pairs),
        others=view("others", pairs),
        reverse=view("reverse", pairs),
        vectors=view("vectors", pairs, 3),
        species=view("species", atoms),
        counted=view("counted", atoms).view(bool),
        energies=view("energies", atoms),
        gradient=view("gradient", pairs, 3),
        member_gradients=view("member_gradients", members, pairs, 3) if buffers.member_gradients else None,
    )


def _kernel(server: PairServer) -> Kernel:
    """What C++ calls for this server; the server keeps it alive."""
    if not server.block_kernels:
        return Kernel()
    models = (c_void_p * server.members)(*(kernel.model for kernel in server.block_kernels))
    # ctypes keeps what these pointers point to for as long as the structure lives.
    references = server.references.ctypes.data_as(POINTER(c_double))
    return Kernel(server.block_kernels[0].evaluate, models, references)


def _guarded(act: Callable[[], object], message: int, size: int) -> int:
    try:
        act()
    except BaseException as error:
        return _report(error, message, size)
    return 0


def _report(error: BaseException, message: int, size: int) -> int:
    # A mistake of the user needs one sentence; anything else needs its traceback, which LAMMPS would cut short.
    if not isinstance(error, FusepotError):
        traceback.print_exception(error, file=sys.stderr)
        sys.stderr.flush()
    text = str(error) if isinstance(error, FusepotError) else f"{type(error).__name__}: {error}"
    _write(message, size, text or repr(error))
    return 1


def _write(address: int, size: int, text: str) -> None:
    data = text.encode()[: size - 1] + b"\0"
    ctypes.memmove(address, data, len(data))


def limit_threads(environment: Any = os.environ) -> None:
    """Give each rank of this node its share of the cores; jax reads this once, when it is first imported."""
    if "jax" in sys.modules or "PJRT_NPROC" in environment:
        return
    names = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMI_LOCAL_SIZE")
    ranks = next((int(environment[name]) for name in names if name in environment), 1)
    cores = len(os.sched_getaffinity(0))
    environment["PJRT_NPROC"] = str(max(1, cores // ranks))


def _abort_all_ranks_on_exception() -> None:
    """A rank that dies of an exception would leave the others waiting for it: end them all."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.COMM_WORLD.Get_size() == 1:
        return
    previous = sys.excepthook

    def hook(kind: Any, value: Any, trace: Any) -> None:
        previous(kind, value, trace)
        sys.stderr.flush()
        mpi.COMM_WORLD.Abort(1)

    sys.excepthook = hook


_attached: dict[str, Bridge] = {}


def attach(library: str) -> Bridge:
    """Register with the plugin at this path; called by the plugin itself. Repeated calls return the same bridge."""
    if library in _attached:
        bridge = _attached[library]
    else:
        bridge = _attached[library] = Bridge()
        limit_threads()
        _abort_all_ranks_on_exception()
    plugin = ctypes.CDLL(library)
    if plugin.fusepot_register(ctypes.byref(bridge.table)):
        raise FusepotError(
            f"{library}: its border version differs from {BORDER_VERSION} of this fusepot. "
            "Reinstall fusepot so that both match."
        )
    # LAMMPS objects may outlive the interpreter; they must not call into it then.
    atexit.register(plugin.fusepot_register, None)
    return bridge
