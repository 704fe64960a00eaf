"""The EXP trainer: simulations at state points, and the gradient of how far their observables are from experiment.

Trajectories are expensive and parameters move little at each update: frames are reweighted to the parameters of now
(``difftre.py``) as long as enough of them count. The gradient is taken in two steps. The loss is a function of the
frames' terms (energies, stresses, Born terms), small arrays whose cotangents cost nothing; then each block of frames is
pulled back through the model by itself, which needs the memory of one frame, shows the scatter of the gradient, and
keeps all cores busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from fusepot.data.targets import Condition, Experiment
from fusepot.gradient import precision
from fusepot.models.interface import Params
from fusepot.observables import StatePoint, reweight
from fusepot.potential import Potential
from fusepot.sampling import Nvt
from fusepot.training.difftre import Goals, Outcome, Signal, goals_of, loss_of, signal_of
from fusepot.training.experiment_sections import ExperimentSection
from fusepot.training.sampled import Sampled, added, reference_energies, unsampled
from fusepot.training.views import View, Viewer
from fusepot.training.walks import Diverged, each, walked, walkers_of

Array = Any
ROUNDING = 1e-6  # of the effective number of frames


class ExpState(NamedTuple):
    """What the EXP trainer carries on: of each state point, and the array sizes that hold all pair lists."""

    points: tuple[Sampled, ...]
    sizes: Array


@dataclass(frozen=True)
class ExpTrainer:
    """The EXP trainer of one configuration.

    Attributes:
        template: a potential; parameters come with every call.
        experiment: state points and targets.
        section: the configuration.
        stopped: whether to give up; asked between portions of simulations.
    """

    template: Potential
    experiment: Experiment
    section: ExperimentSection
    stopped: Callable[[], bool] = lambda: False

    @cached_property
    def goals(self) -> tuple[Goals, ...]:
        """Of each state point."""
        return tuple(goals_of(condition, self.experiment.symmetry) for condition in self.experiment.conditions)

    @cached_property
    def viewer(self) -> Viewer:
        """Evaluates frames."""
        terms = frozenset(term for goals in self.goals for term in goals.terms)
        return Viewer(
            self.template.model, self.template.elements, terms, self.section.born_every, self.section.frames_at_once
        )

    @property
    def frames(self) -> int:
        """Frames of a trajectory, all replicas together."""
        return self.section.sampling.frames * self.section.sampling.replicas

    def begin(self, params: Params) -> ExpState:
        """State points at rest with velocities of their temperatures, and without trajectories."""
        points = []
        for index, condition in enumerate(self.experiment.conditions):
            walkers = walkers_of(
                self._potential(params),
                condition.structure,
                self._bath(condition),
                index=index,
                section=self.section.sampling,
                seed=self.section.seed,
            )
            points.append(unsampled(walkers, params, kept=self.section.reuse.kept, frames=self.frames))
        return ExpState(tuple(points), np.zeros(4, np.int64))

    def ensured(
        self, state: ExpState, params: Params, seen: Sequence[View], *, which: Iterable[int]
    ) -> tuple[ExpState, list[View], list[int]]:
        """Trajectories that represent these parameters at the state points ``which``.

        Where too few effective frames are left, or none may be reused, the walkers go on with these parameters.

        Returns:
            The state, a view of every state point, and where was simulated.

        Raises:
            Diverged: a simulation went wrong, or a term is not finite.
            TrainingInterrupted: ``stopped`` said so.
        """
        state, views = self.look(state, params, seen)
        reuse = self.section.reuse
        enough = self.frames * (1 - ROUNDING if reuse.method == "never" else reuse.effective_fraction)
        stale = [
            k
            for k in which
            if not views[k].terms or state.points[k].age >= reuse.longest or self.effective(views[k], index=k) < enough
        ]
        if not stale:
            return state, views, stale
        section, points = self.section.sampling, list(state.points)
        walks = walked(
            self._potential(params),
            [points[k].walkers for k in stale],
            [self._bath(self.experiment.conditions[k]) for k in stale],
            section=section,
            relaxation=[section.relaxation if points[k].count else section.equilibration for k in stale],
            stopped=self.stopped,
        )
        for k, (walkers, positions) in zip(stale, walks, strict=True):
            points[k] = added(points[k], walkers, positions, params)
        state, views = self.look(state._replace(points=tuple(points)), params, views)
        for k in stale:
            points[k] = self._with_energies(views[k])
        views = [View(point, view.frames, view.terms, params) for point, view in zip(points, views, strict=True)]
        return state._replace(points=tuple(points)), views, stale

    def used(self, state: ExpState, *, which: Iterable[int]) -> ExpState:
        """The state after an update from the trajectories of ``which``."""
        points = list(state.points)
        for k in which:
            points[k] = points[k]._replace(age=points[k].age + 1)
        return state._replace(points=tuple(points))

    def look(self, state: ExpState, params: Params, seen: Sequence[View]) -> tuple[ExpState, list[View]]:
        """What the kept frames say with these parameters, without the sparse terms unless they were seen before.

        Raises:
            Diverged: a term is not finite.
        """
        if len(seen) == len(state.points) and all(
            view.params is params and view.point is point for view, point in zip(seen, state.points, strict=True)
        ):
            return state, list(seen)
        pairs = list(zip(self.experiment.conditions, state.points, strict=True))
        frames, sizes = self.viewer.frames(pairs, state.sizes, seen)
        views = self.viewer.views(state.points, frames, params)
        for view, condition in zip(views, self.experiment.conditions, strict=True):
            for terms in view.terms:
                if bad := [name for name, values in terms.items() if not np.isfinite(values).all()]:
                    raise Diverged(f"state point of {condition.temperature_K:g} K: {bad[0]} is not finite")
        return state._replace(sizes=sizes), views

    def effective(self, view: View, *, index: int) -> float:
        """Kish's effective number of the kept frames of a state point."""
        temperature = self.experiment.conditions[index].temperature_K
        with precision("float64"):
            reference = reference_energies(view.point, temperature)
            return float(reweight(reference, view.joined("energy"), temperature).kish)

    def outcomes(self, views: Sequence[View]) -> tuple[list[View], list[Outcome]]:
        """Completed views, and loss and observables of every state point."""
        views = self.viewer.completed(views)
        return views, [self._loss(view, k) for k, view in enumerate(views)]

    def gradient(self, views: Sequence[View], *, which: Sequence[int]) -> tuple[Params, list[Signal]]:
        """Gradient of the mean loss of the state points ``which`` from completed views, and how certain each one's is.

        Raises:
            Diverged: a gradient is not finite.
        """
        block = self.frames // self.section.blocks
        jobs = []
        for k in which:
            known = self.viewer.frames_of(self.frames, len(views[k].frames))
            cotangents = self._slopes(views[k], k)
            for j, frames in enumerate(views[k].frames):
                for first in range(j * self.frames, (j + 1) * self.frames, block):
                    inside = {n: (first <= at) & (at < first + block) for n, at in known.items()}
                    part = {name: cotangent[inside[name]] for name, cotangent in cotangents.items()}
                    at = slice(first - j * self.frames, first - j * self.frames + block)
                    some = frames._replace(
                        positions=frames.positions[at], cells=frames.cells[at], list_of=frames.list_of[at]
                    )
                    jobs.append((k, some, part, self._share(views[k], part, slice(first, first + block))))
        params = views[which[0]].params
        pulled = each(lambda job: self.viewer.pull_back(job[1], job[2], params), jobs)
        signals = []
        for k in which:
            own = [(part, job[3]) for job, part in zip(jobs, pulled, strict=True) if job[0] == k]
            # As in the loss, a block has its part of every trajectory.
            parts, shares = (
                np.reshape(one, (len(views[k].frames), self.section.blocks, -1)).sum(axis=0)
                for one in zip(*own, strict=True)
            )
            signals.append(signal_of(parts, shares))
            if not np.isfinite(signals[-1].norm):
                kelvin = self.experiment.conditions[k].temperature_K
                raise Diverged(f"state point of {kelvin:g} K: the gradient is not finite")
        return _as_tree(np.sum(pulled, axis=0) / len(which), params), signals

    def _loss(self, view: View, index: int) -> Outcome:
        with precision("float64"):
            outcome = self._compiled(index, len(view.frames))[0](*self._arguments(view, index))[1]
            outcome = jax.tree.map(np.asarray, outcome)
        if not np.isfinite(outcome.loss):
            kelvin = self.experiment.conditions[index].temperature_K
            raise Diverged(f"state point of {kelvin:g} K: the loss is not finite")
        return outcome

    def _slopes(self, view: View, index: int) -> dict[str, Array]:
        """Derivative of the loss by every term of every frame; zero for terms that only other state points need."""
        with precision("float64"):
            found = self._compiled(index, len(view.frames))[1](*self._arguments(view, index))[0]
            found = jax.tree.map(np.asarray, found)
        others = {term.name for term in self.viewer.terms} - set(found)
        return {**found, **{name: np.zeros_like(view.joined(name)) for name in others}}

    def _arguments(self, view: View, index: int) -> tuple[Any, ...]:
        """Of ``loss_of``, as far as they differ between state points."""
        goals, condition = self.goals[index], self.experiment.conditions[index]
        state = StatePoint(condition.temperature_K, condition.structure.volume, len(condition.structure))
        values = {term.name: view.joined(term.name) for term in goals.terms}
        reference = reference_energies(view.point, condition.temperature_K)
        return values, reference, np.array(goals.values), np.array(goals.weights), StatePoint(*map(np.float64, state))

    @cached_property
    def _losses(self) -> dict[Any, tuple[Any, Any]]:
        return {}

    def _compiled(self, index: int, trajectories: int) -> tuple[Any, Any]:
        """The loss of so many kept trajectories and its gradient, compiled once for all points of like observables."""
        goals = self.goals[index]
        key = (tuple(observable.name for observable in goals.observables), trajectories)
        if key not in self._losses:
            known = self.viewer.frames_of(self.frames, trajectories)
            loss = partial(
                loss_of,
                observables=goals.observables,
                frames={term.name: known[term.name] for term in goals.terms},
                blocks=self.section.blocks,
                corrected=self.section.variance_corrected,
                trajectories=trajectories,
            )
            self._losses[key] = (jax.jit(loss), jax.jit(jax.grad(loss, has_aux=True)))
        return self._losses[key]

    def _share(self, view: View, slopes: dict[str, Array], block: slice) -> Array:
        """Derivatives of the loss by constants added to energies and normal stresses of a block of frames, (4,)."""
        known = {term.name: view.joined(term.name)[block] for term in self.viewer.terms if not term.sparse}
        found = np.zeros(4)
        for term in self.viewer.terms:
            if term.by_zero is not None:
                slope = slopes[term.name]
                found += np.tensordot(term.by_zero(known), slope, axes=slope.ndim)
        return found

    def _with_energies(self, view: View) -> Sampled:
        """The point of a view whose newest trajectory is new, with that trajectory's rows of the table of energies."""
        point, count = view.point, int(view.point.count)
        energies = point.energies.copy()
        for j in range(count):
            energies[0, j] = view.terms[j]["energy"]
        for k in range(1, count):
            older = jax.tree.map(lambda leaf, k=k: leaf[k], point.params)
            energies[k, 0] = self.viewer.dense(view.frames[0], older)["energy"]
        return point._replace(energies=energies)

    def _potential(self, params: Params) -> Potential:
        return replace(self.template, params=params)

    def _bath(self, condition: Condition) -> Nvt:
        return Nvt(condition.temperature_K, friction_per_ps=self.section.sampling.friction_per_ps)


def _as_tree(vector: Array, params: Params) -> Params:
    """A float64 vector of ``Viewer.pull_back`` with the structure, shapes and dtypes of the parameters."""
    leaves, structure = jax.tree.flatten(params)
    edges = np.cumsum([np.size(leaf) for leaf in leaves])[:-1]
    parts = np.split(vector, edges)
    return jax.tree.unflatten(
        structure,
        [part.reshape(np.shape(leaf)).astype(np.asarray(leaf).dtype) for part, leaf in zip(parts, leaves, strict=True)],
    )
