"""What a validation file says of elastic constants, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from fusepot.toml_files import Section
from fusepot.validation.presets import Preset


class ElasticSection(Section):
    """``[[elastic]]``: a crystal at temperatures, its cell as measured, or, where ``a`` is given, at zero pressure."""

    structure: Literal["hcp", "bcc", "fcc"]
    table: str = Field(description="measured constants, and lattice constants: a shipped table or a CSV file")
    temperatures_K: tuple[PositiveFloat, ...] = Field(min_length=1)  # noqa: N815
    a: PositiveFloat | None = Field(default=None, description="Å; NPT begins from it and finds the cell")
    c: PositiveFloat | None = Field(default=None, description="Å; of hcp")
    cells: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    kind: Literal["adiabatic", "isothermal"] = "adiabatic"
    limit_percent: float | None = Field(default=None, gt=0, description="largest deviation from the measured constants")

    @model_validator(mode="after")
    def _complete(self) -> ElasticSection:
        if (self.c is not None) != (self.a is not None and self.structure == "hcp"):
            raise ValueError("a and c for hcp, a for bcc and fcc, or neither where the table has them")
        return self


@dataclass(frozen=True)
class Length:
    """Cells by structure, and steps; ``npt`` where the cell is to be found; ``born_every`` counts samples."""

    cells: Mapping[str, tuple[int, int, int]]
    timestep_fs: float
    npt: int
    equilibration: int
    production: int
    sample_every: int
    born_every: int


SMALL = {"hcp": (5, 3, 3), "bcc": (4, 4, 4), "fcc": (3, 3, 3)}
USUAL = {"hcp": (4, 4, 4), "bcc": (5, 5, 5), "fcc": (4, 4, 4)}
LENGTHS: Mapping[Preset, Length] = MappingProxyType(
    {
        "quick": Length(SMALL, 2.0, 2000, 1000, 8000, 10, 20),
        "standard": Length(USUAL, 2.0, 10_000, 5000, 50_000, 10, 10),
        # As in the paper: 128 atoms of bcc, 100 ps, 100 ps and 1 ns in steps of 0.5 fs, and a sample every 0.1 ps.
        "paper": Length(USUAL | {"bcc": (4, 4, 4)}, 0.5, 200_000, 200_000, 2_000_000, 200, 1),
    }
)
