"""DFT and EXP trainer taking turns: the state both move, what is done in an epoch, and going back where that fails.

An epoch is accepted or it never was: it begins with trajectories that represent the parameters, updates, and ends with
trajectories that represent the new parameters. If a simulation, a loss or a gradient goes wrong on the way, the state
before the epoch stays, learning rates are lowered, and the epoch is tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from fusepot.data.bins import Bin
from fusepot.models.interface import Params
from fusepot.training.config import TrainConfig
from fusepot.training.difftre import Outcome, Signal
from fusepot.training.exp import ExpState, ExpTrainer
from fusepot.training.interrupt import TrainingInterrupted
from fusepot.training.loss import Sums, errors_of, no_sums
from fusepot.training.optimizer import is_finite, learning_rate, transformation
from fusepot.training.run import Run
from fusepot.training.state import TrainState
from fusepot.training.views import View
from fusepot.training.walks import Diverged

Array = Any
TINY = 1e-12  # instead of losses that are zero


class TurnsState(NamedTuple):
    """Everything a sequential or fused run needs to continue exactly; a tree of arrays.

    Attributes:
        dft: the DFT trainer's state; its parameters are those of both trainers, its ``best_loss`` is the score.
        exp: trajectories.
        opt_state: of the EXP trainer's optimiser.
        rate_scale: factor on all learning rates; smaller after every epoch that went wrong.
        failures: how many times the next epoch went wrong.
        first: (2,) EXP loss and DFT validation loss at the start, the units of the score; positive.
    """

    dft: TrainState
    exp: ExpState
    opt_state: Any
    rate_scale: Array
    failures: Array
    first: Array


class Step(NamedTuple):
    """One thing done in an epoch: an update by DFT batches, by state points, or by both together."""

    batches: tuple[int, ...] = ()
    points: tuple[int, ...] = ()
    joint: bool = False


class Epoch(NamedTuple):
    """An accepted epoch: the state after it, how its frames look then, and what belongs into the log."""

    state: TurnsState
    views: list[View]
    record: dict[str, Any]


@dataclass(frozen=True)
class Turns:
    """One sequential or fused training: what does not change while its state moves.

    Attributes:
        config: the whole configuration.
        run: the DFT trainer on the data; its trainer has the optimiser of ``[fused]``.
        exp: the EXP trainer.
    """

    config: TrainConfig
    run: Run
    exp: ExpTrainer

    @cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """Of the EXP trainer."""
        return transformation(self.exp.section.optimizer)

    @cached_property
    def _update(self) -> Any:
        def update(params: Params, opt_state: Any, gradient: Params, rate: Array) -> tuple[Params, Any]:
            direction, opt_state = self.optimizer.update(gradient, opt_state, params)
            return jax.tree.map(lambda p, d: p - rate * d, params, direction), opt_state

        return jax.jit(update)

    @property
    def everywhere(self) -> range:
        """All state points."""
        return range(len(self.exp.goals))

    def begin(self, params: Params) -> TurnsState:
        """The state of epoch 0, without trajectories; its shapes are those of every later state."""
        return TurnsState(
            dft=self.run.trainer.begin(params),
            exp=self.exp.begin(params),
            opt_state=jax.device_get(self.optimizer.init(params)),
            rate_scale=np.array(1.0),
            failures=np.array(0),
            first=np.zeros(2),
        )

    def steps(self, state: TurnsState) -> list[Step]:
        """What the state's epoch consists of: a function of seeds and epoch alone."""
        section, epoch = self.exp.section, int(state.dft.epoch)
        size = section.batch_size or len(self.everywhere)
        order = [int(k) for k in np.random.default_rng([section.seed, epoch]).permutation(len(self.everywhere))]
        points = [tuple(sorted(order[k : k + size])) for k in range(0, len(order), size)]
        if self.config.strategy == "sequential":
            return [Step(points=some) for some in points]
        count = len(self.run.batches(state.dft))
        if self.config.turns().alternate == "epoch":
            return [*(Step(points=some) for some in points), *(Step(batches=(k,)) for k in range(count))]
        shares = [tuple(map(int, share)) for share in np.array_split(np.arange(count), len(points))]
        if self.config.turns().alternate == "joint":
            return [Step(share, some, joint=True) for share, some in zip(shares, points, strict=True)]
        return [
            step
            for share, some in zip(shares, points, strict=True)
            for step in (Step(points=some), *(Step(batches=(k,)) for k in share))
        ]

    def rates(self, state: TurnsState, progress: float) -> tuple[float, float]:
        """Learning rates of DFT and EXP trainer, ``progress`` (0 ... 1) into the state's epoch."""
        epochs, done = self.exp.section.epochs, int(state.dft.epoch) + progress
        scale = float(state.rate_scale)
        dft = learning_rate(self.config.turns().optimizer, epochs=epochs, progress=done)
        return scale * dft, scale * learning_rate(self.exp.section.optimizer, epochs=epochs, progress=done)

    def first_look(self, state: TurnsState) -> Epoch:
        """Simulate with the parameters of the start, and judge them: the record of epoch 0.

        Raises:
            Diverged: already these parameters are of no use.
        """
        exp, views, resampled = self.exp.ensured(state.exp, state.dft.params, [], which=self.everywhere)
        views, outcomes = self.exp.outcomes(views)
        errors = self._validation(state.dft.params)
        loss = float(np.mean([outcome.loss for outcome in outcomes]))
        # Corrected losses of parameters that are right already may be negative: noise is a unit that none falls below.
        noise = [float(np.dot(g.weights, o.errors**2)) for g, o in zip(self.exp.goals, outcomes, strict=True)]
        first = np.array([max(loss, float(np.mean(noise)), TINY), max(errors["loss"], TINY)])
        state = state._replace(exp=exp, first=first)
        score = self._score(state, loss, errors["loss"])
        state = state._replace(dft=state.dft._replace(best_loss=np.array(score)))
        return Epoch(state, views, self._record(state, views, outcomes, errors, {}, resampled, score))

    def epoch(self, state: TurnsState, views: Sequence[View]) -> Epoch:
        """The next epoch.

        Raises:
            Diverged: it cannot be accepted.
            TrainingInterrupted: it was not finished.
        """
        start, seen, signals = state, list(views), dict[int, Signal]()
        batches, steps = self.run.batches(state.dft), self.steps(state)
        sampled: list[int] = []
        for number, step in enumerate(steps):
            if self.exp.stopped():
                raise TrainingInterrupted("stopped between two updates")
            rates = self.rates(start, number / len(steps))
            bins = [one for k in step.batches for one in self.run.build(batches[k])]
            if step.points:
                exp, seen, fresh = self.exp.ensured(state.exp, state.dft.params, seen, which=step.points)
                state, sampled = state._replace(exp=exp), sampled + fresh
                state, seen, new = self._by_experiment(state, seen, step, bins, rates[1])
                signals |= dict(zip(step.points, new, strict=True))
            else:
                state = state._replace(dft=self.run.trainer.step(state.dft, bins, rates[0]))
            if not (np.isfinite(state.dft.sums.loss) and is_finite(state.dft.params)):
                raise Diverged("the loss on DFT data or a parameter is not finite")
        params = state.dft.params
        counted = state.dft._replace(epoch=state.dft.epoch + np.int32(1), batch=np.zeros((), np.int32))
        following = self.steps(state._replace(dft=counted))[0].points  # every epoch begins with state points
        exp, seen, fresh = self.exp.ensured(state.exp, params, seen, which=following)
        seen, outcomes = self.exp.outcomes(seen)
        errors = self._validation(params)
        loss = float(np.mean([outcome.loss for outcome in outcomes]))
        trained = errors_of(state.dft.sums) if float(state.dft.sums.structures) else None
        counted = counted._replace(sums=no_sums(self.config.model.dtype))
        state = state._replace(dft=counted, exp=exp, failures=np.array(0))
        score = self._score(state, loss, errors["loss"])
        state = state._replace(dft=_judged(counted, score))
        record = self._record(state, seen, outcomes, errors, signals, sampled + fresh, score)
        rates = self.rates(start, 1 - 1 / len(steps))
        record |= {"dft_learning_rate": rates[0], "experiment_learning_rate": rates[1]}
        if trained is not None:
            record |= {f"train_{name}": value for name, value in trained.items()}
        return Epoch(state, seen, record)

    def after_failure(self, state: TurnsState) -> TurnsState:
        """The state before an epoch that went wrong, with lower learning rates."""
        scale = state.rate_scale * self.exp.section.rollback_factor
        return state._replace(rate_scale=np.asarray(scale), failures=np.asarray(state.failures + 1))

    def _by_experiment(
        self, state: TurnsState, views: Sequence[View], step: Step, bins: Sequence[Bin], rate: float
    ) -> tuple[TurnsState, list[View], list[Signal]]:
        """An update by state points, and by DFT batches together with them where the step is a joint one."""
        chosen = [views[k] for k in step.points]
        completed = dict(zip(step.points, self.exp.viewer.completed(chosen), strict=True))
        seen = [completed.get(k, view) for k, view in enumerate(views)]
        gradient, signals = self.exp.gradient(seen, which=step.points)
        if step.joint:
            weight = self.config.turns().weight or float(state.first[1] / state.first[0])
            dft, sums = self.run.trainer.gradient(state.dft.params, bins)
            count = max(1.0, float(sums.structures))
            gradient = jax.tree.map(lambda e, d: np.asarray(weight * e + np.asarray(d) / count), gradient, dft)
            state = state._replace(dft=state.dft._replace(sums=Sums(*map(np.add, state.dft.sums, sums))))
        gradient = jax.tree.map(lambda leaf: np.asarray(leaf, self.config.model.dtype), gradient)
        size = np.asarray(rate, self.config.model.dtype)
        params, opt_state = self._update(state.dft.params, state.opt_state, gradient, size)
        moved = state.dft._replace(params=params, ema=params, step=state.dft.step + np.int32(1))
        exp = self.exp.used(state.exp, which=step.points)
        return state._replace(dft=moved, exp=exp, opt_state=opt_state), seen, signals

    def _validation(self, params: Params) -> dict[str, float]:
        """Errors on the validation set of the DFT data.

        Raises:
            Diverged: their loss is not finite.
        """
        bins = self.run.build(list(self.run.packer.pack(self.run.split.validation)))
        errors = errors_of(self.run.trainer.measure(params, bins))
        if not np.isfinite(errors["loss"]):
            raise Diverged("the loss on the validation set is not finite")
        return errors

    def _score(self, state: TurnsState, loss: float, validation: float) -> float:
        """What model choice minimises: both losses in units of those at the start."""
        weight = self.exp.section.choice_weight if self.config.strategy == "fused" else 0.0
        return loss / float(state.first[0]) + (weight * validation / float(state.first[1]) if weight else 0.0)

    def _record(
        self,
        state: TurnsState,
        views: Sequence[View],
        outcomes: Sequence[Outcome],
        errors: dict[str, float],
        signals: dict[int, Signal],
        sampled: Sequence[int],
        score: float,
    ) -> dict[str, Any]:
        """A line of the metrics log; observables are those of the parameters after the epoch."""
        points = []
        for k, (view, outcome, goals) in enumerate(zip(views, outcomes, self.exp.goals, strict=True)):
            table = zip(goals.names, outcome.values, outcome.errors, goals.values, strict=True)
            point: dict[str, Any] = {
                "temperature_K": self.exp.experiment.conditions[k].temperature_K,
                "loss": float(outcome.loss),
                "simulated": sampled.count(k),
                "effective_frames": round(self.exp.effective(view, index=k), 1),
                "frames": self.exp.frames * len(view.frames),
            }
            if k in signals:
                point |= {"gradient_norm": signals[k].norm, "signal_to_noise": round(signals[k].to_noise, 2)}
            point["observables"] = {name: [float(v), float(e), float(t)] for name, v, e, t in table}
            points.append(point)
        return {
            "epoch": int(state.dft.epoch),
            "experiment_loss": float(np.mean([outcome.loss for outcome in outcomes])),
            **{f"validation_{name}": value for name, value in errors.items()},
            "score": score,
            "best_epoch": int(state.dft.best_epoch),
            "learning_rate_scale": float(state.rate_scale),
            "points": points,
        }


def _judged(state: TrainState, score: float) -> TrainState:
    """Keep the parameters where they are better than any before."""
    if score < float(state.best_loss):
        zero = np.zeros((), np.int32)
        return state._replace(best_params=state.params, best_loss=np.array(score), best_epoch=state.epoch, stale=zero)
    return state._replace(stale=state.stale + np.int32(1))
