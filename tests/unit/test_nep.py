"""NEP against an independent implementation (the CPU engine of nep-adapters), and the file the two share."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from nep_adapters import NEPCalculator
from pydantic import ValidationError
from scipy.special import eval_legendre

import potentials
import structures
from fusepot.committee import join
from fusepot.errors import InputError, PotentialFileError
from fusepot.gradient import precision
from fusepot.models.harmonics import L_MAX, cubic_invariant, racah
from fusepot.models.nep import NepConfig
from fusepot.models.zbl import Zbl
from fusepot.nep_txt import read_nep, write_nep
from fusepot.potential import Potential, predict, predict_many
from fusepot.potential_file import load_potential, save_potential
from fusepot.structure import Structure

PAIR = ("Al", "Ti")
ZBL = Zbl(inner=1.9, outer=3.1, numbers=(13, 22))
POTENTIALS = {
    "one element": potentials.nep(seed=1, cutoff=5.5, angular_cutoff=4.5),
    "one element, 5-body": potentials.nep(seed=2, five_body=True, basis_size_radial=5, n_max_angular=5),
    "one element, l_max 1": potentials.nep(seed=3, l_max=1, four_body=False, neurons=25),
    "two elements": potentials.nep(PAIR, seed=4, cutoff=6.0, angular_cutoff=4.0, basis_size_angular=6),
    "two elements, l_max 3, ZBL": potentials.nep(PAIR, seed=5, l_max=3, five_body=True, zbl=ZBL),
    "two elements, l_max 2": potentials.nep(PAIR, seed=6, l_max=2, n_max_radial=7, four_body=False, five_body=True),
}


def in_vacuum(structure: Structure) -> Structure:
    """A periodic structure that looks like one that is open along z: the other program knows periodic cells only."""
    atoms = structure.to_ase()
    atoms.center(vacuum=8.0, axis=2)
    atoms.pbc = True
    return Structure.from_ase(atoms)


def liquid(symbols: tuple[str, ...], *, seed: int) -> Structure:
    """A disordered box in which no two atoms are closer than 1.9 Å, elements in turn."""
    rng = np.random.default_rng(seed)
    cell = np.array([[11.0, 0, 0], [1.5, 10.0, 0], [-0.7, 0.9, 12.0]])
    chosen: list[np.ndarray] = []
    while len(chosen) < 60:
        trial = rng.random(3)
        apart = np.array(chosen).reshape(-1, 3) - trial
        if (np.linalg.norm((apart - np.round(apart)) @ cell, axis=1) > 1.9).all():
            chosen.append(trial)
    names = [symbols[k % len(symbols)] for k in range(60)]
    return Structure.from_ase(Atoms(names, scaled_positions=chosen, cell=cell, pbc=True))


def cases(symbols: tuple[str, ...]) -> dict[str, Structure]:
    single = len(symbols) == 1
    return {
        "crystal": structures.hcp((3, 3, 2)) if single else structures.alloy((2, 2, 1), seed=1),
        "small cell": structures.bcc(rattle=0.1, seed=2) if single else structures.alloy(seed=2),
        "skewed crystal": structures.triclinic(seed=3),
        "liquid": liquid(symbols, seed=4),
        "slab": in_vacuum(structures.slab(seed=5)) if not single else in_vacuum(structures.hcp((2, 2, 2), rattle=0.2)),
    }


def close(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    error = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
    assert error < tolerance, f"{what}: {error:.2e}"


@pytest.mark.parametrize("name", POTENTIALS)
def test_exported_file_gives_the_same_in_another_program(name, tmp_path):
    potential = POTENTIALS[name]
    write_nep(potential, tmp_path / "nep.txt")
    chosen = cases(potential.elements)
    predictions, _ = predict_many(potential, list(chosen.values()))
    strongest = 0.0
    with NEPCalculator(tmp_path / "nep.txt", backend="cpu") as calculator:
        for (case, structure), found in zip(chosen.items(), predictions, strict=True):
            other = calculator.predict_structures([structure.to_ase()])
            close(found.energies, other.potential, 1e-9, f"energies of {case}")
            close(found.forces, other.forces, 1e-9, f"forces of {case}")
            # Its virial is the mean over atoms, positive for pressure.
            virial = -len(structure) * np.reshape(other.structure_virials[0], (3, 3))
            close(found.virial, virial, 1e-9, f"virial of {case}")
            strongest = max(strongest, np.abs(found.forces).max())
    assert strongest > 0.3, "the parameters give no forces: nothing was compared"


@pytest.mark.parametrize("name", POTENTIALS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_is_identical(name, dtype, tmp_path):
    original = POTENTIALS[name]
    params = {key: leaf.astype(dtype) for key, leaf in original.params.items()}
    original = replace(original, params=params, reference_energies=(0.0,) * len(original.elements))
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    write_nep(original, first)
    back = read_nep(first)
    assert back.config == original.config
    assert back.elements == original.elements
    for key, leaf in params.items():
        np.testing.assert_array_equal(back.params[key], leaf, err_msg=key)
    write_nep(back, second)
    assert first.read_bytes() == second.read_bytes()


def test_reference_energies_are_kept(tmp_path):
    potential = replace(POTENTIALS["two elements"], reference_energies=(-3.1, -57.25))
    structure = structures.alloy((2, 2, 1), seed=1)
    write_nep(potential, tmp_path / "nep.txt")
    back = read_nep(tmp_path / "nep.txt")
    assert back.config.neurons == potential.config.neurons + 1  # one with constant input holds them
    expected, found = predict(potential, structure), predict(back, structure)
    np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-13)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-12)


def test_harmonics_add_up_to_legendre_polynomials():
    rng = np.random.default_rng(0)
    u, v = (w / np.linalg.norm(w, axis=1)[:, None] for w in rng.normal(size=(2, 50, 3)))
    with precision("float64"):
        a, b = (np.stack(racah(*w.T, L_MAX), axis=1) for w in (u, v))
    start = 0
    for degree in range(1, L_MAX + 1):
        block = slice(start, start + 2 * degree + 1)
        start = block.stop
        cosine = np.sum(u * v, axis=1)
        np.testing.assert_allclose(np.sum(a[:, block] * b[:, block], axis=1), eval_legendre(degree, cosine), atol=1e-13)


def test_cubic_invariant_is_the_trace_of_the_cube():
    rng = np.random.default_rng(1)
    u, g = rng.normal(size=(7, 3)), rng.normal(size=7)
    u /= np.linalg.norm(u, axis=1)[:, None]
    tensor = np.einsum("j,ja,jb->ab", g, u, u) - g.sum() / 3 * np.eye(3)
    with precision("float64"):
        moments = g @ np.stack(racah(*u.T, 2), axis=1)
        found = float(cubic_invariant(moments[3:8]))
    np.testing.assert_allclose(found, np.trace(tensor @ tensor @ tensor), rtol=1e-12)


def test_repulsion_of_bare_nuclei():
    """At a tenth of an Å the screened repulsion is Coulomb's within its screening, whatever the network says."""
    potential = POTENTIALS["two elements, l_max 3, ZBL"]
    without = replace(potential, config=potential.config.model_copy(update={"zbl": None}))
    dimer = structures.dimer(0.1, PAIR)
    repulsion = predict(potential, dimer).energy - predict(without, dimer).energy
    x = 0.1 / 0.46848 * (13**0.23 + 22**0.23)
    screening = 0.18175 * np.exp(-3.1998 * x) + 0.50986 * np.exp(-0.94229 * x)
    screening += 0.28022 * np.exp(-0.4029 * x) + 0.02817 * np.exp(-0.20162 * x)
    np.testing.assert_allclose(repulsion, 14.3996 * 13 * 22 / 0.1 * screening, rtol=1e-4)
    for distance in (3.1, 3.4):
        dimer = structures.dimer(distance, PAIR)
        assert predict(potential, dimer).energy == pytest.approx(predict(without, dimer).energy, abs=1e-14)


@pytest.mark.parametrize(
    "settings",
    [
        {"cutoff": 5.0, "angular_cutoff": 5.5},
        {"l_max": 1, "four_body": True},
        {"l_max": 5},
        {"zbl": {"inner": 2.0, "outer": 1.0, "numbers": [22]}},
        {"cutoff": 2.5, "angular_cutoff": 2.5, "zbl": {"inner": 1.0, "outer": 2.9, "numbers": [22]}},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        NepConfig(**settings)


def test_repulsion_needs_a_nucleus_for_each_element():
    with pytest.raises(InputError, match=r"zbl\.numbers"):
        potentials.nep(("Ti",), zbl=ZBL)


def test_only_nep_can_be_exported(tmp_path):
    with pytest.raises(InputError, match="lennard-jones"):
        write_nep(potentials.lennard_jones(), tmp_path / "nep.txt")
    committee = join([potentials.nep(seed=1), potentials.nep(seed=2)])
    with pytest.raises(InputError, match="committee of 2"):
        write_nep(committee, tmp_path / "nep.txt")


@pytest.mark.parametrize(
    ("pattern", "replacement", "zbl", "message"),
    [
        ("^nep4", "nep3", False, "kind 'nep3'"),
        ("^nep4", "nep4_charge1", False, "kind 'nep4_charge1'"),
        ("^nep4 2", "nep4 3", False, "announces 3 elements"),
        ("^nep4 2 Al", "nep4 2 Xx", False, "names Xx Ti"),
        (r"^zbl \S+ \S+", "zbl 0 0", True, "tabulated"),
        ("^cutoff (.*)", r"cutoff \1 6 5", False, "newer kind"),
        ("^cutoff", "cutof", False, "where the line 'cutoff' belongs"),
        ("^l_max 4 2 0", "l_max 4 2 0 1", False, "newer kind"),
        ("^l_max 4", "l_max 5", False, "out of range"),
        ("^l_max 4 2 0", "l_max 4 0 0", False, "too many"),
        ("^l_max 4 2 0", "l_max 4 2 1", False, "ends early"),
        ("^n_max 4", "n_max four", False, "'n_max'"),
        (r"\n\S+\n$", "\nnan\n", False, "not finite"),
        (r"\n\S+\n$", "\nabc\n", False, "not numbers"),
        (r"\n\S+\n$", "\n", False, "ends early"),
    ],
)
def test_files_that_mean_something_else_are_refused(pattern, replacement, zbl, message, tmp_path):
    path = tmp_path / "nep.txt"
    write_nep(POTENTIALS["two elements, l_max 3, ZBL" if zbl else "two elements"], path)
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)
    with pytest.raises(PotentialFileError, match=message) as caught:
        read_nep(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(PotentialFileError, match="nowhere"):
        read_nep(tmp_path / "nowhere.txt")


def test_as_gpumd_writes_it(tmp_path):
    """A file with other layout of the same content: numbers in exponent form, most neighbours that are not ours."""
    potential: Potential = POTENTIALS["one element"]
    path = tmp_path / "nep.txt"
    write_nep(potential, path)
    head, body = path.read_text().splitlines()[:6], path.read_text().splitlines()[6:]
    head[1] = "cutoff 5.5 4.5 93 41"
    path.write_text("\n".join([*head, *(f"{float(x):15.7e}" for x in body)]) + "\n")
    back = read_nep(path)
    expected, found = (predict(p, structures.hcp((2, 2, 2), rattle=0.2, seed=7)) for p in (potential, back))
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5)
    assert np.abs(expected.forces).max() > 0.1
    write_nep(back, tmp_path / "again.txt")
    assert "cutoff 5.5 4.5 93 41" in Path(tmp_path / "again.txt").read_text()


def test_commands_export_and_import(run):
    save_potential(POTENTIALS["one element"], "ti.fusepot")
    assert run("export", "ti.fusepot", "--format", "nep", "nep.txt")[0] == 0
    assert run("import", "nep.txt", "--out", "back")[0] == 0
    found = load_potential("back", dtype="float64")
    expected, found = (predict(p, structures.hcp(rattle=0.1)) for p in (POTENTIALS["one element"], found))
    np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-13)
    code, _, stderr = run("import", "ti.fusepot")
    assert code == 2
    assert "ti.fusepot" in stderr
