"""``fusepot keys``: what it prints is what the readers of the files accept."""

from __future__ import annotations

import re
import tomllib

import pytest
from typer.testing import CliRunner

from fusepot.cli.commands import app
from fusepot.errors import ConfigError
from fusepot.models import ARCHITECTURES
from fusepot.toml_files import parse_section
from fusepot.training.config import parse_config
from fusepot.validation.plan import ValidationSection


def printed(kind: str) -> str:
    result = CliRunner().invoke(app, ["keys", kind], env={"COLUMNS": "60"})
    assert result.exit_code == 0, result.output
    return result.output


def filled(text: str) -> dict:
    """The printed file with what is required filled in."""
    required = r'^(\w+) = \.\.\.( +# required: )(\d times )?(list of )?([\w"]+).*'
    return tomllib.loads(re.sub(required, example, text, flags=re.M))


def example(match: re.Match) -> str:
    key, _, times, many, word = match.groups()
    value = {"number": "3.5", "integer": "3", "text": '"Ti"'}.get(word, word)
    if many or times:
        value = f"[{', '.join([value, '4.5' if word == 'number' else value][: int(times[0]) if times else 2])}]"
    return f"{key} = {value}"


def test_what_is_printed_for_training_is_a_configuration_of_defaults():
    text, *settings = printed("train").split("\n\n# With architecture = ")
    content = filled(text)
    plain = parse_config({**content, "fused": None})
    least = {"data": {"path": "Ti"}, "training": {"epochs": 3}, "experiment": {"path": "Ti", "epochs": 3}}
    assert plain == parse_config(least)
    assert content["fused"]["alternate"] == "epoch"
    assert [one.split('"')[1] for one in settings] == list(ARCHITECTURES)
    for name, architecture in ARCHITECTURES.items():
        mine = next(one for one in settings if one.startswith(f'"{name}"'))
        own = filled(mine.partition("\n")[2])["model"]["settings"]
        assert set(own) == set(architecture.config.model_fields)
        optional = {key for key, field in architecture.config.model_fields.items() if field.default is None}
        assert architecture.config(**{k: v for k, v in own.items() if k not in optional}) == architecture.config()


def test_what_is_printed_for_a_validation_is_one():
    content = filled(printed("validation"))
    plan = parse_section(content, ValidationSection)
    assert set(content) == set(ValidationSection.model_fields)
    assert plan.lattice[0].pressures_GPa == (0.0,)
    assert plan.liquid[0].first_peak.g == 3.5


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("train", r"\[experiment\.reuse\]\n# How long trajectories serve"),
        ("train", r"effective_fraction = 0\.8 +# number above 0 and below 1; simulate when"),
        ("train", r"# gradient_clip = \.\.\. +# number above 0; largest global norm"),
        ("experiment", r"\[\[targets\]\]\n"),
        ("experiment", r'# prototype = \.\.\. +# "hcp" or "fcc" or "bcc"'),
        ("experiment", r"# lattice = \.\.\. +# text; table with a"),
        ("experiment", r"\[crystal\.lattice\]\n"),
    ],
)
def test_lines(kind, line):
    assert re.search(f"^{line}", printed(kind), flags=re.M)


def test_a_key_that_is_not_printed_is_unknown():
    content = filled(printed("validation"))
    with pytest.raises(ConfigError, match="unknown key"):
        parse_section({**content, "kinetics": {}}, ValidationSection)
