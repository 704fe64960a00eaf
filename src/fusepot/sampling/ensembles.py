"""What a simulation holds constant: energy, temperature, or temperature and pressure, and by which method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fusepot.errors import InputError
from fusepot.units import BOLTZMANN_EV_PER_K, GPA_PER_EV_PER_A3

SUZUKI_YOSHIDA = (1, 3, 5, 7)


class Chain(NamedTuple):
    """A Nosé-Hoover chain; the paper's numbers (Methods, "ML potential-driven MD simulations")."""

    length: int = 5
    steps: int = 2
    suzuki_yoshida: int = 3


PAPER_CHAIN = Chain()


@dataclass(frozen=True)
class Nve:
    """Constant energy: velocity Verlet. The temperature is that of the initial velocities, before they equilibrate."""

    temperature_K: float  # noqa: N815

    def __post_init__(self) -> None:
        _check(self, "temperature_K")


@dataclass(frozen=True)
class Nvt:
    """Constant temperature by Langevin dynamics in the BAOAB splitting.

    Leimkuhler & Matthews, Appl. Math. Res. Express 2013, 34 (2013). Positions are distributed almost without error
    from the time step (for a harmonic oscillator exactly), while the kinetic temperature reads low by
    ``(omega dt)^2 / 4`` of it.
    """

    temperature_K: float  # noqa: N815
    friction_per_ps: float = 4.0

    def __post_init__(self) -> None:
        _check(self, "temperature_K", "friction_per_ps")


@dataclass(frozen=True)
class NvtNoseHoover:
    """Constant temperature by a Nosé-Hoover chain: Martyna, Klein & Tuckerman, J. Chem. Phys. 97, 2635 (1992).

    Deterministic; ``damping_fs`` is the time scale tau of the chain masses, ``kT tau^2`` per degree of freedom.
    """

    temperature_K: float  # noqa: N815
    damping_fs: float = 50.0
    chain: Chain = PAPER_CHAIN

    def __post_init__(self) -> None:
        _check(self, "temperature_K", "damping_fs")


@dataclass(frozen=True)
class Npt:
    """Constant temperature and pressure: Nosé-Hoover chains on atoms and on the volume.

    The cell keeps its shape (isotropic); Tuckerman et al., J. Phys. A 39, 5629 (2006). ``barostat_damping_fs`` is the
    time scale tau_b of the cell's mass ``(N_f + 3) kT tau_b^2`` and of its own chain.
    """

    temperature_K: float  # noqa: N815
    pressure_GPa: float = 0.0  # noqa: N815
    damping_fs: float = 50.0
    barostat_damping_fs: float = 500.0
    chain: Chain = PAPER_CHAIN

    def __post_init__(self) -> None:
        _check(self, "temperature_K", "damping_fs", "barostat_damping_fs")


Ensemble = Nve | Nvt | NvtNoseHoover | Npt


class Settings(NamedTuple):
    """The numbers of an ensemble and its time step, in eV, Å, fs: arguments of compiled code, not part of it."""

    timestep: float
    kT: float  # noqa: N815
    friction: float
    damping: float
    barostat_damping: float
    pressure: float


def settings_of(ensemble: Ensemble, timestep_fs: float) -> Settings:
    """Numbers for compiled code; those an ensemble does not have are zero.

    Raises:
        InputError: the time step is not positive.
    """
    if not 0 < timestep_fs < float("inf"):
        raise InputError("timestep_fs", got=timestep_fs, expected="a positive time in fs")
    plain = Settings(float(timestep_fs), BOLTZMANN_EV_PER_K * ensemble.temperature_K, 0.0, 0.0, 0.0, 0.0)
    if isinstance(ensemble, Nvt):
        return plain._replace(friction=1e-3 * ensemble.friction_per_ps)
    if isinstance(ensemble, NvtNoseHoover):
        return plain._replace(damping=ensemble.damping_fs)
    if isinstance(ensemble, Npt):
        return plain._replace(
            damping=ensemble.damping_fs,
            barostat_damping=ensemble.barostat_damping_fs,
            pressure=ensemble.pressure_GPa / GPA_PER_EV_PER_A3,
        )
    return plain


def chain_of(ensemble: Ensemble) -> Chain | None:
    """The Nosé-Hoover chain of an ensemble that has one."""
    return ensemble.chain if isinstance(ensemble, NvtNoseHoover | Npt) else None


def _check(ensemble: Ensemble, *positive: str) -> None:
    for name in positive:
        value = getattr(ensemble, name)
        if not 0 < value < float("inf"):
            raise InputError(name, got=value, expected="a positive number")
    chain = chain_of(ensemble)
    if chain is not None and (chain.length < 2 or chain.steps < 1 or chain.suzuki_yoshida not in SUZUKI_YOSHIDA):
        expected = f"length of at least 2, steps of at least 1 and suzuki_yoshida among {SUZUKI_YOSHIDA}"
        raise InputError("chain", got=chain, expected=expected)
