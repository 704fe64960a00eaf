"""A state point's frames seen with certain parameters: energies, stresses and Born terms of every frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.data.targets import Condition
from fusepot.gradient import precision
from fusepot.graph import Capacity
from fusepot.model import Model
from fusepot.models.interface import Params
from fusepot.observables import Frames, Term, evaluate, make_frames
from fusepot.training.sampled import Sampled, trajectory
from fusepot.training.walks import each

Array = Any
Terms = Mapping[str, Array]


class Once:
    """A jitted function that several threads may call at once, and that is compiled once for each set of shapes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self._lock, self._ready = function, Lock(), set[Any]()

    def __call__(self, *arguments: Any) -> Any:
        """The function of its arguments."""
        key = tuple((np.shape(leaf), np.asarray(leaf).dtype) for leaf in jax.tree.leaves(arguments))
        with self._lock if key not in self._ready else nullcontext():
            found = self._function(*arguments)
            self._ready.add(key)
        return found


@dataclass(frozen=True)
class View:
    """The kept trajectories of a state point with the parameters of now; made again from the state when needed.

    Attributes:
        point: whose view it is.
        frames: of each kept trajectory, newest first.
        terms: of each kept trajectory, by name; without sparse terms until ``Viewer.completed``.
        params: seen with these.
    """

    point: Sampled
    frames: tuple[Frames, ...]
    terms: tuple[Terms, ...]
    params: Params

    def joined(self, name: str) -> Array:
        """A term of all kept frames."""
        return np.concatenate([terms[name] for terms in self.terms])


@dataclass(frozen=True)
class Viewer:
    """Makes views.

    Attributes:
        model: the potential without its parameters.
        elements: species are indices into these.
        terms: all that is ever needed.
        sparse_every: sparse terms are evaluated on every so many frames.
        batch: frames evaluated at a time.
    """

    model: Model
    elements: tuple[str, ...]
    terms: frozenset[Term]
    sparse_every: int
    batch: int

    def frames(
        self, points: Sequence[tuple[Condition, Sampled]], sizes: Array, seen: Sequence[View]
    ) -> tuple[list[tuple[Frames, ...]], Array]:
        """The frames of every state point in arrays of one shape, and that shape; those seen before are not remade."""
        have = Capacity(*map(int, sizes))
        known = {id(view.point.positions): view.frames for view in seen}
        wanted = [(condition, point, j) for condition, point in points for j in range(int(point.count))]

        def made(one: tuple[Condition, Sampled, int]) -> Frames:
            condition, point, j = one
            old = known.get(id(point.positions))
            if old is not None and old[j].capacity == have:
                return old[j]
            path = trajectory(point, j, condition.structure, condition.temperature_K)
            at_least = have if have.pairs else None
            return make_frames(path, cutoff=self.model.config.cutoff, elements=self.elements, at_least=at_least)

        found = each(made, wanted)
        if not found:
            return [() for _ in points], sizes
        common = reduce(Capacity.union, (frames.capacity for frames in found), have)
        if common != have:
            return self.frames(points, np.array(common, np.int64), seen)
        remaining = iter(found)
        return [tuple(next(remaining) for _ in range(int(point.count))) for _, point in points], sizes

    def views(self, points: Sequence[Sampled], frames: Sequence[tuple[Frames, ...]], params: Params) -> list[View]:
        """Views without sparse terms."""
        flat = each(lambda one: self.dense(one, params), [one for own in frames for one in own])
        terms = iter(flat)
        return [
            View(point, own, tuple(next(terms) for _ in own), params) for point, own in zip(points, frames, strict=True)
        ]

    def completed(self, views: Sequence[View]) -> list[View]:
        """Views with the sparse terms, which are expensive."""
        if not self._sparse:
            return list(views)
        lacking = [
            (k, j)
            for k, view in enumerate(views)
            for j, terms in enumerate(view.terms)
            if not all(term.name in terms for term in self._sparse)
        ]
        found = each(lambda kj: self._evaluate(views[kj[0]].frames[kj[1]], views[kj[0]].params, self._sparse), lacking)
        more = dict(zip(lacking, found, strict=True))
        return [
            replace(view, terms=tuple({**terms, **more.get((k, j), {})} for j, terms in enumerate(view.terms)))
            for k, view in enumerate(views)
        ]

    def dense(self, frames: Frames, params: Params) -> Terms:
        """The terms that are not sparse."""
        return self._evaluate(frames, params, self.terms - self._sparse)

    def frames_of(self, count: int, trajectories: int) -> dict[str, Array]:
        """Which of the joined frames each term is known of, of so many trajectories of ``count`` frames."""
        every = {term.name: self.sparse_every if term.sparse else 1 for term in self.terms}
        offsets = count * np.arange(trajectories)[:, None]
        return {name: (offsets + np.arange(0, count, step)).ravel() for name, step in every.items()}

    def pull_back(self, frames: Frames, cotangents: Terms, params: Params) -> Array:
        """Derivative of sum(cotangents * terms) by the parameters, one float64 vector."""
        with precision("float64"):
            gradient = self._pulled(params, frames, dict(cotangents))
        return np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(gradient)])

    @cached_property
    def _sparse(self) -> frozenset[Term]:
        return frozenset(term for term in self.terms if term.sparse)

    def _evaluate(self, frames: Frames, params: Params, terms: frozenset[Term]) -> Terms:
        with precision("float64"):
            found = (self._forward_sparse if terms == self._sparse else self._forward_dense)(params, frames)
            return jax.tree.map(np.asarray, found)

    @cached_property
    def _forward_dense(self) -> Any:
        return Once(jax.jit(partial(self._values, terms=self.terms - self._sparse)))

    @cached_property
    def _forward_sparse(self) -> Any:
        return Once(jax.jit(partial(self._values, terms=self._sparse)))

    @cached_property
    def _pulled(self) -> Any:
        def functional(params: Params, frames: Frames, cotangents: Terms) -> jax.Array:
            values = self._values(params, frames, terms=self.terms)
            return sum((jnp.vdot(cotangents[name], value) for name, value in values.items()), start=jnp.zeros(()))

        return Once(jax.jit(jax.grad(functional)))

    def _values(self, params: Params, frames: Frames, *, terms: frozenset[Term]) -> dict[str, jax.Array]:
        series = evaluate(self.model, params, frames, terms=terms, sparse_every=self.sparse_every, batch=self.batch)
        return {name: one.values for name, one in series.items()}
