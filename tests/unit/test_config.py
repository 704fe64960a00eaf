"""The training configuration: typed, frozen, and mistakes are named with the nearest key."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from fusepot.errors import ConfigError
from fusepot.training.config import load_config, parse_config

BASE = {"data": {"path": "ti_pbe"}, "training": {"epochs": 3}}
EXAMPLES = Path(__file__).parents[2] / "examples" / "titanium"


@pytest.mark.parametrize(
    ("section", "content", "key", "hint"),
    [
        ("loss", {"energi": 1.0}, "loss.energi", "'energy'"),
        ("optimizer", {"learning_rte": 1.0}, "optimizer.learning_rte", "'learning_rate'"),
        ("model", {"settings": {"cutof": 5.0}}, "model.settings.cutof", "'cutoff'"),
        ("model", {"architecture": "lennard-jones", "settings": {"sigm": 5.0}}, "model.settings.sigm", "'sigma'"),
        ("los", {}, "los", "'loss'"),
        ("model", {"architecture": "lennard-jones", "settings": {"n_blocks": 1}}, "model.settings.n_blocks", ""),
    ],
)
def test_an_unknown_key_names_the_nearest_one(section, content, key, hint):
    with pytest.raises(ConfigError, match="unknown key") as caught:
        parse_config({**BASE, section: content})
    assert caught.value.argument == key
    assert f"Did you mean {hint}?" in str(caught.value) if hint else "mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "content", "key"),
    [
        ("loss", {"energy": -1.0}, "loss.energy"),
        ("loss", {"energy": "much"}, "loss.energy"),
        ("loss", {"energy": float("nan")}, "loss.energy"),
        ("loss", {"energy": 0, "forces": 0, "virial": 0}, "loss"),
        ("loss", {"config_types": {"hcp": -2.0}}, "loss"),
        ("loss", 3, "loss"),
        ("model", {"settings": {"cutoff": -5.0}}, "model.settings.cutoff"),
        ("model", {"settings": {"n_blocks": "x"}}, "model.settings.n_blocks"),
        ("model", {"architecture": "dimenet"}, "model.architecture"),
        ("model", {"dtype": "float16"}, "model.dtype"),
        ("data", {"path": "x", "fractions": [0.5, 0.5, 0.5]}, "data"),
        ("data", {}, "data.path"),
        ("training", {}, "training.epochs"),
        ("training", {"epochs": 2.5}, "training.epochs"),
        ("optimizer", {"schedule": "cosin"}, "optimizer.schedule"),
    ],
)
def test_a_bad_value_names_its_key(section, content, key):
    with pytest.raises(ConfigError) as caught:
        parse_config({**BASE, section: content})
    assert caught.value.argument == key
    assert "expected" in str(caught.value)


def test_defaults_are_the_papers_network_and_nothing_can_be_changed():
    config = parse_config(BASE)
    settings = config.model.settings
    assert (settings.cutoff, settings.n_blocks, settings.embedding_size) == (5.0, 4, 32)
    with pytest.raises(pydantic.ValidationError):
        config.training.epochs = 5


def test_json_round_trip_keeps_everything():
    content = {**BASE, "model": {"architecture": "lennard-jones", "settings": {"sigma": 2.5}, "elements": ["Ti", "Al"]}}
    config = parse_config({**content, "loss": {"config_types": {"hcp": 2.0}}})
    again = parse_config(config.as_json())
    assert again == config
    assert again.fingerprint() == config.fingerprint()


def test_the_fingerprint_follows_what_matters():
    config = parse_config(BASE)
    moved = parse_config({**BASE, "data": {"path": "elsewhere"}})
    longer = parse_config({**BASE, "training": {"epochs": 4}})
    assert moved.fingerprint() == config.fingerprint()
    assert longer.fingerprint() != config.fingerprint()


def test_files(tmp_path):
    path = tmp_path / "c.toml"
    with pytest.raises(ConfigError, match="existing TOML file"):
        load_config(path)
    path.write_text("[data\n")
    with pytest.raises(ConfigError, match="no TOML"):
        load_config(path)
    path.write_text('[data]\npath = "set.extxyz"\n[training]\nepochs = 3\n')
    assert load_config(path).data.path == str(tmp_path / "set.extxyz")
    path.write_text('[data]\npath = "ti_pbe"\n[training]\nepochs = 3\n')
    assert load_config(path).data.path == "ti_pbe"


@pytest.mark.parametrize(
    ("name", "architecture"), [("dft.toml", "nep"), ("dft_dimenetpp.toml", "dimenet++"), ("dft_smoke.toml", "nep")]
)
def test_the_examples_are_sound(name, architecture):
    assert load_config(EXAMPLES / name).model.architecture == architecture


def test_changes_are_toml_and_the_last_one_of_a_key_counts():
    changes = ["experiment.temperatures_K=[323]", "training.seed = 1", "training.seed = 3", 'data.path = "/else/where"']
    plain, changed = (load_config(EXAMPLES / "fused.toml", changes=some) for some in ([], changes))
    assert changed.experiment.temperatures_K == (323.0,)
    assert plain.experiment.temperatures_K != changed.experiment.temperatures_K
    assert changed.training == plain.training.model_copy(update={"seed": 3})
    assert changed.data == plain.data.model_copy(update={"path": "/else/where"})
    assert changed.experiment.sampling == plain.experiment.sampling
    assert changed.start == plain.start


@pytest.mark.parametrize(
    ("change", "argument", "words"),
    [
        ("strategy=dft", "--set", "--set 'strategy=\"dft\"'"),
        ("training.epochs", "--set", "KEY=VALUE"),
        ("training.epoch=3", "training.epoch", "Did you mean 'epochs'?"),
        ("training.epochs=0.5", "training.epochs", "integer"),
        ("training=3", "training", "a table"),
    ],
)
def test_a_change_that_cannot_be_is_refused(change, argument, words):
    with pytest.raises(ConfigError) as caught:
        load_config(EXAMPLES / "dft.toml", changes=[change])
    assert caught.value.argument == argument
    assert words in str(caught.value)
