"""What ``pair_style fusepot`` calls: plain arrays in, plain arrays out, testable without LAMMPS.

LAMMPS's own orders and signs stay on the C++ side of the border; here only the pair gradient leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from fusepot.errors import InputError, NonFiniteEnergy
from fusepot.gradient import Engine, kernel_of, precision
from fusepot.graph import Capacity, Graph, grow, slot_table
from fusepot.model import Model
from fusepot.potential import Potential, cast_params
from fusepot.serving.blocks import block_kernels

NULL = "NULL"


@dataclass(frozen=True)
class PairArrays:
    """One graph in padded arrays owned by the caller; see ``lammps_interface/src/border.h``.

    Attributes:
        centers, others, reverse: (pairs,) int32, as in ``Graph``.
        vectors: (pairs, 3) float64, Å.
        species: (atoms,) int32.
        counted: (atoms,) bool, atoms whose energy counts.
        energies: (atoms,) float64, written: eV; of a committee the mean.
        gradient: (pairs, 3) float64, written: eV/Å; of a committee the mean.
        member_gradients: (members, pairs, 3) float64, written where ``compute`` is asked for it: the gradient of each
            member, eV/Å; None where nobody will ask.
    """

    centers: NDArray[np.int32]
    others: NDArray[np.int32]
    reverse: NDArray[np.int32]
    vectors: NDArray[np.float64]
    species: NDArray[np.int32]
    counted: NDArray[np.bool_]
    energies: NDArray[np.float64]
    gradient: NDArray[np.float64]
    member_gradients: NDArray[np.float64] | None = None


def species_of_types(elements: Sequence[str], names: Sequence[str]) -> list[int]:
    """Species index of each atom type from the element names of ``pair_coeff``; -1 for NULL.

    Raises:
        InputError: a name is neither NULL nor an element of the potential.
    """
    for position, name in enumerate(names, start=1):
        if name != NULL and name not in elements:
            raise InputError(
                f"element of atom type {position}",
                got=name,
                expected=f"one of {', '.join(elements)}, or NULL",
                remedy="pair_coeff * * FILE takes one element name per atom type.",
            )
    return [-1 if name == NULL else list(elements).index(name) for name in names]


@lru_cache(maxsize=32)
def compile_evaluation(model: Model, engine: Engine = "auto") -> Callable[..., tuple[jax.Array, jax.Array]]:
    """A function that evaluates plain arrays: energies (members, atoms) and gradients (members, pairs, 3) of members.

    It takes ``(params, vectors, centers, others, reverse, species, counted, pairs, neighbors=K)``.
    Parameters are arguments, so all servers of one model share their compiled code.
    """

    @partial(jax.jit, static_argnames="neighbors")
    def evaluate(
        params: Any, vectors: Any, centers: Any, others: Any, reverse: Any, species: Any, counted: Any, pairs: Any, *,
        neighbors: int,
    ) -> tuple[jax.Array, jax.Array]:  # fmt: skip
        atoms = len(species)
        mask = jnp.arange(len(centers)) < pairs
        graph = Graph(
            vectors=vectors,
            centers=centers,
            others=others,
            reverse=reverse,
            pair_mask=mask,
            slots=slot_table(centers, mask, atoms=atoms, neighbors=neighbors),
            species=species,
            atom_mask=counted,
            system=jnp.zeros(atoms, np.int32),
            volumes=jnp.full(1, np.nan, vectors.dtype),
        )
        return model.gradients(params, graph, engine=engine)

    return evaluate


def _mean(values: NDArray[Any], out: NDArray[np.float64]) -> None:
    """Mean over members, the first axis; summed in float64, and no more than a copy where there is one member."""
    out[:] = values[0]
    for value in values[1:]:
        np.add(out, value, out=out)
    if len(values) > 1:
        np.divide(out, len(values), out=out)


class PairServer:
    """An open potential: compiled once per array size, evaluated in place on the caller's arrays."""

    def __init__(self, potential: Potential, names: Sequence[str], *, engine: Engine = "auto") -> None:
        """``names``: element or NULL for each LAMMPS type. Raises InputError for an unknown element."""
        self.potential = potential
        self.species = species_of_types(potential.elements, names)
        self.capacity = Capacity(systems=1)
        self.references = np.asarray(potential.reference_energies, dtype=np.float64)
        self._evaluate = compile_evaluation(potential.model, engine)
        self.block_kernels = block_kernels(potential, engine=engine)
        compiled = engine == "auto" and kernel_of(potential.architecture, potential.config) is not None
        self._engine = "compiled kernel" if compiled else "XLA"
        self._arrays: PairArrays | None = None
        with precision(potential.dtype):
            self._params = jax.device_put(cast_params(potential.params, potential.dtype))

    @property
    def members(self) -> int:
        """How many: the first dimension of ``PairArrays.member_gradients``."""
        return self.potential.members

    def reserve(self, atoms: int, pairs: int, neighbors: int) -> Capacity:
        """Sizes to allocate so that this many atoms, pairs and neighbours per atom fit; they only grow."""
        need = Capacity(max(atoms, 1), pairs, neighbors, 1)
        if self.capacity.atoms == 0:  # the first sizes get the slack of a growth, so that the next step fits as well
            self.capacity = Capacity(1, 1, 1, 1)
        self.capacity = grow(self.capacity, need)
        return self.capacity

    def bind(self, arrays: PairArrays) -> None:
        """Use these arrays from now on; their lengths are the reserved sizes."""
        self._arrays = arrays

    def compute(self, atoms: int, pairs: int, *, members: bool = False) -> None:
        """Fill energies and gradient of the bound arrays, whose first ``atoms`` and ``pairs`` entries are real.

        Args:
            atoms: how many.
            pairs: how many.
            members: fill ``member_gradients`` too. It costs a copy and no evaluation, and changes no other result.

        Raises:
            NonFiniteEnergy: the potential returned NaN or infinity.
        """
        arrays = self._arrays
        assert arrays is not None, "bind() comes first"
        dtype = self.potential.dtype
        with precision(dtype):
            # jax may alias the caller's memory; both results are read before this call returns.
            energies, gradients = self._evaluate(
                self._params, arrays.vectors.astype(dtype, copy=False), arrays.centers, arrays.others, arrays.reverse,
                arrays.species, arrays.counted, pairs, neighbors=self.capacity.neighbors,
            )  # fmt: skip
            _mean(np.asarray(gradients), arrays.gradient)
            _mean(np.asarray(energies), arrays.energies)
            if members:
                assert arrays.member_gradients is not None, "bind() with member_gradients comes first"
                arrays.member_gradients[:] = gradients
        arrays.energies[:atoms] += self.references[arrays.species[:atoms]] * arrays.counted[:atoms]
        if not np.isfinite(arrays.energies[:atoms].sum() + arrays.gradient[:pairs].sum()):
            raise NonFiniteEnergy(
                "the potential returned non-finite energies or forces. Look for overlapping atoms, a time step that is "
                "too long, or a configuration far from the training data."
            )

    def summary(self) -> str:
        """One line for the log."""
        p = self.potential
        kind = (
            f"{p.architecture} potential" if p.members == 1 else f"committee of {p.members} {p.architecture} potentials"
        )
        return (
            f"fusepot: {kind} for {' '.join(p.elements)}, cutoff {p.cutoff:g} Å, "
            f"{p.hops} hop{'s' if p.hops > 1 else ''}, {p.dtype}, {self._engine}"
        )
