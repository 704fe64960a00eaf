"""Every mistake ends every rank with a message that says what came, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from seam.harness import Run, run

DECK = """
units {units}
newton {newton}
atom_style atomic
atom_modify id {id}
boundary p p p
region box block 0 9 0 9 0 18
create_box 2 box
create_atoms 1 single 1 1 1
create_atoms 2 single 1 1 3.9
create_atoms 1 single 1 1 10
create_atoms 2 single 1 1 12.9
mass * 50
neighbor 0.5 bin
{comm}
pair_style fusepot {style}
pair_coeff {coeff}
run 0
"""
DEFAULTS = {"units": "metal", "newton": "on", "id": "yes", "comm": "", "style": ""}


@dataclass(frozen=True)
class Mistake:
    """What a deck does wrong, and what LAMMPS must say."""

    changes: dict[str, str]
    says: tuple[str, ...]
    ranks: tuple[int, ...] = (1, 2)


GOOD = "* * {lj} Al Ti"
MISTAKES = {
    "units real": Mistake({"units": "real"}, ("got 'units real'", "expected 'units metal'")),
    "newton off": Mistake({"newton": "off"}, ("got 'newton off'", "expected 'newton on'")),
    "no atom IDs": Mistake({"id": "no"}, ("got 'atom_modify id no'", "expected atom IDs")),
    "unknown keyword": Mistake({"style": "speed 3"}, ("got keyword 'speed'", "expected 'precision'")),
    "unknown precision": Mistake({"style": "precision half"}, ("got 'half'", "'float32' or 'float64'")),
    "precision without value": Mistake({"style": "precision"}, ("got 'nothing'", "'float32' or 'float64'")),
    # These two are LAMMPS's own words.
    "pair_coeff 1 1": Mistake({"coeff": "1 1"}, ("Pair_coeff must start with * * for pair style fusepot",)),
    "pair_coeff 1 2 FILE": Mistake({"coeff": "1 2 {lj} Al Ti"}, ("Pair_coeff must start with * *",)),
    "pair_coeff without file": Mistake({"coeff": "* *"}, ("got 2 arguments", "'* * FILE'", "2 atom types"), ranks=(1,)),
    "too few elements": Mistake({"coeff": "* * {lj} Al"}, ("got 4 arguments", "each of the 2 atom types")),
    "too many elements": Mistake({"coeff": "* * {lj} Al Ti Ti"}, ("got 6 arguments", "each of the 2 atom types")),
    "unknown element": Mistake(
        {"coeff": "* * {lj} Al Xx"}, ("element of atom type 2", "got Xx", "expected one of Ti, Al, or NULL")
    ),
    "NULL without hybrid": Mistake({"coeff": "* * {lj} NULL Ti"}, ("atom type 1 has no element (NULL)", "hybrid")),
    "missing file": Mistake({"coeff": "* * nowhere.fusepot Al Ti"}, ("nowhere.fusepot", "does not exist")),
    "damaged file": Mistake({"coeff": "* * {damaged} Al Ti"}, ("damaged", "Copy or download it again")),
    "foreign file": Mistake({"coeff": "* * {foreign} Al Ti"}, ("not a potential file of fusepot",)),
    "halo too narrow": Mistake(
        {"coeff": "* * {near} Al Ti", "comm": "comm_modify cutoff 6.0"},
        ("got 'comm_modify cutoff 6'", "expected at least 8.2 Å", "2 cutoffs of 3.6 Å", "Remove comm_modify"),
        ranks=(2,),
    ),
    "mode multi": Mistake(
        {"coeff": "* * {near} Al Ti", "comm": "neighbor 0.5 multi\ncomm_modify mode multi"},
        ("got 'comm_modify mode multi'",),
        ranks=(2,),
    ),
}
CASES = [(name, ranks) for name, mistake in MISTAKES.items() for ranks in mistake.ranks]


@pytest.fixture(scope="module")
def runs(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, int], Run]]:
    """All runs, two at a time."""
    folder = tmp_path_factory.mktemp("errors")
    content = bytearray(models["lj"].read_bytes())
    content[-3] ^= 1
    files = {name: str(path) for name, path in models.items()}
    files |= {"damaged": str(folder / "damaged.fusepot"), "foreign": str(folder / "foreign.fusepot")}
    Path(files["damaged"]).write_bytes(content)
    Path(files["foreign"]).write_text("not a potential at all\n")

    def attempt(case: tuple[str, int]) -> Run:
        name, ranks = case
        filled = {
            key: value.format(**files) for key, value in (DEFAULTS | {"coeff": GOOD} | MISTAKES[name].changes).items()
        }
        return run(folder / f"{name.replace(' ', '-')}-{ranks}", DECK.format(**filled), ranks=ranks, timeout=120)

    with ThreadPoolExecutor(2) as pool:
        yield dict(zip(CASES, pool.map(attempt, CASES), strict=True))


@pytest.mark.parametrize(("name", "ranks"), CASES, ids=[f"{name}, {ranks} ranks" for name, ranks in CASES])
def test_mistake_is_explained(runs: dict[tuple[str, int], Run], name: str, ranks: int) -> None:
    done = runs[name, ranks]
    assert done.code != 0
    error = done.text[done.text.find("ERROR") :]
    for words in MISTAKES[name].says:
        assert words in error, f"expected {words!r} in:\n{done.text[-2500:]}"
    assert "Traceback" not in done.text


def test_launcher_of_another_mpi(models: dict[str, Path], tmp_path: Path) -> None:
    """``srun`` or another mpiexec starts N processes that each believe to be alone."""
    deck = DECK.format(**DEFAULTS, coeff=GOOD.format(lj=models["lj"]))
    for number, variable in enumerate(("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")):
        done = run(tmp_path / str(number), deck, environment={variable: "2"})
        assert done.code != 0
        assert "the launcher started 2 processes, but this one sees a single rank" in done.text, variable


def test_a_deck_can_go_on_with_another_potential(models: dict[str, Path], tmp_path: Path) -> None:
    """Potentials, precisions and halos of one deck after another, without ``clear``: no state is left behind."""
    style = 'pair_style fusepot precision float64\npair_coeff * * {} Al Ti\nrun 0\nprint "PE $(pe:%.17g)"\n'
    files = [models[name] for name in ("near", "lj", "lj_bare", "lj", "near")]
    deck = DECK.format(**DEFAULTS, coeff=GOOD.format(lj=models["lj"])) + "".join(style.format(f) for f in files)
    deck += "pair_style lj/cut 5.0\npair_coeff * * 0.4 2.6\nrun 0\n" + style.format(models["near"])
    done = run(tmp_path, deck, ranks=2).ok()
    near, lj, bare, again, near_again, last = (float(words[0]) for words in done.lines("PE"))
    assert near == near_again == last
    assert lj == again
    assert lj - bare == pytest.approx(-5.0, abs=1e-9), "two atoms of each element: reference energies -1 and -1.5"
    assert abs(near - lj) > 1e-3
