"""What ``lammps_interface/decks/elastic.in`` leaves, as series of the terms that ``fusepot.observables`` averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.errors import InputError
from fusepot.gradient import precision
from fusepot.graph import Array
from fusepot.observables import Observable, Series, StatePoint, estimate
from fusepot.observables.elastic import cubic, cubic_matrix, hexagonal, hexagonal_matrix
from fusepot.observables.interface import Averages
from fusepot.observables.statistics import BLOCKS
from fusepot.observables.voigt import PRODUCTS, to_tensor
from fusepot.structure import FloatArray
from fusepot.units import BAR_PER_EV_PER_A3
from fusepot.validation.analysis.averages import Mean, read_averages
from fusepot.validation.interface import RunFailed

FROM_LAMMPS = (0, 1, 2, 5, 4, 3)  # components xx yy zz yz xz xy out of LAMMPS's xx yy zz xy xz yz
# Rows and columns of the 21 numbers of compute born/matrix: the diagonal, then what is right of it, row by row.
RIGHT = np.triu_indices(6, 1)
PAIRS = tuple(np.concatenate([np.arange(6), axis]) for axis in RIGHT)
SYMMETRISED: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "hexagonal": lambda born: hexagonal_matrix(hexagonal(born)),
        "cubic": lambda born: cubic_matrix(cubic(born)),
    }
)


class Sampled(NamedTuple):
    """A run at constant volume.

    Attributes:
        terms: "energy", "stress", their products, "born", "born_hexagonal" or "born_cubic": as in
            ``observables.terms``, but energies are relative to their mean.
        frames: how many.
        volume: of the cell in Å^3.
    """

    terms: Mapping[str, Series]
    frames: int
    volume: float


def read_samples(folder: Path, prefix: str, *, symmetry: str, after: int) -> Sampled:
    """The series that a run left.

    Args:
        folder: of the run.
        prefix: of its files, the deck's variable ``out``.
        symmetry: of the crystal, "hexagonal" or "cubic": also the term of that symmetry is made.
        after: steps up to this one are equilibration.

    Raises:
        RunFailed: a file is missing, is damaged, or has another number of columns; no Born term was sampled.
    """
    table = _read(folder / f"{prefix}.stress", columns=10, after=after)
    born = _read(folder / f"{prefix}.born", columns=22, after=after)
    stress = -table[:, 1:7][:, FROM_LAMMPS] / BAR_PER_EV_PER_A3
    # Adiabatic constants take variances of the energy: of totals, with all their digits before the point, they would be
    # rounding. A constant in the energy changes none of them.
    energy = table[:, 7] - table[:, 7].mean()
    volume = float(table[:, 8].mean())
    frames = np.arange(len(table))
    kept = np.isin(born[:, 0], table[:, 0])
    if not kept.any():
        raise RunFailed(f"{prefix}.born has no step of {prefix}.stress")
    at = np.searchsorted(table[:, 0], born[kept, 0])
    linear = born_by_linear_strain(born[kept, 1:], stress[at], volume)
    with precision("float64"):
        symmetrised = np.asarray(jax.vmap(SYMMETRISED[symmetry])(linear))
    series = {
        "energy": energy,
        "stress": stress,
        "energy_energy": energy**2,
        "energy_stress": energy[:, None] * stress,
        "stress_stress": stress[:, :, None] * stress[:, None],
    }
    terms = {name: Series(values, frames) for name, values in series.items()}
    terms |= {"born": Series(linear, at), f"born_{symmetry}": Series(symmetrised, at)}
    return Sampled(terms, len(table), volume)


def estimates(sampled: Sampled, observables: Sequence[Observable], *, temperature_K: float, atoms: int) -> list[Mean]:
    """Observables of a run with their errors: the larger one of those by blocks and by autocorrelation.

    Raises:
        RunFailed: too few samples for errors.
    """
    state = StatePoint(temperature_K, sampled.volume, atoms)
    terms = tuple({term.name: term for one in observables for term in one.terms}.values())

    def values(averages: Averages, state: StatePoint) -> jax.Array:
        return jnp.stack([one.value(averages, state) for one in observables])

    together = Observable("all", "", terms, values, shape=(len(observables),), fixed_cell=True)
    weights, blocks = np.full(sampled.frames, 1 / sampled.frames), min(BLOCKS, sampled.frames)
    try:
        found = estimate(together, sampled.terms, weights, state, blocks=blocks)
    except InputError as error:
        raise RunFailed(f"too few samples: {error}") from error
    errors = np.maximum(found.error, found.correlated_error)
    return [Mean(float(value), float(error)) for value, error in zip(found.value, errors, strict=True)]


def born_by_linear_strain(born: FloatArray, stress: FloatArray, volume: float) -> FloatArray:
    """C^B of ``observables.terms`` from LAMMPS's Born matrix, (n, 6, 6) in eV/Å^3.

    LAMMPS's is V L, the second derivative by the Lagrangian strain: the change back is that of ``observables.elastic``.

    Args:
        born: (n, 21) in eV, in the order of compute born/matrix.
        stress: (n, 6) of the same frames, in eV/Å^3, without kinetic part.
        volume: in Å^3.
    """
    matrix = np.zeros((len(born), 6, 6))
    matrix[:, PAIRS[0], PAIRS[1]] = born / volume
    matrix[:, PAIRS[1], PAIRS[0]] = born / volume
    return matrix + np.einsum("abij,nij->nab", PRODUCTS, to_tensor(stress))


def _read(path: Path, *, columns: int, after: int) -> FloatArray:
    try:
        table = read_averages(path, after=after)
    except ValueError as error:
        raise RunFailed(f"{path.name} is damaged: {error}") from error
    if table.shape[1] != columns:
        raise RunFailed(f"{path.name} has {table.shape[1]} columns, not {columns}")
    return table
