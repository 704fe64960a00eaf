"""Runs of the deck ``liquid.in``: how long they are, and whether what they left is a liquid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from pydantic import Field, PositiveFloat

from fusepot.models import ARCHITECTURES
from fusepot.observables.statistics import block_means
from fusepot.potential_file import read_header
from fusepot.structure import FloatArray
from fusepot.toml_files import Section
from fusepot.validation.analysis.averages import read_averages
from fusepot.validation.analysis.histograms import read_segments
from fusepot.validation.analysis.windows import Windows, read_windows
from fusepot.validation.interface import Run, RunFailed, Subject
from fusepot.validation.presets import Preset

VOLUME, DENSITY, TEMPERATURE, PRESSURE, ENERGY, CRYSTALLINE = range(1, 7)  # columns of run.averages
MOST_CRYSTALLINE = 0.3  # of the atoms, in any tenth of the production; liquids have a few percent, crystals nearly all
LEAST_MOVED = 0.1  # mean square displacement of a window in units of a^2; Lindemann: at most 0.05 in a crystal
SKIN = 1.0  # Å
R_MAX = 8.0  # Å


class MeltSection(Section):
    """What both checks of a liquid have in common: how it is made."""

    melt_K: PositiveFloat = Field(default=2400.0, description="the stage between melting and the temperature")  # noqa: N815
    superheat_K: PositiveFloat = Field(default=4000.0, description="the stage that melts the crystal")  # noqa: N815
    a: PositiveFloat = Field(default=2.95, description="of the hcp crystal that is melted, Å")
    c: PositiveFloat = Field(default=4.68, description="of the hcp crystal that is melted, Å")
    triplet_cutoff_A: PositiveFloat = Field(default=4.0, description="of neighbours; first minimum of g(r)")  # noqa: N815


@dataclass(frozen=True)
class Length:
    """Orthorhombic cells of 4 atoms, and steps; stages are whole numbers of segments."""

    cells: tuple[int, int, int]
    timestep_fs: float
    superheating: int
    melting: int
    cooling: int
    holding: int
    production: int
    segment: int
    sample: int
    fine: int
    origin: int
    window: int

    @property
    def atoms(self) -> int:
        """How many."""
        return 4 * int(np.prod(self.cells))

    @property
    def begin(self) -> int:
        """The step at which the production begins."""
        return self.superheating + self.melting + self.cooling + self.holding

    def picoseconds(self, steps: int) -> str:
        """Steps as a time."""
        return f"{steps * self.timestep_fs / 1000:g} ps"


_STANDARD = Length((8, 5, 5), 2.0, 2000, 10_000, 10_000, 5000, 25_000, 1000, 50, 5, 100, 1000)
_PAPER = Length((8, 8, 8), 0.5, 4000, 200_000, 200_000, 0, 160_000, 1000, 200, 20, 1000, 4000)
_QUICK = Length((6, 3, 4), 2.0, 1000, 3000, 4000, 1000, 10_000, 1000, 50, 5, 100, 1000)
STRUCTURE: Mapping[Preset, Length] = MappingProxyType({"quick": _QUICK, "standard": _STANDARD, "paper": _PAPER})
DIFFUSION: Mapping[Preset, Length] = MappingProxyType(
    {"quick": _QUICK, "standard": _STANDARD, "paper": replace(_PAPER, cells=(4, 4, 4), holding=200_000)}
)


def liquid_run(name: str, subject: Subject, section: MeltSection, temperature_K: float, size: Length) -> Run:
    """The run at a temperature, named ``POTENTIAL/CHECK/CONDITION``."""
    stages = ("superheating", "melting", "cooling", "holding", "production")
    numbers = (*stages, "timestep_fs", "segment", "sample", "fine", "origin", "window")
    variables: dict[str, float] = {
        "temperature": temperature_K,
        "melt": section.melt_K,
        "superheat": section.superheat_K,
        "a": section.a,
        "c": section.c,
        **dict(zip(("nx", "ny", "nz"), size.cells, strict=True)),
        **{key: getattr(size, key) for key in numbers},
        "triplet_cutoff": section.triplet_cutoff_A,
        "r_max": R_MAX,
        "skin": SKIN,
        "reach": _reach(subject.file),
    }
    return Run(name, subject, "liquid.in", variables, size.begin + size.production, size.atoms)


@dataclass(frozen=True)
class Liquid:
    """What a run left, a liquid.

    Attributes:
        averages: (samples, columns) from the second half of the cooling stage on; columns are named above.
        rdf: (segments, bins, 3): r (Å), g(r), mean number of neighbours up to the end of the bin.
        adf: (segments, bins, 3): cosine, density, mean number of triplets up to the end of the bin.
        windows: velocity autocorrelation and mean square displacement.
        size: of the run.
    """

    averages: FloatArray
    rdf: FloatArray
    adf: FloatArray
    windows: Windows
    size: Length

    @property
    def free_density(self) -> FloatArray:
        """(samples,) g/cm^3 while the pressure was kept."""
        step = self.averages[:, 0]
        return self.averages[step <= self.size.begin - self.size.holding, DENSITY]


def read_liquid(folder: Path, section: MeltSection, size: Length) -> Liquid:
    """Read a finished run.

    Raises:
        RunFailed: a file is missing or incomplete, or it is no liquid: (partly) crystalline, atoms do not move, or
            some lie on top of each other.
    """
    half = size.segment * (size.cooling // size.segment // 2)
    averages = read_averages(folder / "run.averages", after=size.superheating + size.melting + half)
    segments = size.production // size.segment
    rdf, adf = (read_segments(folder / f"run.{name}", count=segments) for name in ("rdf", "adf"))
    windows = read_windows(
        folder / "run.windows",
        begin=size.begin,
        origin=size.origin,
        window=size.window,
        fine=size.fine,
        count=size.production // size.origin,
        timestep_fs=size.timestep_fs,
    )
    liquid = Liquid(averages, rdf, adf, windows, size)
    _require_liquid(liquid, section)
    return liquid


def _require_liquid(liquid: Liquid, section: MeltSection) -> None:
    produced = liquid.averages[liquid.averages[:, 0] > liquid.size.begin]
    crystalline = block_means(produced[:, CRYSTALLINE]).max()
    if crystalline > MOST_CRYSTALLINE:
        raise RunFailed(f"no liquid: {100 * crystalline:.0f} % of the atoms are crystalline")
    moved = liquid.windows.msd[:, -1].mean()
    if moved < LEAST_MOVED * section.a**2:
        raise RunFailed(
            f"no liquid: the mean square displacement in {liquid.windows.times[-1]:g} ps is {moved:.2f} Å^2 only"
        )
    r, g, _ = liquid.rdf.mean(axis=0).T
    if g[r < section.a / 2].any():
        raise RunFailed(f"atoms lie on top of each other: {r[g > 0].min():.2f} Å apart, and a is {section.a} Å")


def _reach(path: Path) -> float:
    """How far messages travel, in Å: what several ranks have to exchange. Zero without message passing."""
    header = read_header(path)
    architecture = ARCHITECTURES[header["architecture"]]
    hops = architecture.hops(architecture.config.model_validate(header["config"]))
    return hops * (header["cutoff"] + SKIN) if hops > 1 else 0.0
