"""Print the folder of XLA's header files, which the installed wheel ``jaxlib`` contains, for CMake."""

from importlib.metadata import files
from pathlib import Path

if __name__ == "__main__":
    for path in files("jaxlib") or []:
        if path.as_posix().endswith("include/xla/ffi/api/ffi.h"):
            print(Path(path.locate()).resolve().parents[3])
            break
    else:
        raise SystemExit("jaxlib: xla/ffi/api/ffi.h is not among its files")
