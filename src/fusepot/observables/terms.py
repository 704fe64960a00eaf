"""What is averaged: quantities of one frame, pure and differentiable functions of parameters and positions.

A homogeneous strain takes every pair vector r to (1 + epsilon) r. With the pair gradient g = dU/dr of ``gradient.py``

    s_a    = (1/V) dU/d(e_a)          = (1/V) sum_pairs g . D_a r                    stress without its kinetic part
    C^B_ab = (1/V) d2U/d(e_a)d(e_b)   = (1/V) sum_pairs (dg along D_b r) . D_a r     Born term

with Voigt components and directions D of ``voigt.py``. The strain is the linear one, epsilon itself, not the Lagrangian
epsilon + epsilon^2/2; ``elastic.py`` converts. The Born term is forward over reverse, one strain at a time: the layout
that needs least memory and time. Models are evaluated in the potential's precision, sums are taken in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.errors import InputError
from fusepot.gradient import Engine, precision
from fusepot.graph import Array, Graph
from fusepot.model import Model
from fusepot.models.interface import Params
from fusepot.observables.frames import Frames, graph_at
from fusepot.observables.voigt import DIRECTIONS, to_voigt


@dataclass(frozen=True)
class Snapshot:
    """One frame with a potential; what several terms need is computed once.

    Attributes:
        model: the potential without its parameters.
        params: the parameters, in the model's precision.
        graph: the frame.
        engine: what computes first derivatives; second derivatives are always those of "xla".
    """

    model: Model
    params: Params
    graph: Graph
    engine: Engine = "xla"

    def gradient(self, vectors: Array, engine: Engine) -> tuple[jax.Array, jax.Array]:
        """Energies (atoms,) in eV and pair gradient (pairs, 3) in eV/Å with these pair vectors; mean over members."""
        # Float64 around it is for sums: constants in the model must not lift a float32 potential to it.
        with precision(self.model.dtype):
            return self.model.mean_gradient(self.params, self.graph._replace(vectors=vectors), engine=engine)

    @cached_property
    def first(self) -> tuple[jax.Array, jax.Array]:
        """Energies and pair gradient of the frame."""
        return self.gradient(self.graph.vectors, self.engine)

    @property
    def volume(self) -> jax.Array:
        """Cell volume in Å^3, () float64."""
        return self.graph.volumes[0].astype(np.float64)

    def tensor(self, gradient: Array) -> jax.Array:
        """Symmetric part of sum_pairs g r over the volume, (6,) float64 in eV/Å^3."""
        tensor = jnp.einsum("pa,pb->ab", gradient.astype(np.float64), self.graph.vectors.astype(np.float64))
        return to_voigt(tensor + tensor.T) / (2 * self.volume)

    @cached_property
    def energy(self) -> jax.Array:
        """Potential energy in eV without reference energies, () float64."""
        return self.first[0].astype(np.float64).sum()

    @cached_property
    def stress(self) -> jax.Array:
        """Stress s of the module's head: without kinetic part, tension positive, (6,) float64 in eV/Å^3."""
        return self.tensor(self.first[1])

    def born(self, rows: Sequence[int] = range(6)) -> jax.Array:
        """Rows of C^B of the module's head, (len(rows), 6) float64 in eV/Å^3; each costs 1 to 2 force evaluations."""
        vectors = self.graph.vectors

        @jax.checkpoint  # the backward pass holds what one strain needs, not all of them
        def row(direction: Array) -> jax.Array:
            gradient = partial(self.gradient, engine="xla")
            with precision(self.model.dtype):
                _, change = jax.jvp(lambda v: gradient(v)[1], (vectors,), (vectors @ direction,))
            return self.tensor(change)

        return jax.lax.map(row, jnp.asarray(DIRECTIONS[list(rows)], vectors.dtype))


@dataclass(frozen=True)
class Term:
    """A per-frame quantity.

    Attributes:
        name: key of its average.
        function: its value for a frame, an array of float64; traceable.
        sparse: expensive and hardly fluctuating: evaluated on every k-th frame only where ``sparse_every`` is k.
        by_zero: derivatives with respect to constants added to the energy and to the normal stresses xx, yy and zz,
            (4, frames, ...), from the values of terms by name; None where there are none. Only the estimated noise of
            gradients depends on them.
    """

    name: str
    function: Callable[[Snapshot], jax.Array]
    sparse: bool = False
    by_zero: Callable[[Mapping[str, Array]], Array] | None = None


NORMAL = np.eye(6)[:3, None]  # (3, 1, 6): one unit of each normal stress, in every frame


def _by_energy(slope: Array) -> Array:
    return np.multiply.outer([1.0, 0.0, 0.0, 0.0], slope)


def _by_stresses(slopes: Array) -> Array:
    return np.concatenate([np.zeros_like(slopes[:1]), slopes])


def _energy_stress_by_zero(known: Mapping[str, Array]) -> Array:
    return _by_energy(known["stress"]) + _by_stresses(NORMAL * known["energy"][:, None])


def _stress_stress_by_zero(known: Mapping[str, Array]) -> Array:
    half = _by_stresses(NORMAL[..., None] * known["stress"][:, None])
    return half + half.swapaxes(-1, -2)


ENERGY = Term("energy", lambda frame: frame.energy, by_zero=lambda known: _by_energy(np.ones_like(known["energy"])))
STRESS = Term(
    "stress",
    lambda frame: frame.stress,
    by_zero=lambda known: _by_stresses(NORMAL + np.zeros_like(known["stress"])),
)
BORN = Term("born", lambda frame: frame.born(), sparse=True)
ENERGY_ENERGY = Term(
    "energy_energy", lambda frame: frame.energy**2, by_zero=lambda known: _by_energy(2 * known["energy"])
)
ENERGY_STRESS = Term("energy_stress", lambda frame: frame.energy * frame.stress, by_zero=_energy_stress_by_zero)
STRESS_STRESS = Term(
    "stress_stress", lambda frame: jnp.outer(frame.stress, frame.stress), by_zero=_stress_stress_by_zero
)


class Series(NamedTuple):
    """A term along a trajectory.

    Attributes:
        values: (n, ...) float64.
        frames: (n,) which frames they belong to.
    """

    values: Array
    frames: Array


def require_float64(function: str) -> None:
    """Sums, weights and averages are float64, which jax truncates silently unless told.

    Raises:
        InputError: jax computes in float32 only.
    """
    if jnp.zeros(()).dtype != np.float64:
        raise InputError(
            function,
            got="a call while jax is limited to float32",
            expected="float64 for sums and weights; the model stays in the potential's precision",
            remedy='Call it, jit and grad included, inside `with fusepot.gradient.precision("float64"):`.',
        )


def evaluate(
    model: Model,
    params: Params,
    frames: Frames,
    *,
    terms: Iterable[Term],
    sparse_every: int = 1,
    batch: int = 1,
    engine: Engine = "auto",
) -> Mapping[str, Series]:
    """Terms along a trajectory: pure, traceable, differentiable in ``params`` with the memory of one frame.

    Args:
        model: the potential without its parameters.
        params: the parameters, in the model's precision.
        frames: see ``make_frames``; same cutoff and elements as the model.
        terms: what to evaluate.
        sparse_every: evaluate sparse terms (the Born term) on every k-th frame only.
        batch: frames evaluated at a time; more than one pays on accelerators only.
        engine: what computes energies and stresses; second derivatives and gradients are always those of "xla".

    Returns:
        The series of each term by its name.

    Raises:
        InputError: jax is limited to float32, sparse_every is not positive, or two terms have the same name.
    """
    require_float64("evaluate")
    if sparse_every < 1:
        raise InputError("sparse_every", got=sparse_every, expected="a positive whole number")
    wanted = sorted(set(terms), key=lambda term: term.name)
    if twice := [a.name for a, b in pairwise(wanted) if a.name == b.name]:
        raise InputError("terms", got=f"two different terms named {twice[0]}", expected="one term for each name")
    series: dict[str, Series] = {}
    count = len(frames.positions)
    for every, group in ((1, [t for t in wanted if not t.sparse]), (sparse_every, [t for t in wanted if t.sparse])):
        if not group:
            continue

        @jax.checkpoint  # the backward pass recomputes a frame instead of holding all of them
        def one(index: Array, group: list[Term] = group) -> list[jax.Array]:
            graph = graph_at(frames, index, cutoff=model.config.cutoff, dtype=model.dtype)
            frame = Snapshot(model, params, graph, engine)
            return [term.function(frame) for term in group]

        chosen = np.arange(0, count, every, dtype=np.int32)
        values = jax.lax.map(one, jnp.asarray(chosen), batch_size=batch if batch > 1 else None)
        series |= {term.name: Series(value, chosen) for term, value in zip(group, values, strict=True)}
    return series
