"""Structure and diffusion of liquids from numbers whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from checked import NoRuns, windows_of
from fusepot.errors import DataError, InputError
from fusepot.units import BOLTZMANN_EV_PER_K, EV_FS2_PER_A2_AMU
from fusepot.validation.analysis.averages import mean_of
from fusepot.validation.analysis.histograms import averaged, first_shell, jackknifed, read_segments
from fusepot.validation.analysis.windows import read_windows
from fusepot.validation.checks.liquid import LiquidCheck, LiquidSection
from fusepot.validation.checks.liquid_run import Length, MeltSection
from fusepot.validation.interface import RunFailed

ARGON = MeltSection(melt_K=100, superheat_K=300, a=3.75, c=6.12, triplet_cutoff_A=5.2)
KELVIN = 84.0  # 0.7 in units of the well depth
SIZE = Length((6, 3, 3), 10.0, 500, 1000, 2000, 500, 4000, 500, 50, 10, 100, 500)
SEED = 3


# --- velocities and positions of free Brownian particles, for which all is known


@dataclass(frozen=True)
class Brownian:
    """<v(0).v(t)> = 3 kT/m exp(-t/tau), exact at any time step."""

    kelvin: float = 1900.0
    mass: float = 47.867
    tau_ps: float = 0.08
    step_ps: float = 0.01

    @property
    def variance(self) -> float:
        """Of one component of the velocity, Å^2/ps^2."""
        return 1e6 * BOLTZMANN_EV_PER_K * self.kelvin / (self.mass * EV_FS2_PER_A2_AMU)

    @property
    def diffusion(self) -> float:
        """Its constant kT tau/m, m^2/s."""
        return 1e-8 * self.variance * self.tau_ps

    def trajectories(self, replicas: int, atoms: int, steps: int, rng: np.random.Generator) -> tuple:
        """Velocities and positions (steps, replicas, atoms, 3)."""
        h = self.step_ps / self.tau_ps
        e = np.exp(-h)
        vv, xv = 1 - e**2, self.tau_ps * (1 - e) ** 2
        noise = np.linalg.cholesky(
            self.variance * np.array([[vv, xv], [xv, self.tau_ps**2 * (2 * h - 3 + 4 * e - e**2)]])
        )
        v, x = (np.empty((steps, replicas, atoms, 3)) for _ in range(2))
        v[0], x[0] = rng.normal(0, np.sqrt(self.variance), v[0].shape), 0
        for k in range(1, steps):
            dv, dx = np.einsum("ab,b...->a...", noise, rng.normal(size=(2, *v[0].shape)))
            v[k], x[k] = e * v[k - 1] + dv, x[k - 1] + self.tau_ps * (1 - e) * v[k - 1] + dx
        return v, x


def test_diffusion_of_brownian_particles_and_its_error() -> None:
    brownian, replicas, window, origin = Brownian(), 120, 100, 20
    v, x = brownian.trajectories(replicas, 8, 1500, np.random.default_rng(SEED))
    scores, values = {"green_kubo": [], "einstein": []}, {"green_kubo": [], "einstein": []}
    apart = []
    for r in range(replicas):
        windows = windows_of(v[:, r], x[:, r], step_ps=brownian.step_ps, origin=origin, window=window)
        for way in scores:
            value, error = mean_of(getattr(windows, way))
            values[way].append(value)
            scores[way].append((value - brownian.diffusion) / error)
        apart.append(windows.disagreement)
    for way in scores:
        assert np.mean(values[way]) == pytest.approx(brownian.diffusion, rel=0.02)
        assert 0.75 < np.std(scores[way]) < 1.3, way
        assert np.mean(np.abs(scores[way]) < 2) > 0.88, way
    assert 0.3 < np.median(apart) < 1.0


def test_windows_are_read_from_a_file_that_a_killed_run_left(tmp_path: Path) -> None:
    begin, origin, window, fine, count = 4000, 200, 600, 10, 12
    times = fine * np.arange(window // fine + 1)
    path = tmp_path / "run.windows"

    def line(step: int, k: int, *, wrong: float = 0.0) -> str:
        slots = window // origin
        words = [step]
        for s in range(slots):
            j = max(0, k - (k - s) % slots)
            lag = step - begin - j * origin
            words += [begin + j * origin, 100 * j + lag + wrong, 1000 * j + 2 * lag]
        return " ".join(map(str, words)) + "\n"

    rows = [
        line(step, k) for k in range(count) for step in range(begin + k * origin, begin + (k + 1) * origin + 1, fine)
    ]
    lost = "".join(line(step, 7, wrong=5.0) for step in range(begin + 7 * origin, begin + 7 * origin + 100, fine))
    cut = 7 * (origin // fine + 1)
    header = "# TimeStep v_origin1\n"
    path.write_text(header + "".join(rows[:cut]) + lost + rows[cut][:9] + header + "".join(rows[cut:]))
    options = {"begin": begin, "origin": origin, "window": window, "fine": fine, "count": count}
    windows = read_windows(path, **options, timestep_fs=0.5)
    assert windows.vacf.shape == (count - 2, len(times))
    np.testing.assert_allclose(windows.times, times * 0.5e-3)
    np.testing.assert_array_equal(windows.vacf, 100 * np.arange(count - 2)[:, None] + times)
    np.testing.assert_array_equal(windows.msd, 1000 * np.arange(count - 2)[:, None] + 2 * times)
    path.write_text(header + "".join(rows[:-30]))
    with pytest.raises(RunFailed, match="lacks values of 2 of 10 windows"):
        read_windows(path, **options, timestep_fs=0.5)


# --- g(r)


def shells(r: np.ndarray) -> np.ndarray:
    """A smooth g(r) with maxima near 2.9 and 5.3 Å."""
    rise = 1 / (1 + np.exp(-(r - 2.45) / 0.08))
    return rise * (1 + 1.4 * np.exp(-(((r - 2.85) / 0.35) ** 2)) - 0.45 * np.exp(-(((r - 4.0) / 0.5) ** 2)))


def histogram_of(g: np.ndarray, r: np.ndarray, density: float) -> np.ndarray:
    """As ``compute rdf`` gives it."""
    width = r[1] - r[0]
    edges = r + width / 2
    counts = density * g * 4 / 3 * np.pi * (edges**3 - (edges - width) ** 3)
    return np.column_stack([r, g, np.cumsum(counts)])


def test_first_shell_of_a_smooth_function() -> None:
    r = (np.arange(160) + 0.5) * 0.05
    shell = first_shell(histogram_of(shells(r), r, 0.05))
    fine = np.arange(100_000) * 8e-5 + 4e-5
    g = shells(fine)
    inner = fine < 3.5
    top = fine[inner][g[inner].argmax()]
    between = (fine > 3.2) & (fine < 4.8)
    end = fine[between][g[between].argmin()]
    whole = (4 * np.pi * fine**2 * g * 0.05 * 8e-5)[fine < end].sum()
    assert shell.r == pytest.approx(top, abs=0.01)
    assert shell.g == pytest.approx(g.max(), rel=0.01)
    assert shell.end == pytest.approx(end, abs=0.02)
    assert shell.neighbours == pytest.approx(whole, rel=0.005)
    with pytest.raises(RunFailed, match=r"ends at 4\.0"):
        first_shell(histogram_of(shells(r), r, 0.05)[:81])


def test_errors_of_histograms_are_the_spread_of_repetitions() -> None:
    rng, r, density, atoms = np.random.default_rng(SEED), (np.arange(160) + 0.5) * 0.05, 0.05, 3000
    expected = atoms * np.diff(histogram_of(shells(r), r, density)[:, 2], prepend=0)
    found, errors, at_the_top = [], [], []
    for _ in range(150):
        counts = rng.poisson(expected, (20, len(r))) / np.maximum(expected, 1e-30)
        segments = np.array([histogram_of(shells(r) * noise, r, density) for noise in counts])
        values = jackknifed(segments, lambda histogram: np.array(first_shell(histogram)))
        found.append([value for value, _ in values])
        errors.append([error for _, error in values])
        at_the_top.append(averaged(segments)[1][57, 1])
    spread = np.std(found, axis=0)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors), axis=0))[[0, 1, 3]], spread[[0, 1, 3]], rtol=0.3)
    poisson = shells(r)[57] / np.sqrt(20 * expected[57])
    assert np.sqrt(np.mean(np.square(at_the_top))) == pytest.approx(poisson, rel=0.15)


def test_segments_of_a_killed_run(tmp_path: Path) -> None:
    path = tmp_path / "run.rdf"
    whole = {step: "".join(f"{k} {k / 10} {step + k} 7\n" for k in (1, 2, 3)) for step in (500, 1000)}
    path.write_text(f"# a\n500 3\n{whole[500]}1000 3\n1 0.1 9 7\n2 0.2 9# a\n500 3\n{whole[500]}1000 3\n{whole[1000]}")
    segments = read_segments(path, count=2)
    np.testing.assert_array_equal(segments[:, :, 1], [[501, 502, 503], [1001, 1002, 1003]])
    with pytest.raises(RunFailed, match="2 complete segments, not 3"):
        read_segments(path, count=3)


def test_reference_curves(tmp_path: Path) -> None:
    (tmp_path / "rdf.csv").write_text("# Somebody 2007\nr_A,g\n3.0,2.0\n2.0,0.5\n9.5,1.0\n")
    (tmp_path / "adf.csv").write_text("cos_theta,adf\n-1,2\n1,2\n")
    section = LiquidSection(temperature_K=1965, rdf_reference="rdf.csv", adf_reference="adf.csv")
    check = LiquidCheck("liquid", section, "quick", tmp_path)
    rdf, adf = (plot.curves[-1] for plot in check.findings([], NoRuns()).plots)
    assert (rdf.label, rdf.style, list(rdf.x), list(rdf.y)) == ("Somebody 2007", "reference", [2, 3], [0.5, 2])
    assert list(adf.y) == [0.5, 0.5]
    with pytest.raises(InputError, match=r"liquid\.rdf_reference"):
        LiquidCheck("liquid", LiquidSection(temperature_K=1965, rdf_reference="no.csv"), "quick", tmp_path)
    with pytest.raises(DataError, match="r_A,g"):
        LiquidCheck("liquid", LiquidSection(temperature_K=1965, rdf_reference="adf.csv"), "quick", tmp_path)
