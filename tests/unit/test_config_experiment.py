"""Configurations of sequential and fused training: what is refused, and what paths mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments import merged
from fusepot.data import load_experiment
from fusepot.errors import ConfigError
from fusepot.potential_file import load_potential
from fusepot.training.config import load_config, parse_config
from fusepot.training.difftre import goals_of
from fusepot.training.experiment_sections import ExperimentSection, FusedSection, ReuseSection, SamplingSection
from fusepot.training.fused import of_potential

ROOT = Path(__file__).parents[2]
TITANIUM = ROOT / "examples" / "titanium"
BASE: dict[str, Any] = {
    "strategy": "fused",
    "data": {"path": "ti_pbe"},
    "training": {"epochs": 3},
    "experiment": {"path": "experiment.toml", "epochs": 4},
}


def parse(**changes: Any):
    return parse_config(merged(BASE, changes))


def refused(**changes: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(**changes)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "key", "hint"),
    [
        ({"experiment": {"sampling": {"timestep": 2.0}}}, "experiment.sampling.timestep", "'timestep_fs'"),
        ({"experiment": {"sampling": {"relaxtion": 2}}}, "experiment.sampling.relaxtion", "'relaxation'"),
        ({"experiment": {"reuse": {"methods": "mbar"}}}, "experiment.reuse.methods", "'method'"),
        ({"experiment": {"optimizer": {"learning_rte": 1}}}, "experiment.optimizer.learning_rte", "'learning_rate'"),
        ({"experiment": {"temperature_K": [300]}}, "experiment.temperature_K", "'temperatures_K'"),
        ({"experiment": {"rollback": 3}}, "experiment.rollback", "'rollbacks'"),
        ({"fused": {"alternat": "epoch"}}, "fused.alternat", "'alternate'"),
        ({"fused": {"optimizer": {"schedul": "cosine"}}}, "fused.optimizer.schedul", "'schedule'"),
        ({"experimnt": {}}, "experimnt", "'experiment'"),
        ({"strateg": "dft"}, "strateg", "'strategy'"),
        ({"star": "x"}, "star", "'start'"),
        ({"experiment": {"sampling": {"zzz": 1}}}, "experiment.sampling.zzz", ""),
    ],
)
def test_an_unknown_key_names_the_nearest_one(changes, key, hint):
    error = refused(**changes)
    assert error.argument == key
    assert "unknown key" in str(error)
    assert f"Did you mean {hint}?" in str(error) if hint else "mean" not in str(error)


@pytest.mark.parametrize("strategy", ["dft", "sequential"])
def test_tables_that_a_strategy_does_not_use_are_checked_too(strategy):
    assert refused(strategy=strategy, fused={"weigth": 1.0}).argument == "fused.weigth"
    assert refused(strategy=strategy, experiment={"epoch": 1}).argument == "experiment.epoch"


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"strategy": "both"}, "strategy", "'dft', 'sequential' or 'fused'"),
        ({"strategy": 3}, "strategy", "'dft'"),
        ({"start": 3}, "start", "string"),
        ({"experiment": None}, "", "a table [experiment] for strategy = 'fused'"),
        ({"experiment": None, "strategy": "sequential"}, "", "a table [experiment] for strategy = 'sequential'"),
        ({"strategy": "dft", "start": "x.fusepot"}, "", 'start only with strategy = "sequential" or "fused"'),
        ({"experiment": 3}, "experiment", "a table [experiment]"),
        ({"experiment": {"sampling": 3}}, "experiment.sampling", "a table"),
        ({"fused": "joint"}, "fused", "a table [fused]"),
        ({"experiment": {"epochs": 0}}, "experiment.epochs", "greater than 0"),
        ({"experiment": {"epochs": 1.5}}, "experiment.epochs", "integer"),
        ({"experiment": {"batch_size": 0}}, "experiment.batch_size", "greater than 0"),
        ({"experiment": {"blocks": 1}}, "experiment.blocks", "greater than 1"),
        ({"experiment": {"rollback_factor": 1.0}}, "experiment.rollback_factor", "less than 1"),
        ({"experiment": {"rollback_factor": 0.0}}, "experiment.rollback_factor", "greater than 0"),
        ({"experiment": {"rollbacks": -1}}, "experiment.rollbacks", "greater than or equal to 0"),
        ({"experiment": {"choice": "first"}}, "experiment.choice", "'best' or 'last'"),
        ({"experiment": {"choice_weight": -0.1}}, "experiment.choice_weight", "greater than or equal to 0"),
        ({"experiment": {"choice_weight": float("nan")}}, "experiment.choice_weight", "finite"),
        ({"experiment": {"temperatures_K": 300}}, "experiment.temperatures_K", "tuple"),
        ({"experiment": {"temperatures_K": ["hot"]}}, "experiment.temperatures_K[0]", "number"),
        ({"experiment": {"sampling": {"timestep_fs": 0}}}, "experiment.sampling.timestep_fs", "greater than 0"),
        ({"experiment": {"sampling": {"friction_per_ps": -1}}}, "experiment.sampling.friction_per_ps", "greater than"),
        ({"experiment": {"sampling": {"replicas": 0}}}, "experiment.sampling.replicas", "greater than 0"),
        ({"experiment": {"reuse": {"method": "always"}}}, "experiment.reuse.method", "'reweight'"),
        ({"experiment": {"reuse": {"effective_fraction": 1.0}}}, "experiment.reuse.effective_fraction", "less than 1"),
        ({"experiment": {"reuse": {"memory": 1}}}, "experiment.reuse.memory", "greater than 1"),
        ({"experiment": {"optimizer": {"learning_rate": 0}}}, "experiment.optimizer.learning_rate", "greater than 0"),
        ({"fused": {"alternate": "step"}}, "fused.alternate", "'epoch', 'batch' or 'joint'"),
        ({"fused": {"weight": 0}}, "fused.weight", "greater than 0"),
        ({"fused": {"optimizer": {"beta1": 1.0}}}, "fused.optimizer.beta1", "less than 1"),
    ],
)
def test_a_bad_value_names_its_key(changes, key, words):
    error = refused(**changes)
    assert error.argument == key
    assert words in str(error), str(error)
    assert "\n" not in str(error)


def test_an_experiment_needs_a_path_and_epochs():
    content = {name: value for name, value in BASE.items() if name != "experiment"}
    for given, key in (({"epochs": 1}, "experiment.path"), ({"path": "x"}, "experiment.epochs")):
        with pytest.raises(ConfigError) as caught:
            parse_config({**content, "experiment": given})
        assert caught.value.argument == key


@pytest.mark.parametrize("name", ["equilibration", "relaxation", "steps"])
def test_lengths_are_multiples_of_the_sampling_interval(name):
    error = refused(experiment={"sampling": {name: 51, "sample_every": 50}})
    assert error.argument == "experiment.sampling"
    assert "multiples of 50" in str(error)
    parse(experiment={"sampling": {"equilibration": 0, "relaxation": 0}})


@pytest.mark.parametrize(
    ("steps", "replicas", "blocks", "born_every", "good"),
    [
        (1000, 1, 10, 10, True),
        (990, 1, 10, 10, False),
        (990, 1, 11, 9, True),
        (500, 1, 10, 10, False),
        (500, 2, 10, 10, True),
        (250, 3, 5, 20, False),
        (250, 4, 5, 20, True),
    ],
)
def test_frames_divide_into_blocks_that_all_have_born_terms(steps, replicas, blocks, born_every, good):
    """All replicas together: a block may span two of them."""
    sampling = {"steps": steps, "sample_every": 10, "replicas": replicas, "equilibration": 0, "relaxation": 0}
    section = {"blocks": blocks, "born_every": born_every, "sampling": sampling}
    if good:
        found = parse(experiment=section).experiment
        assert found is not None
        assert found.sampling.frames == steps // 10
        return
    error = refused(experiment=section)
    assert error.argument == "experiment"
    assert f"blocks * born_every = {blocks * born_every} frames" in str(error)


@pytest.mark.parametrize("where", ["experiment", "fused"])
def test_running_averages_are_refused_where_two_trainers_move_the_parameters(where):
    error = refused(**{where: {"optimizer": {"ema": 0.99}}})
    assert error.argument == where
    assert "without ema" in str(error)
    # The DFT pre-training may have one.
    assert parse(optimizer={"ema": 0.99}).pretraining().optimizer.ema == 0.99


def test_defaults_fit_together():
    section = ExperimentSection(path="x", epochs=1)
    assert section.sampling.frames % (section.blocks * section.born_every) == 0
    assert ReuseSection(method="mbar", memory=4).kept == 4
    assert ReuseSection(method="reweight", memory=4).kept == ReuseSection(method="never").kept == 1
    assert SamplingSection().frames == 700
    assert parse().turns() == FusedSection()
    assert parse(fused={"alternate": "joint"}).turns().alternate == "joint"


# ------------------------------------------------------------------------------------------------------------ as files


def test_paths_are_relative_to_the_configuration(tmp_path, monkeypatch):
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    text = '[data]\npath = "set.extxyz"\n[training]\nepochs = 3\n[experiment]\npath = "{}"\nepochs = 4\n'
    head = 'strategy = "fused"\nstart = "{}"\n'
    (folder / "c.toml").write_text(head.format("../a.fusepot") + text.format("e.toml"))
    monkeypatch.chdir(tmp_path)
    config = load_config("deep/down/c.toml")
    assert config.experiment is not None
    assert Path(config.data.path).resolve() == folder / "set.extxyz"
    assert Path(config.experiment.path).resolve() == folder / "e.toml"
    assert Path(str(config.start)).resolve() == tmp_path / "deep" / "a.fusepot"
    (folder / "c.toml").write_text(head.format("/there/a.fusepot") + text.format("/there/e.toml"))
    config = load_config("deep/down/c.toml")
    assert config.experiment is not None
    assert (config.start, config.experiment.path) == ("/there/a.fusepot", "/there/e.toml")
    # What the file does not say stays unsaid: a potential to start from brings its own model.
    assert "model" not in config.model_fields_set


def test_mistakes_in_a_file_are_named_like_those_in_memory(tmp_path):
    path = tmp_path / "c.toml"
    head = '[data]\npath = "x"\n[training]\nepochs = 3\n'
    path.write_text(head + '[experiment]\npath = "e"\nepochs = 4\n[experiment.sampling]\ntimestep = 3\n')
    with pytest.raises(ConfigError, match=r"experiment\.sampling\.timestep: .*Did you mean 'timestep_fs'"):
        load_config(path)
    path.write_text('strategy = "fused"\n' + head)
    with pytest.raises(ConfigError, match=r"\[experiment\]"):
        load_config(path)


@pytest.mark.parametrize("name", ["fused.toml", "sequential.toml"])
def test_the_examples_are_sound(name):
    """They begin with a potential that is there, and their targets are observables in the right units."""
    config = load_config(TITANIUM / name)
    assert config.strategy == name.removesuffix(".toml")
    assert config.experiment is not None
    experiment = load_experiment(config.experiment.path)
    for condition in experiment.conditions:
        assert len(goals_of(condition, experiment.symmetry).observables) == len(condition.targets)
    start = load_potential(str(config.start))
    assert of_potential(config, start).model.architecture == start.architecture
