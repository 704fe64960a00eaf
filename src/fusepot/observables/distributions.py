"""Radial and angular distribution functions: numpy float64, per frame, so that averages can be reweighted."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from fusepot.errors import InputError
from fusepot.neighbors import Pairs, find_pairs
from fusepot.observables.statistics import BLOCKS, block_means
from fusepot.sampling.trajectory import Trajectory
from fusepot.structure import FloatArray, Structure


class Distribution(NamedTuple):
    """A distribution function with error bars.

    Attributes:
        centers: (bins,) middles of the bins: Å, or cosines.
        values: (bins,) averages over the frames.
        errors: (bins,) standard errors from blocks.
        frames: (frames, bins) of each frame.
    """

    centers: FloatArray
    values: FloatArray
    errors: FloatArray
    frames: FloatArray


def radial_distribution(
    trajectory: Trajectory,
    *,
    r_max: float,
    bins: int = 200,
    elements: tuple[str, str] | None = None,
    blocks: int = BLOCKS,
) -> Distribution:
    """g(r): density of atoms at distance r from an atom over their mean density; 1 without correlations.

    Each bin counts pairs over the volume of its spherical shell. All periodic images count, so ``r_max`` is not bound
    by the cell, whatever its shape.

    Args:
        trajectory: periodic in three directions.
        r_max: largest distance in Å.
        bins: how many, of equal width from zero.
        elements: only pairs from atoms of the first element to atoms of the second.
        blocks: for the errors.

    Raises:
        InputError: an open direction, an element without atoms, or too few frames for the blocks.
    """
    _require_periodic(trajectory)
    numbers = trajectory.structure.numbers
    first, second = (_members(numbers, element) for element in elements or (None, None))
    edges = np.linspace(0, r_max, bins + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)

    def histogram(structure: Structure, pairs: Pairs) -> FloatArray:
        chosen = first[pairs.centers] & second[pairs.others]
        counts, _ = np.histogram(np.linalg.norm(pairs.vectors[chosen], axis=1), edges)
        # An atom is no partner of its own, only its images are, which the count of N - 1 would leave out.
        return counts * structure.volume / (first.sum() * second.sum() * shells)

    return _distribution(trajectory, r_max, edges, histogram, blocks)


def angular_distribution(
    trajectory: Trajectory, *, cutoff: float = 4.0, bins: int = 100, blocks: int = BLOCKS
) -> Distribution:
    """Density of cos(theta), theta the angle at an atom between two others within the cutoff; its integral is one.

    1/2 everywhere for independent directions. Per degree it would be this times sin(theta) pi/180.

    Args:
        trajectory: any periodicity.
        cutoff: in Å; the paper takes 4 Å, the first minimum of g(r) of liquid titanium.
        bins: how many, of equal width from cos = -1 to 1.
        blocks: for the errors.

    Raises:
        InputError: a frame without triplets, or too few frames for the blocks.
    """
    edges = np.linspace(-1, 1, bins + 1)

    def histogram(structure: Structure, pairs: Pairs) -> FloatArray:
        counts, _ = np.histogram(_cosines(pairs), edges)
        if not counts.any():
            raise InputError("cutoff", got=cutoff, expected="a length within which some atom has two neighbours")
        return counts / (counts.sum() * np.diff(edges))

    return _distribution(trajectory, cutoff, edges, histogram, blocks)


def _cosines(pairs: Pairs) -> FloatArray:
    """Cosines of all angles, each once; rows of equal length are treated together."""
    units = pairs.vectors / np.linalg.norm(pairs.vectors, axis=1, keepdims=True)
    lengths = np.bincount(pairs.centers) if len(pairs) else np.zeros(0, int)
    starts = np.cumsum(lengths) - lengths
    found = []
    for length in np.unique(lengths[lengths > 1]):
        rows = units[starts[lengths == length][:, None] + np.arange(length)]
        one, other = np.triu_indices(length, 1)
        found.append(np.einsum("rik,rjk->rij", rows, rows)[:, one, other].ravel())
    return np.clip(np.concatenate(found), -1, 1) if found else np.zeros(0)


def _distribution(
    trajectory: Trajectory,
    reach: float,
    edges: FloatArray,
    histogram: Callable[[Structure, Pairs], FloatArray],
    blocks: int,
) -> Distribution:
    structures = (trajectory.frame(k) for k in range(len(trajectory)))
    frames = np.array([histogram(structure, find_pairs(structure, reach)) for structure in structures])
    errors = np.std(block_means(frames, blocks), axis=0, ddof=1) / np.sqrt(blocks)
    return Distribution((edges[1:] + edges[:-1]) / 2, frames.mean(axis=0), errors, frames)


def _members(numbers: NDArray[np.int64], element: str | None) -> NDArray[np.bool_]:
    members = np.ones(len(numbers), bool) if element is None else numbers == atomic_numbers.get(element, -1)
    if not members.any():
        raise InputError("elements", got=element, expected="elements of the trajectory")
    return members


def _require_periodic(trajectory: Trajectory) -> None:
    if not trajectory.structure.pbc.all():
        got = f"pbc {trajectory.structure.pbc.tolist()}"
        raise InputError("trajectory", got=got, expected="three periodic directions, for a mean density")
