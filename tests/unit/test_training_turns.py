"""Sequential and fused training take turns: who moves what and when, by which gradient and learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import experiments
from experiments import MODES, config, experiment, same
from fusepot.gradient import precision
from fusepot.training.config import TrainConfig
from fusepot.training.loss import no_sums
from fusepot.training.optimizer import learning_rate
from fusepot.training.turns import Epoch, Step, Turns

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.mark.parametrize("size", [None, 1, 2, 7])
@pytest.mark.parametrize("mode", MODES)
def test_every_epoch_uses_every_batch_and_every_state_point_once(tmp_path, mode, size):
    of = experiment((100.0, 150.0, 200.0, 250.0, 300.0))
    one, other = (experiments.turns(config(mode, experiment={"batch_size": size}), tmp_path, of=of) for _ in range(2))
    with precision("float64"):
        state = one.begin(experiments.initial_params())
    for epoch in range(4):
        state = state._replace(dft=state.dft._replace(epoch=np.int32(epoch)))
        steps = one.steps(state)
        assert steps == one.steps(state) == other.steps(state)
        assert sorted(k for step in steps for k in step.points) == [0, 1, 2, 3, 4]
        assert {len(step.points) for step in steps} <= {0, size or 5, 5 % (size or 5) or 5}
        batches = one.run.batches(state.dft)
        done = [k for step in steps for k in step.batches]
        assert done == ([] if mode == "sequential" else list(range(len(batches))))
        members = sorted(i for k in done for group in batches[k] for i in group)
        assert members == ([] if mode == "sequential" else one.run.split.train.tolist())
        assert steps[0].points, "an epoch begins with state points"
        assert all(step.joint == (mode == "joint") for step in steps)
        # How many DFT batches come with, or after, each batch of state points.
        starts = [k for k, step in enumerate(steps) if step.points]
        shares = [sum(len(s.batches) for s in steps[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)]
        if mode == "epoch":
            assert shares == [0] * (len(starts) - 1) + [len(batches)]
            assert all(len(step.batches) == 1 for step in steps[len(starts) :])
        elif mode != "sequential":
            assert sum(shares) == len(batches)
            assert max(shares) - min(shares) <= 1
            assert all(len(step.batches) <= 1 for step in steps) or mode == "joint"


def test_the_order_follows_seeds_and_epoch(tmp_path):
    of = experiment(tuple(float(t) for t in range(100, 700, 50)))

    def orders(**changes: Any) -> list[tuple[list[Step], list[Any]]]:
        turns = experiments.turns(config("batch", **changes), tmp_path, of=of)
        with precision("float64"):
            state = turns.begin(experiments.initial_params())
        states = [state._replace(dft=state.dft._replace(epoch=np.int32(k))) for k in range(3)]
        return [([s for s in turns.steps(state) if s.points], turns.run.batches(state.dft)) for state in states]

    plain = orders(experiment={"batch_size": 2})
    assert len({repr(points) for points, _ in plain}) == len({repr(batches) for _, batches in plain}) == 3
    reseeded = orders(experiment={"batch_size": 2, "seed": 1})
    assert [points for points, _ in reseeded] != [points for points, _ in plain]
    assert [batches for _, batches in reseeded] == [batches for _, batches in plain]
    reseeded = orders(experiment={"batch_size": 2}, training={"seed": 1})
    assert [points for points, _ in reseeded] == [points for points, _ in plain]
    assert [batches for _, batches in reseeded] != [batches for _, batches in plain]


def test_each_trainer_has_its_own_learning_rate(tmp_path):
    settings = config(
        training={"epochs": 77},
        optimizer={"learning_rate": 55.0},
        experiment={"epochs": 10, "optimizer": {"learning_rate": 8e-3, "schedule": "exponential"}},
        fused={"optimizer": {"learning_rate": 1e-3, "schedule": "cosine", "final_fraction": 0.2}},
    )
    turns = experiments.turns(settings, tmp_path)
    with precision("float64"):
        state = turns.begin(experiments.initial_params())
        assert turns.rates(state, 0.0) == pytest.approx((1e-3, 8e-3), rel=1e-6)
        later = state._replace(dft=state.dft._replace(epoch=np.int32(4)))
        middle = turns.rates(later, 0.5)
        assert settings.experiment is not None
        for rate, section in zip(middle, (settings.turns().optimizer, settings.experiment.optimizer), strict=True):
            # Epochs are those of [experiment]: [training] is about the pre-training.
            assert rate == pytest.approx(learning_rate(section, epochs=10, progress=4.5), rel=1e-12)
        lowered = turns.after_failure(turns.after_failure(later))
        assert turns.rates(lowered, 0.5) == pytest.approx(tuple(rate / 4 for rate in middle), rel=1e-12)


def begun(settings: TrainConfig, out: Path) -> tuple[Turns, Epoch]:
    """A training after its first look at the state points."""
    turns = experiments.turns(settings, out)
    return turns, turns.first_look(turns.begin(experiments.initial_params()))


def test_the_optimisers_are_kept_apart(tmp_path, monkeypatch):
    with precision("float64"):
        turns, first = begun(config("epoch"), tmp_path)
        count = len(turns.run.batches(first.state.dft))
        for steps in (
            [Step(points=(0, 1, 2))],
            [Step(batches=(k,)) for k in range(count)],
            [Step((0, 1), (0, 2), True)],
        ):
            monkeypatch.setattr(Turns, "steps", lambda self, state, steps=steps: list(steps))
            after = turns.epoch(first.state, first.views).state
            assert not same(after.dft.params, first.state.dft.params)
            by_experiment = bool(steps[0].points)
            assert same(after.dft.opt_state, first.state.dft.opt_state) == by_experiment
            assert same(after.opt_state, first.state.opt_state) != by_experiment
        # Updates by DFT batches are those of the DFT trainer alone, bit by bit.
        monkeypatch.setattr(Turns, "steps", lambda self, state: [Step(batches=(k,)) for k in range(count)])
        after = turns.epoch(first.state, first.views).state
        alone = first.state.dft
        for k, batch in enumerate(turns.run.batches(alone)):
            rate = turns.rates(first.state, k / count)[0]
            alone = turns.run.trainer.step(alone, turns.run.build(batch), rate)
        assert same((after.dft.params, after.dft.opt_state), (alone.params, alone.opt_state))
        assert same(after.dft.sums, no_sums("float64"))
        assert (int(after.dft.epoch), int(after.dft.batch)) == (1, 0)


@pytest.mark.parametrize(("mode", "weight"), [("epoch", None), ("joint", None), ("joint", 3.0)])
def test_the_gradient_of_an_update_is_that_of_the_documented_loss(tmp_path, monkeypatch, mode, weight):
    """By finite differences of reweighted losses at all state points and of the mean loss on DFT data."""
    fused = {} if weight is None else {"fused": {"weight": weight}}
    with precision("float64"):
        turns, first = begun(config(mode, **fused, experiment={"batch_size": 2}), tmp_path)
        batches = turns.run.batches(first.state.dft)
        bins = turns.run.build([group for batch in batches for group in batch])
        step = Step(tuple(range(len(batches))) if mode == "joint" else (), (0, 2), joint=mode == "joint")
        monkeypatch.setattr(Turns, "steps", lambda self, state: [step])
        after = turns.epoch(first.state, first.views).state
        adam = after.opt_state[0]
        beta = 0.9
        found = adam.mu["sigma"][0, 0] / (1 - beta), adam.mu["epsilon"][0, 1] / (1 - beta)

        def losses(name: str, where: tuple[int, int], change: float) -> tuple[float, float]:
            params = jax.tree.map(np.array, first.state.dft.params)
            params[name][where] += change
            _, views = turns.exp.look(first.state.exp, params, [])
            outcomes = turns.exp.outcomes(views)[1]
            sums = turns.run.trainer.measure(params, bins)
            return float(np.mean([outcomes[k].loss for k in (0, 2)])), float(sums.loss / sums.structures)

        expected = []
        for name, where in (("sigma", (0, 0)), ("epsilon", (0, 1))):
            h = 1e-5
            up, down = losses(name, where, h), losses(name, where, -h)
            by_experiment, by_labels = ((a - b) / (2 * h) for a, b in zip(up, down, strict=True))
            if mode == "joint":
                # If not given, both losses weigh the same at the start.
                factor = weight or first.record["validation_loss"] / first.record["experiment_loss"]
                expected.append(factor * by_experiment + by_labels)
            else:
                expected.append(by_experiment)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
