"""State: a simulation between two calls, complete; and what is done to it on the host.

A state is a tree of numpy arrays. Saved and read back, it continues bit by bit as if nothing had happened.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from fusepot.errors import InputError
from fusepot.gradient import precision
from fusepot.graph import Capacity, species_index
from fusepot.potential import Potential, cast_params
from fusepot.sampling.ensembles import Ensemble, Npt, chain_of
from fusepot.sampling.motion import Motion, at_rest, with_velocities
from fusepot.structure import FloatArray, Structure
from fusepot.units import BOLTZMANN_EV_PER_K

SKIN = 1.0  # Å: atoms of a crystal at room temperature stay within half of it for good


class State(NamedTuple):
    """Between two calls. Float arrays are float64 except in ``motion``, which is in the potential's precision.

    Attributes:
        numbers: (atoms,) atomic numbers.
        pbc: (3,) periodicity.
        reference: (atoms, 3) reference positions in Å, from which the pair list is made and positions are counted.
        cell: (3, 3) reference cell in Å.
        motion: the rest of the mechanical state.
        step: steps since the start.
        listed: the step at which the reference was chosen.
        skin: of the pair list in Å; grows where it proves too thin.
        sizes: (2,) pairs and neighbours that the list's arrays hold; only grow.
        forces_of: (16,) bytes that name the potential whose forces ``motion`` carries.
    """

    numbers: NDArray[np.int64]
    pbc: NDArray[np.bool_]
    reference: FloatArray
    cell: FloatArray
    motion: Motion
    step: NDArray[np.int64]
    listed: NDArray[np.int64]
    skin: FloatArray
    sizes: NDArray[np.int64]
    forces_of: NDArray[np.uint8]

    @property
    def structure(self) -> Structure:
        """Where the atoms are now, unwrapped."""
        scale = np.exp(np.float64(self.motion.log_scale))
        return Structure(self.reference + self.motion.position, self.numbers, scale * self.cell, self.pbc)

    @property
    def reference_structure(self) -> Structure:
        """Where the pair list was made."""
        return Structure(self.reference, self.numbers, self.cell, self.pbc)

    @property
    def capacity(self) -> Capacity | None:
        """Array sizes of the pair list; None before the first one."""
        pairs, neighbors = map(int, self.sizes)
        return Capacity(len(self.numbers), pairs, neighbors, 1) if pairs else None


NOBODY = np.zeros(16, np.uint8)


def start(potential: Potential, structure: Structure, ensemble: Ensemble, *, seed: int, skin: float = SKIN) -> State:
    """A state at step 0.

    Args:
        potential: gives the precision and knows the elements.
        structure: atoms and cell.
        ensemble: its temperature is that of the Maxwell-Boltzmann velocities, whose total momentum is zero.
        seed: of velocities and random forces.
        skin: distance in Å by which the pair list exceeds the cutoff.

    Raises:
        InputError: unusable seed or skin, an element the potential does not know, constant pressure without
            periodicity in three directions.
    """
    if not 0 <= seed < 2**31:
        raise InputError("seed", got=seed, expected="a whole number from 0 to 2^31 - 1")
    if not 0 < skin < float("inf"):
        raise InputError("skin", got=skin, expected="a positive length in Å")
    species_index(structure, potential.elements)
    with precision(potential.dtype):
        motion = with_velocities(at_rest(structure, potential.dtype), BOLTZMANN_EV_PER_K * ensemble.temperature_K, seed)
    state = State(
        numbers=np.array(structure.numbers),
        pbc=np.array(structure.pbc),
        reference=np.array(structure.positions),
        cell=np.array(structure.cell),
        motion=motion,
        step=np.array(0),
        listed=np.array(0),
        skin=np.array(float(skin)),
        sizes=np.zeros(2, np.int64),
        forces_of=NOBODY,
    )
    return fitted(state, ensemble)


def fitted(state: State, ensemble: Ensemble) -> State:
    """The state as one of this ensemble: thermostats that it lacks begin at rest, those it has no use for go.

    Raises:
        InputError: constant pressure without periodicity in three directions.
    """
    chain, motion = chain_of(ensemble), state.motion
    isobaric = isinstance(ensemble, Npt)
    if isobaric and not state.pbc.all():
        raise InputError("ensemble", got="Npt", expected="one of constant volume", remedy="The structure is open.")
    lengths = (chain.length if chain else 0, chain.length if chain and isobaric else 0)
    have = (motion.thermostat, motion.barostat)
    thermostat, barostat = (
        old if old.shape[1] == length else np.zeros((2, length), motion.position.dtype)
        for old, length in zip(have, lengths, strict=True)
    )
    state = state._replace(motion=motion._replace(thermostat=thermostat, barostat=barostat))
    if not isobaric and (motion.log_scale != 0 or motion.cell_momentum != 0):
        resting = state.motion._replace(cell_momentum=np.zeros_like(motion.cell_momentum))
        state = relisted(state._replace(motion=resting, forces_of=NOBODY), leave=0.0)
    return state


def relisted(state: State, *, leave: float) -> State:
    """The same state relative to other reference positions: those of now, but for ``leave`` Å at most of each atom.

    What is left keeps the reference of an atom that only vibrates near the middle of its vibration.
    """
    scale = np.exp(np.float64(state.motion.log_scale))
    affine, now = scale * state.reference, state.reference + state.motion.position
    moved = now - affine
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    kept = moved * np.minimum(1.0, leave / np.maximum(length, 1e-300))
    position = kept.astype(state.motion.position.dtype)
    motion = state.motion._replace(position=position, log_scale=np.zeros_like(state.motion.log_scale))
    # Exactly where they were: what rounding took from the position is in the reference.
    return state._replace(reference=now - position, cell=scale * state.cell, motion=motion, listed=state.step)


def fingerprint(potential: Potential) -> NDArray[np.uint8]:
    """(16,) bytes that differ between potentials whose forces differ."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{potential.architecture} {potential.config!r} {potential.dtype} {potential.members}".encode())
    for path, leaf in jax.tree_util.tree_flatten_with_path(cast_params(potential.params, potential.dtype))[0]:
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return np.frombuffer(digest.digest(), np.uint8)
