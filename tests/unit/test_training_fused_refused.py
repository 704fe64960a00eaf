"""Configurations, potentials, experiments and checkpoints that sequential and fused training refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import experiments
import labelled
import potentials
import structures
from experiments import config, experiment, target
from fusepot.data import Dataset
from fusepot.errors import ConfigError, InputError, TrainingError
from fusepot.training.config import TrainConfig, parse_config
from fusepot.training.run import CHECKPOINT, METRICS

pytestmark = pytest.mark.usefixtures("compiled_once")


def test_a_dft_configuration_is_not_for_this_trainer(tmp_path):
    plain = parse_config({**experiments.BASE, "strategy": "dft"})
    with pytest.raises(ConfigError, match="strategy: got dft, expected sequential or fused"):
        experiments.run(plain, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "model",
    [
        {"architecture": "nep"},
        {"architecture": "lennard-jones", "settings": {"cutoff": 5.0}, "dtype": "float64"},
        {"architecture": "lennard-jones", "settings": {"cutoff": 4.5}, "dtype": "float32"},
        {"architecture": "lennard-jones", "settings": {"cutoff": 4.5}, "dtype": "float64", "elements": ["Al", "Ti"]},
    ],
)
def test_another_model_than_that_of_the_potential_is_refused(tmp_path, model):
    with pytest.raises(ConfigError, match=r"model: got .* Leave \[model\] out") as caught:
        experiments.run(config(model=model), tmp_path / "out")
    assert caught.value.argument == "model"
    assert not (tmp_path / "out").exists()


def test_committees_unknown_elements_and_wrong_units_are_refused(tmp_path):
    from fusepot.committee import join

    single = experiments.initial()
    committee = join([single, labelled.teacher()], names=["a", "b"])
    with pytest.raises(ConfigError, match="start: got a committee of 2, expected a single potential"):
        experiments.run(config(), tmp_path, start=committee)
    with pytest.raises(ConfigError, match="occur in the data"):
        experiments.run(config(), tmp_path, start=potentials.lennard_jones(("Ti",), cutoff=4.5))
    # The data are of titanium, the crystal is of aluminium.
    foreign = experiment()
    crystals = [replace(c, structure=structures.fcc((2, 2, 1))) for c in foreign.conditions]
    with pytest.raises(InputError, match="element Al") as caught:
        experiments.run(
            config(),
            tmp_path,
            start=potentials.lennard_jones(("Ti",), cutoff=4.5),
            dataset=experiments.dataset().select(range(6, 10)),
            experiment=replace(foreign, conditions=tuple(crystals)),
        )
    assert not isinstance(caught.value, ConfigError)
    with pytest.raises(InputError, match="unit of pressure: got bar, expected GPa"):
        experiments.run(config(), tmp_path, experiment=experiment(targets=(target("pressure", 1.0, unit="bar"),)))
    with pytest.raises(InputError, match=r"presure.*Did you mean pressure"):
        experiments.run(config(), tmp_path, experiment=experiment(targets=(target("presure", 1.0),)))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    settings = config(experiment={"epochs": 1})
    experiments.run(settings, tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes(), (tmp_path / METRICS).read_bytes()
    start = experiments.initial()
    others: list[tuple[str, TrainConfig, dict[str, Any]]] = [
        ("configuration", config(experiment={"epochs": 2}), {}),
        ("configuration", config("batch", experiment={"epochs": 1}), {}),
        ("experiment", settings, {"experiment": experiment(targets=(target("pressure", 14.5),))}),
        ("initial potential", settings, {"start": labelled.teacher()}),
        ("initial potential", settings, {"start": replace(start, reference_energies=(-1.0, -1.25))}),
        ("data set", settings, {"dataset": Dataset(experiments.dataset().samples[:-1])}),
    ]
    for what, other, changes in others:
        with pytest.raises(TrainingError, match=f"another {what}"):
            experiments.run(other, tmp_path, **changes)
        assert ((tmp_path / CHECKPOINT).read_bytes(), (tmp_path / METRICS).read_bytes()) == before
    assert experiments.run(settings, tmp_path).start_epoch == 1
    # A checkpoint of the DFT trainer in the same folder is none of this one.
    assert experiments.run(config(experiment={"epochs": 2}), tmp_path, resume=False).start_epoch == 0
