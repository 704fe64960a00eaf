"""The ASE calculator in the hands of ASE: optimisers, cell filters, phonons, molecular dynamics, copies."""

from __future__ import annotations

import copy
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.lj import LennardJones
from ase.filters import ExpCellFilter, FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.phonons import Phonons

import committees
import potentials
import structures
from fusepot import potential as potential_module
from fusepot.errors import InputError, PotentialFileError
from fusepot.potential import predict
from fusepot.potential_file import save_potential
from fusepot.serving.ase import COMMITTEE_PROPERTIES, FusepotCalculator

POTENTIAL = potentials.lennard_jones(("Ti", "Al"))


def with_calculator(structure: structures.Structure) -> Atoms:
    atoms = structure.to_ase()
    atoms.calc = FusepotCalculator(POTENTIAL)
    return atoms


def test_equals_predict() -> None:
    structure = structures.alloy(seed=1)
    atoms, expected = with_calculator(structure), predict(POTENTIAL, structure)
    assert atoms.get_potential_energy() == expected.energy
    assert atoms.get_potential_energy(force_consistent=True) == expected.energy
    np.testing.assert_array_equal(atoms.get_potential_energies(), expected.energies)
    np.testing.assert_array_equal(atoms.get_forces(), expected.forces)
    np.testing.assert_array_equal(atoms.get_stress(voigt=False), expected.stress)
    s = expected.stress
    np.testing.assert_array_equal(atoms.get_stress(), [s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])


def test_equals_numerical_derivatives_of_ase() -> None:
    atoms = with_calculator(structures.alloy((1, 1, 1), seed=2))
    scale = np.abs(atoms.get_forces()).max()
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-5), atol=1e-6 * scale)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-6), atol=1e-6 * scale)


def test_equals_lennard_jones_of_ase() -> None:
    potential = potentials.lennard_jones(("Ti",))
    atoms = structures.triclinic(seed=3).to_ase()
    atoms.calc = LennardJones(epsilon=0.4, sigma=2.6, rc=5.0)
    expected = atoms.get_stress()
    atoms.calc = FusepotCalculator(potential)
    np.testing.assert_allclose(atoms.get_stress(), expected, atol=1e-11)


@pytest.mark.parametrize("build", [structures.slab, structures.wire, structures.cluster])
def test_no_stress_without_three_periodic_directions(build: object) -> None:
    atoms = with_calculator(build())  # type: ignore[operator]
    for _ in range(2):
        with pytest.raises(PropertyNotImplementedError, match="periodic in three directions"):
            atoms.get_stress()
        assert np.isfinite(atoms.get_potential_energy())
    assert "stress" not in atoms.calc.results


def test_any_change_is_noticed_and_nothing_else() -> None:
    atoms = with_calculator(structures.alloy(seed=4))
    calls = []
    calculate = atoms.calc.calculate
    atoms.calc.calculate = lambda *args: (calls.append(1), calculate(*args))
    seen = [atoms.get_potential_energy()]

    def changed(expected: bool) -> None:
        before = len(calls)
        seen.append(atoms.get_potential_energy())
        atoms.get_forces()
        assert len(calls) - before == int(expected)
        assert (seen[-1] != seen[-2]) == expected

    changed(False)
    atoms.positions[3, 1] += 1e-3
    changed(True)
    atoms.set_cell(atoms.cell.array * 1.01)
    changed(True)
    atoms.numbers[0] = 35 - atoms.numbers[0]
    changed(True)
    atoms.pbc = [True, True, False]
    changed(True)
    atoms.set_initial_magnetic_moments(np.ones(len(atoms)))
    atoms.set_initial_charges(np.ones(len(atoms)))
    atoms.set_velocities(np.ones((len(atoms), 3)))
    changed(False)
    del atoms[2]
    changed(True)


def test_results_cannot_be_spoiled_by_the_caller() -> None:
    atoms = with_calculator(structures.alloy(seed=5))
    expected = atoms.get_forces().copy()
    atoms.get_forces()[:] = 0
    np.testing.assert_array_equal(atoms.get_forces(), expected)


@pytest.mark.filterwarnings("ignore:Use FrechetCellFilter")
@pytest.mark.parametrize("cell_filter", [ExpCellFilter, FrechetCellFilter])
def test_relaxes_atoms_and_cell(cell_filter: type) -> None:
    atoms = with_calculator(structures.hcp((2, 1, 1), rattle=0.05, seed=6))
    assert BFGS(cell_filter(atoms), logfile=None).run(fmax=1e-4, steps=200)
    assert np.abs(atoms.get_stress()).max() < 1e-5
    assert np.abs(atoms.get_forces()).max() < 1e-4


def test_molecular_dynamics_compiles_once_and_conserves_energy() -> None:
    atoms = structures.hcp((3, 3, 2)).to_ase()
    potential = potentials.lennard_jones(("Ti",), cutoff=5.013)  # a cutoff of its own has compiled code of its own
    atoms.calc = FusepotCalculator(potential)
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=50)
    atoms.set_velocities(np.random.default_rng(7).normal(scale=0.02, size=(len(atoms), 3)))
    dynamics = VelocityVerlet(atoms, timestep=1.0 * units.fs)
    dynamics.run(20)
    compiled = potential_module._compiled(potential.model)
    before, start = compiled._cache_size(), atoms.get_total_energy()
    dynamics.run(80)
    assert compiled._cache_size() == before <= 3
    assert abs(atoms.get_total_energy() - start) / len(atoms) < 1e-3


def test_capacities_only_grow() -> None:
    atoms = with_calculator(structures.alloy((2, 2, 2), seed=8))
    atoms.get_potential_energy()
    large = atoms.calc._capacity
    small = structures.hcp().to_ase()
    small.calc = atoms.calc
    energy = small.get_potential_energy()
    assert atoms.calc._capacity == large
    assert energy == pytest.approx(predict(POTENTIAL, structures.hcp()).energy, abs=1e-12)


def test_phonons(tmp_path: Path) -> None:
    atoms = structures.fcc().to_ase()
    atoms.calc = FusepotCalculator(potentials.lennard_jones(("Al",)))
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-6, steps=100)
    phonons = Phonons(atoms, atoms.calc, supercell=(3, 3, 3), delta=0.01, name=str(tmp_path / "phonon"))
    phonons.run()
    phonons.read(acoustic=True)
    at_zero, at_edge = phonons.band_structure([[0, 0, 0], [0.5, 0.5, 0]], verbose=False)
    assert np.abs(at_zero).max() < 1e-3
    assert (at_edge > 5e-3).all()


def test_copies_are_independent() -> None:
    atoms = with_calculator(structures.alloy(seed=9))
    energy = atoms.get_potential_energy()
    twin = copy.deepcopy(atoms)
    twin.positions[0] += 0.1
    assert twin.get_potential_energy() != energy
    assert atoms.get_potential_energy() == energy
    assert atoms.copy().calc is None


def test_from_a_file(tmp_path: Path) -> None:
    save_potential(POTENTIAL, tmp_path / "lj.fusepot")
    structure = structures.alloy(seed=10)
    for path in (tmp_path / "lj.fusepot", str(tmp_path / "lj.fusepot")):
        atoms = structure.to_ase()
        atoms.calc = FusepotCalculator(path)
        assert atoms.get_potential_energy() == predict(POTENTIAL, structure).energy
    single = FusepotCalculator(tmp_path / "lj.fusepot", dtype="float32")
    assert single.potential.dtype == "float32"
    with pytest.raises(PotentialFileError, match="does not exist"):
        FusepotCalculator(tmp_path / "nothing")


def test_misuse_is_named_and_the_calculator_survives_it() -> None:
    atoms = with_calculator(structures.alloy(seed=11))
    numbers = atoms.numbers.copy()
    atoms.numbers[0] = 79
    with pytest.raises(InputError, match="element Au, expected only Ti, Al"):
        atoms.get_potential_energy()
    atoms.numbers[:] = numbers
    assert np.isfinite(atoms.get_potential_energy())
    with pytest.raises(InputError, match="dtype"):
        FusepotCalculator(POTENTIAL, dtype="float16")


def test_a_committee_calculates_its_mean_and_how_far_members_disagree() -> None:
    committee, structure = committees.lennard_jones(), structures.alloy((2, 1, 1), seed=12)
    atoms = structure.to_ase()
    atoms.calc = FusepotCalculator(committee)
    expected = predict(committee, structure)
    assert atoms.get_potential_energy() == expected.energy
    np.testing.assert_array_equal(atoms.get_forces(), expected.forces)
    np.testing.assert_array_equal(atoms.get_stress(voigt=False), expected.stress)
    alone = [predict(part, structure) for part in committees.lennard_jones_parts()]
    members = np.stack([one.forces for one in alone])
    found = atoms.calc.get_property("forces_comm", atoms)
    np.testing.assert_allclose(found, members, atol=1e-11)
    spread = np.sqrt(((members - members.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    np.testing.assert_allclose(atoms.calc.get_property("forces_deviation", atoms), spread, atol=1e-11)
    energies = np.array([one.energy for one in alone])
    assert atoms.calc.get_property("energy_deviation", atoms) == pytest.approx(energies.std() / len(atoms), abs=1e-11)
    # A changed structure is calculated again, whatever is asked for first.
    atoms.positions[0, 0] += 0.2
    assert not np.allclose(atoms.calc.get_property("forces_deviation", atoms), spread, atol=1e-3)


def test_single_potentials_have_no_deviation() -> None:
    atoms = with_calculator(structures.hcp())
    for name in COMMITTEE_PROPERTIES:
        with pytest.raises(PropertyNotImplementedError):
            atoms.calc.get_property(name, atoms)
    atoms.get_forces()
    assert not set(COMMITTEE_PROPERTIES) & set(atoms.calc.results)
    assert not set(COMMITTEE_PROPERTIES) & set(FusepotCalculator.implemented_properties)


def test_committees_in_the_hands_of_ase(tmp_path: Path) -> None:
    """Relaxation, a trajectory, a file and ASE's table of properties: results it does not know do not disturb it."""
    atoms = structures.hcp((2, 1, 1), rattle=0.05, seed=6).to_ase()
    atoms.calc = FusepotCalculator(committees.lennard_jones(2, ("Ti",)))
    assert BFGS(atoms, logfile=None, trajectory=str(tmp_path / "relax.traj")).run(fmax=1e-3, steps=200)
    last = ase.io.read(tmp_path / "relax.traj")
    np.testing.assert_allclose(last.get_forces(), atoms.get_forces())
    ase.io.write(tmp_path / "relaxed.extxyz", atoms)
    read = ase.io.read(tmp_path / "relaxed.extxyz")
    assert read.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert atoms.calc.calculate_properties(atoms, ["energy"])["energy"] == atoms.get_potential_energy()
