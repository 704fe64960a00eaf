"""The harmonic crystal: elastic constants, pressure and energies known exactly at every temperature.

U = sum over bonds k/2 (n . (r - R))^2, with r the pair vector, R its reference and n = R/|R|. It is quadratic in strain
and in displacements taken along with the strain, so with the centre of mass fixed the free energy is V/2 e C e whatever
the temperature, where C includes the relaxation of the atoms inside the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.graph import Graph
from fusepot.model import Model
from fusepot.models.interface import Architecture, ModelConfig
from fusepot.neighbors import Pairs, find_pairs
from fusepot.observables.frames import Frames, graph_at, make_frames
from fusepot.observables.voigt import DIRECTIONS
from fusepot.sampling.trajectory import Trajectory
from fusepot.structure import FloatArray, Structure
from fusepot.units import BOLTZMANN_EV_PER_K


class SpringsConfig(ModelConfig):
    """No hyper-parameters; the cutoff says which pairs are listed, not which have a spring."""


def energy(config: SpringsConfig, params: Any, graph: Graph) -> jax.Array:
    """``params``: reference (pairs, 3), kind (pairs,) of spring, stiffness (kinds,) in eV/Å^2 with 0 for no spring."""
    length = jnp.sqrt(jnp.sum(params["reference"] ** 2, axis=1, keepdims=True))
    stretch = jnp.sum((graph.vectors - params["reference"]) * params["reference"] / length, axis=1)
    bond = params["stiffness"][params["kind"]] * stretch**2 / 4  # each bond is two pairs
    return jax.ops.segment_sum(jnp.where(graph.pair_mask, bond, 0), graph.centers, len(graph.species))


SPRINGS = Architecture(config=SpringsConfig, init=lambda *_: None, energy=energy, hops=lambda config: 1)


@dataclass(frozen=True)
class Crystal:
    """Springs of stiffness ``stiffness[kind]`` between atoms closer than ``reach``, all at rest."""

    structure: Structure
    reach: float
    stiffness: tuple[float, ...]
    seed: int = 0

    def bonds(self) -> tuple[Pairs, np.ndarray, FloatArray]:
        """Bonds in both directions, their kinds, and their stretch by displacements and strains (pairs, 3 N + 6)."""
        pairs, n = find_pairs(self.structure, self.reach), len(self.structure)
        kinds = self.kinds(pairs.centers, pairs.others)
        units = pairs.vectors / np.linalg.norm(pairs.vectors, axis=1, keepdims=True)
        stretch = np.zeros((len(pairs), n, 3))
        stretch[np.arange(len(pairs)), pairs.others] += units
        stretch[np.arange(len(pairs)), pairs.centers] -= units
        strains = np.einsum("pi,aij,pj->pa", units, DIRECTIONS, pairs.vectors)
        return pairs, kinds, np.concatenate([stretch.reshape(len(pairs), -1), strains], axis=1)

    def kinds(self, centers: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Kind of spring by the elements at its ends."""
        numbers = self.structure.numbers
        return ((numbers[centers] != numbers[others]) % len(self.stiffness)).astype(np.int32)

    def matrix(self, stiffness: Any = None) -> FloatArray:
        """Second derivatives of U by displacements and strains, (3 N + 6, 3 N + 6) in eV and Å."""
        _, kinds, stretch = self.bonds()
        k = np.asarray(self.stiffness if stiffness is None else stiffness)[kinds]
        return np.einsum("p,pa,pb->ab", k / 2, stretch, stretch)

    def constants(self, stiffness: Any = None, *, relaxed: bool = True) -> FloatArray:
        """Elastic constants, (6, 6) in eV/Å^3; without relaxation it is the Born term at rest."""
        matrix, n = self.matrix(stiffness), 3 * len(self.structure)
        constants = matrix[n:, n:]
        if relaxed:
            constants = constants - matrix[n:, :n] @ np.linalg.pinv(matrix[:n, :n], rcond=1e-10) @ matrix[:n, n:]
        return constants / self.structure.volume

    def sample(self, temperature_K: float, frames: int, *, seed: int) -> Trajectory:
        """Independent frames drawn from the Boltzmann distribution, the centre of mass at rest."""
        n = 3 * len(self.structure)
        return gaussian(self.structure, self.matrix()[:n, :n], temperature_K, frames, seed=seed)

    def frames(self, trajectory: Trajectory) -> tuple[Model, dict[str, Any], Frames]:
        """Model, parameters and frames to evaluate. Every bond is listed even where the atoms went far apart."""
        cutoff = 1.6 * self.reach
        frames = make_frames(trajectory, cutoff=cutoff, elements=sorted(set(self.structure.symbols)))
        assert len(frames.lists.centers) == 1, "the springs' references need one list of pairs"
        rest = np.zeros_like(frames.positions[:1])
        rest[0, : len(self.structure)] = self.structure.positions
        with jax.enable_x64(True):
            graph = graph_at(frames._replace(positions=rest), 0, cutoff=np.inf, dtype="float64")
        reference = np.array(graph.vectors)
        real = np.asarray(frames.lists.pair_mask[0])
        reference[~real] = [cutoff, 0, 0]
        lengths = np.linalg.norm(reference, axis=1)
        bonded = real & (lengths < self.reach)
        assert bonded.sum() == len(find_pairs(self.structure, self.reach))
        atoms = len(self.structure)
        kinds = np.zeros(len(real), np.int32)
        kinds[bonded] = 1 + self.kinds(frames.lists.centers[0][bonded], frames.lists.others[0][bonded])
        assert frames.lists.centers.max() >= atoms - 1
        params = {"reference": reference, "kind": kinds, "stiffness": np.array([0.0, *self.stiffness])}
        return Model("springs", SpringsConfig(cutoff=cutoff), "float64"), params, frames


def gaussian(structure: Structure, hessian: FloatArray, temperature_K: float, frames: int, *, seed: int) -> Trajectory:
    """Frames with displacements drawn from exp(-u H u / 2kT), ``hessian`` (3 N, 3 N) with three zero modes."""
    values, modes = np.linalg.eigh(hessian)
    assert np.abs(values[:3]).max() < 1e-6 * values[-1]
    assert values[3] > 1e-4 * values[-1], "the crystal is soft or unstable"
    kT = BOLTZMANN_EV_PER_K * temperature_K
    amplitudes = np.random.default_rng(seed).normal(size=(frames, len(values) - 3)) * np.sqrt(kT / values[3:])
    positions = structure.positions + (amplitudes @ modes[:, 3:].T).reshape(frames, -1, 3)
    energies = (amplitudes**2 * values[3:]).sum(axis=1) / 2
    cells = np.repeat(structure.cell[None], frames, axis=0)
    return Trajectory(structure, temperature_K, positions, cells, energies, np.zeros(frames), 1.0, 100)
