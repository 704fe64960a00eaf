"""Molecular dynamics against physics: conserved energy, the canonical distribution, ASE, the pressure asked for."""

from __future__ import annotations

from dataclasses import replace

import ase.units
import numpy as np
import pytest
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from scipy import stats

import potentials
import structures
from fusepot.potential import Potential, predict_many
from fusepot.sampling import Ensemble, Limits, Npt, Nve, Nvt, NvtNoseHoover, Trajectory, advance, simulate, start
from fusepot.serving.ase import FusepotCalculator
from fusepot.structure import Structure
from fusepot.units import BOLTZMANN_EV_PER_K, GPA_PER_EV_PER_A3

# Between the shells of neighbours: the force of truncated Lennard-Jones jumps at the cutoff.
LENNARD_JONES = potentials.lennard_jones(("Ti", "Al"), cutoff=5.35)


def crystal() -> Structure:
    """Two elements on 32 fcc sites, near zero pressure for Lennard-Jones."""
    atoms = bulk("Al", "fcc", a=3.95, cubic=True).repeat(2)
    atoms.numbers[::3] = 22
    return Structure.from_ase(atoms)


def soft_nep() -> Potential:
    """Random NEP, too weak to pull hcp titanium together within a picosecond."""
    potential = potentials.nep()
    return replace(potential, params=potential.params | {"output": 0.02 * potential.params["output"]})


@pytest.mark.parametrize("name", ["lennard-jones", "nep"])
def test_energy_error_falls_with_the_square_of_the_time_step(name: str) -> None:
    """Velocity Verlet: the total energy fluctuates in proportion to dt^2, and does not drift."""
    seed = 11
    if name == "nep":
        potential, structure, ensemble = soft_nep(), structures.hcp((2, 2, 2), rattle=0.05), Nve(100.0)
    else:
        potential, structure, ensemble = LENNARD_JONES, crystal(), Nve(300.0)
    errors = []
    longest, frames = (2.0, 12) if name == "nep" else (4.0, 50)
    for timestep_fs, every in ((longest, 20), (longest / 2, 40), (longest / 4, 80)):
        trajectory = simulate(
            potential,
            structure,
            ensemble=ensemble,
            steps=frames * every,
            timestep_fs=timestep_fs,
            sample_every=every,
            seed=seed,
            limits=Limits(contact=0.1),  # random NEP does not mind
        )
        total = trajectory.energies + trajectory.kinetic_energies
        drift = np.polyfit(trajectory.times_ps, total, 1)[0] * trajectory.times_ps[-1]
        assert abs(drift) < 1.5 * total.std(), f"{timestep_fs} fs, seed {seed}"
        errors.append(total.std())
    ratios = np.array(errors[:-1]) / errors[1:]
    assert np.all((ratios > 3.2) & (ratios < 5.0)), f"{errors} eV, seed {seed}"
    assert errors[-1] < 1e-4 * len(structure)


@pytest.mark.slow
def test_float32_conserves_energy() -> None:
    """4 ps of 32 atoms: rounding must not heat. Differences of small numbers keep it at the noise of a single sum."""
    single = LENNARD_JONES.with_dtype("float32")
    runs = [
        simulate(p, crystal(), ensemble=Nve(300.0), steps=4000, timestep_fs=1.0, sample_every=40, seed=12)
        for p in (single, LENNARD_JONES)
    ]
    totals = [run.energies + run.kinetic_energies for run in runs]
    rounding = abs(totals[0] - totals[0][0]).max() - abs(totals[1] - totals[1][0]).max()
    assert rounding < 1e-5 * 32, f"{rounding} eV, seed 12"


@pytest.mark.parametrize("cell", ["triclinic", "smaller than the cutoff"])
def test_steps_are_those_of_ase(cell: str) -> None:
    """Position by position: explicit images instead of a minimum image, forces, masses and the unit of time."""
    if cell == "triclinic":
        potential = LENNARD_JONES
        structure = crystal().strained([[0.02, 0.15, 0.1], [0.0, 0.0, 0.2], [0.0, 0.0, -0.01]])
    else:
        potential, structure = potentials.nep(("Ti", "Al")), structures.same_neighbor_two_images()
    state = start(potential, structure, Nve(300.0), seed=13, skin=0.3)
    atoms = structure.to_ase()
    atoms.calc = FusepotCalculator(potential)
    # eV fs/Å to ASE's units.
    atoms.set_momenta(np.asarray(state.motion.momentum) * ase.units.fs)
    _, trajectory = advance(potential, state, Nve(300.0), steps=30, timestep_fs=0.5, sample_every=1)
    dynamics = VelocityVerlet(atoms, 0.5 * ase.units.fs)
    for step in range(30):
        dynamics.run(1)
        np.testing.assert_allclose(
            trajectory.positions[step], atoms.positions, rtol=0, atol=1e-7, err_msg=f"{cell}, step {step}"
        )
        np.testing.assert_allclose(trajectory.energies[step], atoms.get_potential_energy(), atol=1e-6)
        np.testing.assert_allclose(trajectory.kinetic_energies[step], atoms.get_kinetic_energy(), atol=1e-6)


def mean_and_error(values: np.ndarray, *, blocks: int = 20) -> tuple[float, float]:
    means = values[: len(values) // blocks * blocks].reshape(blocks, -1).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(blocks))


@pytest.mark.parametrize(
    "ensemble", [Nvt(400.0, friction_per_ps=10.0), NvtNoseHoover(400.0)], ids=lambda e: type(e).__name__
)
def test_kinetic_energies_are_canonical(ensemble: Ensemble) -> None:
    """Mean and distribution: E_kin / kT is gamma distributed with (3 N - 3) / 2.

    Frames are 0.2 ps apart: two decay times of the kinetic energy under Langevin, four periods of the chain. Counting
    3 N degrees of freedom would put the temperature 3 % off, five times the error.
    """
    seed = 14
    trajectory = simulate(
        LENNARD_JONES,
        crystal(),
        ensemble=ensemble,
        steps=50_000,
        equilibration_steps=3000,
        timestep_fs=2.0,
        sample_every=100,
        seed=seed,
    )
    mean, error = mean_and_error(trajectory.temperatures_K)
    label = f"{ensemble}: {mean:.2f} +- {error:.2f} K, seed {seed}"
    assert error < 0.008 * 400, label
    assert abs(mean - 400) < 4 * error + 0.002 * 400, label
    expected = stats.gamma((3 * 32 - 3) / 2, scale=BOLTZMANN_EV_PER_K * 400)
    test = stats.kstest(trajectory.kinetic_energies, expected.cdf)
    assert test.pvalue > 1e-3, f"{label}, {test}"
    # Unwrapped positions: the centre of mass stays where it was.
    mass = crystal().to_ase().get_masses()
    center = mass @ (trajectory.positions - trajectory.structure.positions) / mass.sum()
    assert np.abs(center).max() < 1e-8, label


def pressures_GPa(potential: Potential, trajectory: Trajectory) -> np.ndarray:  # noqa: N802
    """Instantaneous pressures from the served virial, not from what the barostat used."""
    values = []
    for index in range(len(trajectory)):
        (prediction,), _ = predict_many(potential, [trajectory.frame(index)])
        trace = 2 * trajectory.kinetic_energies[index] - np.trace(prediction.virial)
        values.append(trace / (3 * trajectory.volumes[index]))
    return np.array(values) * GPA_PER_EV_PER_A3


@pytest.mark.slow
def test_npt_reaches_temperature_and_pressure() -> None:
    """Mean pressure and temperature are those asked for; the volume fluctuates as its compressibility says.

    <dV^2> = kT V / B, with the isothermal bulk modulus B from the mean volumes at two pressures.
    """
    seed, means = 15, []
    for pressure in (0.0, 4.0):
        trajectory = simulate(
            LENNARD_JONES,
            crystal(),
            ensemble=Npt(300.0, pressure, damping_fs=50.0, barostat_damping_fs=200.0),
            steps=60_000,
            equilibration_steps=4000,
            timestep_fs=2.0,
            sample_every=100,
            seed=seed,
        )
        label = f"{pressure} GPa, seed {seed}"
        mean, error = mean_and_error(pressures_GPa(LENNARD_JONES, trajectory))
        assert error < 0.1, f"{label}: {mean} +- {error}"
        assert abs(mean - pressure) < 4 * error, f"{label}: {mean} +- {error}"
        mean, error = mean_and_error(trajectory.temperatures_K)
        assert abs(mean - 300) < 4 * error + 0.6, f"{label}: {mean} +- {error} K"
        shape = trajectory.cells / np.cbrt(trajectory.volumes)[:, None, None]
        np.testing.assert_allclose(shape, np.broadcast_to(shape[0], shape.shape), atol=1e-12)
        means.append((trajectory.volumes.mean(), trajectory.volumes.var()))
    (large, wide), (small, narrow) = means
    modulus = 4.0 / GPA_PER_EV_PER_A3 / np.log(large / small)
    expected = BOLTZMANN_EV_PER_K * 300 * (large + small) / 2 / modulus
    assert 0.75 < (wide + narrow) / 2 / expected < 1.33, f"{wide}, {narrow}, {expected} Å^6, seed {seed}"
