"""Runs of the trainer: it learns, stops early, keeps the best, continues exactly, and refuses what it must."""

from __future__ import annotations

import json
import os
import signal

import jax
import numpy as np
import pytest

import labelled
from fusepot.data import Dataset, label, load_dataset
from fusepot.errors import ConfigError, TrainingError
from fusepot.potential import predict_many
from fusepot.training.config import TrainConfig, parse_config
from fusepot.training.dft import train
from fusepot.training.interrupt import TrainingInterrupted
from fusepot.training.metrics import read_metrics
from fusepot.training.optimizer import learning_rate
from fusepot.training.run import CHECKPOINT, METRICS
from fusepot.training.sections import OptimizerSection
from fusepot.validation.analysis.parity import evaluate

BASE = {
    "model": {"architecture": "lennard-jones", "settings": {"cutoff": 4.5, "sigma": 2.2}, "dtype": "float64"},
    "data": {"path": "memory", "fractions": (0.7, 0.3, 0.0)},
    "optimizer": {"learning_rate": 0.02, "ema": 0.9, "gradient_clip": 10.0, "warmup_epochs": 1.0},
    "training": {"epochs": 6, "batch_size": 4, "atoms_per_bin": 40, "checkpoint_every": 2},
}


def config(**changes: dict) -> TrainConfig:
    return parse_config({**BASE, **{k: {**BASE.get(k, {}), **v} for k, v in changes.items()}})


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def metrics(folder) -> list[dict]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in read_metrics(folder / METRICS)]


def test_it_finds_the_parameters_that_made_the_labels(tmp_path):
    """The teacher's own architecture, two elements, from wrong parameters: errors fall by orders of magnitude."""
    # Without energies: their references are fitted to the data, and Lennard-Jones has no constant to make up for it.
    settings = config(
        loss={"energy": 0.0},
        optimizer={"learning_rate": 0.05, "ema": None},
        training={"epochs": 120, "checkpoint_every": 60},
    )
    result = train(settings, out=tmp_path, dataset=labelled.dataset())
    log = read_metrics(tmp_path / METRICS)
    assert len(log) == 120
    assert log[-1]["validation_loss"] < 1e-3 * log[0]["validation_loss"]
    assert result.potential.elements == ("Al", "Ti")  # the teacher's are the other way round
    sigma = labelled.teacher().params["sigma"][::-1, ::-1]
    # Only what both orders of a pair of elements sum to is determined.
    found = np.asarray(result.potential.params["sigma"])
    np.testing.assert_allclose(found + found.T, 2 * sigma, rtol=0.02)


def test_resume_gives_the_same_bits(tmp_path):
    data = labelled.dataset()
    whole = train(config(), out=tmp_path / "whole", dataset=data)

    class Stop(Exception):
        pass

    def stop(progress):
        # In the middle of the fourth epoch: the checkpoint is that of epoch 2.
        if progress.epoch == 3 and progress.fraction > 0.4:
            raise Stop

    with pytest.raises(Stop):
        train(config(), out=tmp_path / "parts", dataset=data, observer=stop)
    assert [r["epoch"] for r in metrics(tmp_path / "parts")] == [1, 2, 3]
    continued = train(config(), out=tmp_path / "parts", dataset=data)
    assert (continued.start_epoch, continued.epochs) == (2, 6)
    assert same(continued.potential.params, whole.potential.params)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert (tmp_path / "parts" / CHECKPOINT).read_bytes() == (tmp_path / "whole" / CHECKPOINT).read_bytes()
    # A finished run has nothing left to do; starting over does it all again.
    assert train(config(), out=tmp_path / "parts", dataset=data).start_epoch == 6
    again = train(config(), out=tmp_path / "parts", dataset=data, resume=False)
    assert again.start_epoch == 0
    assert same(again.potential.params, whole.potential.params)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


@pytest.mark.parametrize(
    ("number", "low", "high"),
    [(signal.SIGINT, 0, 0.5), (signal.SIGTERM, 0, 0.5), (signal.SIGTERM, 0.99, 1.01)],
    ids=["SIGINT", "SIGTERM", "after the last batch of an epoch"],
)
def test_a_signal_stops_between_batches_and_nothing_is_lost(tmp_path, number, low, high):
    data = labelled.dataset()
    whole = train(config(), out=tmp_path / "whole", dataset=data)
    before = signal.getsignal(number)

    def interrupt(progress):
        if progress.epoch == 2 and low < progress.fraction < high:
            os.kill(os.getpid(), number)

    with pytest.raises(TrainingInterrupted, match="Run again to continue"):
        train(config(), out=tmp_path / "parts", dataset=data, observer=interrupt)
    assert signal.getsignal(number) == before
    continued = train(config(), out=tmp_path / "parts", dataset=data)
    assert continued.start_epoch == 2
    assert same(continued.potential.params, whole.potential.params)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def test_it_stops_early_and_keeps_the_best(tmp_path):
    settings = config(
        optimizer={"learning_rate": 0.6, "schedule": "constant", "ema": None, "warmup_epochs": 0.0},
        training={"epochs": 60, "patience": 4},
    )
    result = train(settings, out=tmp_path, dataset=labelled.dataset())
    log = read_metrics(tmp_path / METRICS)
    losses = [record["validation_loss"] for record in log]
    best = int(np.argmin(losses)) + 1
    assert result.epochs == len(log) == best + 4 < 60
    assert result.potential.provenance["best_epoch"] == best
    validation = labelled.dataset().select(result.split.validation)
    found = evaluate(result.potential, validation)
    np.testing.assert_allclose(found.forces.rmse, log[best - 1]["validation_forces_rmse_meV_per_A"], rtol=1e-9)
    np.testing.assert_allclose(found.energy.rmse, log[best - 1]["validation_energy_rmse_meV_per_atom"], rtol=1e-9)
    np.testing.assert_allclose(found.virial.rmse, log[best - 1]["validation_virial_rmse_meV_per_atom"], rtol=1e-9)


def test_a_loss_that_is_not_finite_names_the_batch_and_keeps_the_state(tmp_path):
    settings = config(optimizer={"learning_rate": 1e30, "gradient_clip": None, "ema": None})
    with pytest.raises(TrainingError, match=r"epoch 1, batch 2: .*Structures in the batch: \d+ \(\w+\)"):
        train(settings, out=tmp_path, dataset=labelled.dataset())
    assert (tmp_path / CHECKPOINT).exists()
    with pytest.raises(TrainingError, match="batch 2"):  # continues with the batch that broke
        train(settings, out=tmp_path, dataset=labelled.dataset())


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    data = labelled.dataset()
    train(config(training={"epochs": 2}), out=tmp_path, dataset=data)
    with pytest.raises(TrainingError, match="another configuration"):
        train(config(training={"epochs": 3}), out=tmp_path, dataset=data)
    samples = list(data.samples)
    samples[0] = label(samples[0].structure, energy=samples[0].energy + 1e-9)
    with pytest.raises(TrainingError, match="another data set"):
        train(config(training={"epochs": 2}), out=tmp_path, dataset=Dataset(tuple(samples)))


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b[:40], lambda b: b"", lambda b: b"x" * 500])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    settings, path = config(training={"epochs": 1, "checkpoint_every": 1}), tmp_path / CHECKPOINT
    train(settings, out=tmp_path, dataset=labelled.dataset())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrainingError, match="damaged checkpoint"):
        train(settings, out=tmp_path, dataset=labelled.dataset())


def test_nothing_temporary_is_left(tmp_path):
    train(config(), out=tmp_path, dataset=labelled.dataset())
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, METRICS]


def test_weights_by_kind_reach_the_loss(tmp_path):
    data = labelled.dataset()
    plain = train(config(), out=tmp_path / "a", dataset=data)
    heavy = train(config(loss={"config_types": {"alloy": 5.0}}), out=tmp_path / "b", dataset=data)
    assert not same(plain.potential.params, heavy.potential.params)
    with pytest.raises(ConfigError, match=r"loss\.config_types\.aloy"):
        train(config(loss={"config_types": {"aloy": 5.0}}), out=tmp_path / "c", dataset=data)


def test_elements_must_cover_the_data(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.elements.*Al"):
        train(config(model={"elements": ["Ti"]}), out=tmp_path, dataset=labelled.dataset())
    result = train(
        config(model={"elements": ["Al", "Ti", "V"]}, training={"epochs": 1}), out=tmp_path, dataset=labelled.dataset()
    )
    assert result.potential.elements == ("Al", "Ti", "V")


def test_a_network_fits_a_few_real_structures(tmp_path):
    """Float32, DimeNet++ in small, real labels: the errors fall far below the scatter of the labels."""
    titanium = load_dataset("ti_pbe")
    few = [i for i, s in enumerate(titanium.samples) if s.config_type == "hcp_strained"][:8]
    small = {"embedding_size": 12, "output_embedding_size": 16, "type_embedding_size": 4, "n_blocks": 1}
    settings = parse_config(
        {
            "model": {"settings": {**small, "n_residual_after": 0, "n_output_layers": 1, "cutoff": 4.0}},
            "data": {"path": "memory", "fractions": (0.75, 0.25, 0.0)},
            "loss": {"energy": 10.0},
            "optimizer": {"learning_rate": 0.02, "gradient_clip": 1.0},
            "training": {"epochs": 300, "batch_size": 6, "atoms_per_bin": 16, "checkpoint_every": 1000},
        }
    )
    result = train(settings, out=tmp_path, dataset=titanium.select(few))
    log = read_metrics(tmp_path / METRICS)
    assert result.potential.dtype == "float32"
    assert log[-1]["train_loss"] < 0.02 * log[0]["train_loss"]
    forces = np.concatenate([s.forces.ravel() for s in titanium.select(few).select(result.split.train).samples])
    assert log[-1]["train_forces_rmse_meV_per_A"] < 300 * forces.std()


def test_provenance_is_json_and_complete(tmp_path):
    result = train(config(training={"epochs": 1}), out=tmp_path, dataset=labelled.dataset())
    provenance = json.loads(json.dumps(result.potential.provenance))
    assert parse_config(provenance["config"]) == config(training={"epochs": 1})
    assert provenance["data"]["structures"] == {name: len(part) for name, part in result.split._asdict().items()}
    assert provenance["versions"]["jax"] == jax.__version__


def test_learning_rate_schedules():
    def at(progress: float, **options) -> float:
        return learning_rate(
            OptimizerSection(learning_rate=1.0, final_fraction=0.1, **options), epochs=10, progress=progress
        )

    assert at(0.0) == 1.0
    assert at(5.0) == pytest.approx(0.55)
    assert at(10.0) == pytest.approx(0.1)
    assert at(5.0, schedule="exponential") == pytest.approx(10**-0.5)
    assert at(7.3, schedule="constant") == 1.0
    assert at(0.0, warmup_epochs=2.0) == pytest.approx(0.1)
    assert at(1.0, warmup_epochs=2.0) == pytest.approx(0.55)
    assert at(2.0, warmup_epochs=2.0) == pytest.approx(1.0)
    assert at(10.0, warmup_epochs=2.0) == pytest.approx(0.1)


def test_predictions_of_the_result_need_no_training_code(tmp_path):
    """The reference energies in the potential bring the total energy back to the labels' scale."""
    result = train(config(), out=tmp_path, dataset=labelled.dataset())
    samples = [s for s in labelled.dataset().samples if s.has[0]]
    found, _ = predict_many(result.potential, [s.structure for s in samples])
    errors = [abs(p.energy - s.energy) / len(s.structure) for p, s in zip(found, samples, strict=True)]
    assert np.median(errors) < 1.0
