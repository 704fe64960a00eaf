"""The validation file: which checks, under which conditions, against which measurements, within which limits.

    element = "Ti"

    [[lattice]]
    table = "hcp_titanium"
    temperatures_K = [23, 323, 623, 923]
    limit_percent = 0.5

Each table belongs to a check of ``validation.checks``, and is described there; what is not named is not computed.
"""

from __future__ import annotations

from pathlib import Path

from ase.data import atomic_numbers
from pydantic import field_validator

from fusepot.toml_files import Section, parse_section, read_toml
from fusepot.validation.checks.diffusion import DiffusionCheck, DiffusionSection
from fusepot.validation.checks.elastic import ElasticCheck
from fusepot.validation.checks.elastic_section import ElasticSection
from fusepot.validation.checks.energy_volume import EnergyVolumeCheck, EnergyVolumeSection
from fusepot.validation.checks.errors import ErrorsCheck, ErrorsSection
from fusepot.validation.checks.lattice import LatticeCheck, LatticeSection
from fusepot.validation.checks.liquid import LiquidCheck, LiquidSection
from fusepot.validation.checks.phonons import PhononsCheck, PhononsSection
from fusepot.validation.interface import Check
from fusepot.validation.presets import Preset


class ValidationSection(Section):
    """A validation file: what is not named is not computed."""

    element: str
    errors: ErrorsSection | None = None
    energy_volume: EnergyVolumeSection | None = None
    phonons: PhononsSection | None = None
    lattice: tuple[LatticeSection, ...] = ()
    elastic: tuple[ElasticSection, ...] = ()
    liquid: tuple[LiquidSection, ...] = ()
    diffusion: tuple[DiffusionSection, ...] = ()

    @field_validator("element")
    @classmethod
    def _known(cls, element: str) -> str:
        if atomic_numbers.get(element, 0) < 1:
            raise ValueError("a chemical element")
        return element


def load_plan(path: str | Path) -> ValidationSection:
    """Read a validation file.

    Raises:
        ConfigError: there is none, it is no TOML, or has an unknown key or an unusable value.
    """
    return parse_section(read_toml(path, argument="experiment"), ValidationSection, prefix=f"{path}: ")


def checks_of(plan: ValidationSection, preset: Preset, *, folder: Path) -> tuple[Check, ...]:
    """The checks of a file, in the order of the paper.

    Args:
        plan: the file.
        preset: how much is computed.
        folder: of the file, for paths in it.
    """
    names = _names("lattice", len(plan.lattice))
    checks: list[Check] = [
        LatticeCheck(name, part, preset, folder) for name, part in zip(names, plan.lattice, strict=True)
    ]
    names = _names("elastic", len(plan.elastic))
    checks += [ElasticCheck(name, part, preset, folder) for name, part in zip(names, plan.elastic, strict=True)]
    names = _names("liquid", len(plan.liquid))
    checks += [LiquidCheck(name, part, preset, folder) for name, part in zip(names, plan.liquid, strict=True)]
    names = _names("diffusion", len(plan.diffusion))
    checks += [DiffusionCheck(name, part, preset, folder) for name, part in zip(names, plan.diffusion, strict=True)]
    if plan.phonons is not None:
        checks.append(PhononsCheck("phonons", plan.phonons, preset, folder, plan.element))
    if plan.energy_volume is not None:
        checks.insert(0, EnergyVolumeCheck("energy_volume", plan.energy_volume, folder))
    if plan.errors is not None:
        checks.insert(0, ErrorsCheck("errors", plan.errors, folder))
    return tuple(checks)


def _names(kind: str, count: int) -> list[str]:
    return [kind if k == 0 else f"{kind}_{k + 1}" for k in range(count)]
