"""The liquid: analysis against closed forms, and the deck against independent analysis of the same frames."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from checked import NoRuns, windows_of
from fusepot.models import ARCHITECTURES
from fusepot.potential import Potential
from fusepot.potential_file import save_potential
from fusepot.units import BOLTZMANN_EV_PER_K
from fusepot.validation.analysis.averages import mean_of
from fusepot.validation.analysis.histograms import first_shell, jackknifed, read_segments
from fusepot.validation.checks.diffusion import DiffusionCheck, DiffusionSection
from fusepot.validation.checks.liquid import LiquidCheck, LiquidSection
from fusepot.validation.checks.liquid_run import Length, MeltSection, liquid_run, read_liquid
from fusepot.validation.interface import Run, RunFailed, Subject
from fusepot.validation.running.execute import error_in
from fusepot.validation.running.folders import Folders

ARGON = MeltSection(melt_K=100, superheat_K=300, a=3.75, c=6.12, triplet_cutoff_A=5.2)
KELVIN = 84.0  # 0.7 in units of the well depth
SIZE = Length((6, 3, 3), 10.0, 500, 1000, 2000, 500, 4000, 500, 50, 10, 100, 500)
SEED = 3


def test_rows_of_runs_that_failed(subject: Subject, tmp_path: Path) -> None:
    peak = {"r_A": 2.85, "g": 2.23}
    liquid = LiquidCheck(
        "liquid", LiquidSection(temperature_K=1965, first_peak=peak, limit_percent=5), "quick", tmp_path
    ).findings([subject], NoRuns())
    section = DiffusionSection(table="liquid_self_diffusion", temperatures_K=(1953, 2000, 2110), limit_percent=10)
    diffusion = DiffusionCheck("diffusion", section, "quick", tmp_path).findings([subject], NoRuns())
    assert [row.passed for row in liquid.rows] == [False, False, None, None, None]
    assert [(row.condition, row.reference) for row in diffusion.rows[::2]] == [
        ("1953 K", 4.99e-9),
        ("2110 K", 5.985e-9),
    ]
    for row in (*liquid.rows, *diffusion.rows):
        assert np.isnan(row.value)
        assert row.problem == "no luck"


# --- the deck, with a liquid that is in every textbook


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    file = tmp_path_factory.mktemp("potential") / "ar.fusepot"
    config = ARCHITECTURES["lennard-jones"].config(cutoff=8.5)
    params = {"epsilon": np.array([[120 * BOLTZMANN_EV_PER_K]]), "sigma": np.array([[3.4]])}
    save_potential(Potential("lennard-jones", config, ("Ar",), (-1.0,), params, "float64"), file)
    return Subject("argon", file)


@dataclass
class Job:
    """A run in its folder."""

    folders: Folders
    run: Run

    @property
    def folder(self) -> Path:
        return self.folders.path(self.run)

    def start(self, extra: str = "") -> subprocess.Popen:
        command = self.folders.prepare(self.run)
        deck = self.folder / "liquid.in"
        if extra:
            before, after = deck.read_text().split("run          0 post no\n")
            deck.write_text(f"{before}{extra}run          0 post no\n{after}")
        return subprocess.Popen(command, cwd=self.folder, env=os.environ | {"OMP_NUM_THREADS": "1"})

    def done(self, extra: str = "") -> Job:
        assert self.start(extra).wait() == 0, error_in(self.folder / "log.lammps")
        return self

    def kill_when(self, ready) -> None:
        """Kill it without warning once ``ready()``."""
        job = self.start()
        while not ready():
            assert job.poll() is None
            time.sleep(0.02)
        job.send_signal(signal.SIGKILL)
        job.wait()


def job(
    root: Path, subject: Subject, *, kelvin: float = KELVIN, section: MeltSection = ARGON, size: Length = SIZE
) -> Job:
    return Job(
        Folders(root, "Ar", {subject.name: "0"}),
        liquid_run(f"argon/liquid/{kelvin:g}K", subject, section, kelvin, size),
    )


@pytest.fixture(scope="module")
def sampled(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run that also writes its frames."""
    dump = "dump frames all custom 10 frames id xu yu zu vx vy vz\n"
    dump += 'dump_modify frames first yes sort id format float "%.12g"\n'
    return job(tmp_path_factory.mktemp("sampled"), subject).done(dump)


@pytest.fixture(scope="module")
def frames(sampled: Job) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges (3,), positions and velocities (frames, atoms, 3), every 10 steps of the production."""
    atoms, lines = SIZE.atoms, (sampled.folder / "frames").read_text().splitlines()
    size = atoms + 9
    count = SIZE.production // 10 + 1
    assert len(lines) == count * size
    assert [int(lines[k * size + 1]) for k in (0, 1, count - 1)] == [
        SIZE.begin,
        SIZE.begin + 10,
        SIZE.begin + SIZE.production,
    ]
    edges = np.array([float(high) - float(low) for low, high in (line.split() for line in lines[5:8])])
    values = np.array([line.split() for k in range(count) for line in lines[k * size + 9 : (k + 1) * size]], float)
    values = values.reshape(count, atoms, 7)
    return edges, values[..., 1:4], values[..., 4:]


@pytest.fixture(scope="module")
def distances(frames: tuple) -> list[tuple[np.ndarray, np.ndarray]]:
    """Nearest images (atoms, atoms, 3) and distances of the frames sampled for the structure, the first segment's."""
    edges, positions, _ = frames
    found = []
    for x in positions[5:51:5]:
        vectors = x[None] - x[:, None]
        vectors -= edges * np.round(vectors / edges)
        found.append((vectors, np.linalg.norm(vectors, axis=-1) + 100 * np.eye(len(x))))
    return found


def test_rdf_is_the_histogram_of_all_pairs(sampled: Job, frames: tuple, distances: list) -> None:
    edges, n = frames[0], SIZE.atoms
    assert edges.min() > 16  # nearest images are enough
    bins = np.linspace(0, 8, 161)
    counts = np.mean([np.histogram(d, bins)[0] for _, d in distances], axis=0)
    ideal = n * (n - 1) / edges.prod() * 4 / 3 * np.pi * np.diff(bins**3)
    first = read_segments(sampled.folder / "run.rdf", count=8)[0]
    np.testing.assert_allclose(first[:, 0], (bins[1:] + bins[:-1]) / 2, rtol=1e-5)
    np.testing.assert_allclose(first[:, 1], counts / ideal, atol=1e-4)
    np.testing.assert_allclose(first[:, 2], np.cumsum(counts) / n, atol=1e-3)


def test_adf_is_the_histogram_of_all_triplets(sampled: Job, distances: list) -> None:
    cosines = []
    for vectors, d in distances:
        for i in range(len(d)):
            near = vectors[i][d[i] < ARGON.triplet_cutoff_A] / d[i][d[i] < ARGON.triplet_cutoff_A][:, None]
            cosines += [near[j] @ near[k] for j, k in itertools.combinations(range(len(near)), 2)]
    density, _ = np.histogram(cosines, np.linspace(-1, 1, 101), density=True)
    first = read_segments(sampled.folder / "run.adf", count=8)[0]
    np.testing.assert_allclose(first[:, 1], density, atol=0.01)  # LAMMPS averages densities of frames, not counts
    assert first[-1, 2] == pytest.approx(len(cosines) / len(distances) / SIZE.atoms, rel=1e-4)


def test_windows_are_those_of_the_trajectory(sampled: Job, frames: tuple) -> None:
    _, positions, velocities = frames
    relative = positions - positions.mean(axis=1, keepdims=True)
    expected = windows_of(velocities, relative, step_ps=0.1, origin=10, window=50)
    windows = read_liquid(sampled.folder, ARGON, SIZE).windows
    assert windows.vacf.shape[0] == 36
    np.testing.assert_allclose(windows.times, expected.times)
    np.testing.assert_allclose(windows.vacf, expected.vacf[:36], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(windows.msd, expected.msd[:36], rtol=1e-4, atol=1e-4)


def test_argon(sampled: Job) -> None:
    """Density of the saturated liquid (Vrabec et al., Mol. Phys. 104, 1509 (2006)), first shell, and diffusion."""
    liquid = read_liquid(sampled.folder, ARGON, SIZE)
    below = 1.0779 - KELVIN / 120
    reduced = 0.3190 + 0.5649 * below ** (1 / 3) + 0.1314 * below + 0.0413 * below**1.5
    density = reduced * 39.948 * 1.66053906660 / 3.4**3
    assert mean_of(liquid.free_density).value == pytest.approx(density, rel=0.03)
    r, g, _, neighbours = (value for value, _ in jackknifed(liquid.rdf, lambda h: np.array(first_shell(h))))
    assert r == pytest.approx(1.09 * 3.4, abs=0.06)
    assert g == pytest.approx(2.85, abs=0.2)
    assert 12 < neighbours < 13.5
    assert mean_of(liquid.windows.green_kubo).value == pytest.approx(2.6e-9, rel=0.4)
    assert liquid.windows.disagreement < 4


def test_a_run_that_is_killed_goes_on(subject: Subject, sampled: Job, tmp_path: Path) -> None:
    """In the production: the same windows as without, until chaos parts them."""
    again = job(tmp_path, subject)
    windows = again.folder / "run.windows"
    reached = SIZE.begin + 3 * SIZE.segment + 130
    again.kill_when(lambda: windows.exists() and _last_step(windows) >= reached)
    again.done()
    assert re.search(r"^read_restart run\.restart\.\d", (again.folder / "log.lammps").read_text(), re.MULTILINE)
    through, whole = (read_liquid(j.folder, ARGON, SIZE).windows for j in (again, sampled))
    np.testing.assert_allclose(through.vacf[:28, :20], whole.vacf[:28, :20], rtol=1e-2, atol=0.01)
    np.testing.assert_allclose(through.msd[:28], whole.msd[:28], rtol=1e-2, atol=0.01)


@pytest.mark.slow
def test_a_run_that_is_killed_while_cooling_keeps_the_mean_volume(subject: Subject, tmp_path: Path) -> None:
    size = replace(SIZE, production=500, holding=0)
    cooling = job(tmp_path, subject, size=size)
    volume = cooling.folder / "run.volume"
    cooling.kill_when(lambda: volume.exists() and len(volume.read_text().split()) >= 1)
    cooling.done()
    found = np.array(volume.read_text().split(), float)
    assert len(found) >= 2
    last = float((cooling.folder / "run.averages").read_text().splitlines()[-1].split()[1])
    assert last == pytest.approx(found.mean(), rel=1e-5)


def test_a_crystal_is_refused(subject: Subject, tmp_path: Path) -> None:
    section = ARGON.model_copy(update={"superheat_K": 40.0, "melt_K": 40.0})
    size = replace(SIZE, melting=500, cooling=500, holding=0, production=1000)
    crystal = job(tmp_path, subject, kelvin=40.0, section=section, size=size).done()
    with pytest.raises(RunFailed, match=r"no liquid: (9\d|100) % of the atoms are crystalline"):
        read_liquid(crystal.folder, section, size)


def test_a_liquid_that_does_not_move_is_refused(sampled: Job) -> None:
    """As would be a glass; here with a crystal whose atoms would be as far apart as a glass's move."""
    with pytest.raises(RunFailed, match=r"mean square displacement in 5 ps is \d"):
        read_liquid(sampled.folder, ARGON.model_copy(update={"a": 30.0}), SIZE)


def test_a_vapour_is_refused(subject: Subject, tmp_path: Path) -> None:
    vapour = job(tmp_path, subject, kelvin=200.0, section=ARGON.model_copy(update={"melt_K": 600.0}))
    assert vapour.start().wait() != 0
    assert re.search("fix-id evaporated met", error_in(vapour.folder / "log.lammps") or "")


def _last_step(path: Path) -> int:
    lines = [line for line in path.read_text().splitlines()[:-1] if line and not line.startswith("#")]
    return int(lines[-1].split()[0]) if lines else 0
