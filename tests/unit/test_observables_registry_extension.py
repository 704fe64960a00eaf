"""A new observable is one file: the one that examples/copper/README.md shows is found, named in a file, trained on."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import experiments
from fusepot.data import load_experiment
from fusepot.errors import InputError
from fusepot.observables import Observable, find_observable, registered, registry
from fusepot.training.difftre import goals_of

COPPER = Path(__file__).parents[2] / "examples" / "copper"
NAME = "zener_ratio"
CONSTANTS = ("C11_adiabatic", "C12_adiabatic", "C44_adiabatic")


def block(language: str) -> str:
    """The README's block about the new observable."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", (COPPER / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return text


@pytest.fixture
def dropped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules count as files of the package, and a registry that is collected anew."""
    folder = tmp_path / "registered"
    folder.mkdir()
    monkeypatch.setattr(registered, "__path__", [*registered.__path__, str(folder)])
    before = set(sys.modules)
    yield folder
    for module in set(sys.modules) - before:
        if module.startswith(f"{registered.__name__}."):
            del sys.modules[module]


def collect(monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.invalidate_caches()
    monkeypatch.setattr(registry, "OBSERVABLES", registry._collect())


def test_a_module_is_found_by_its_observables_names(dropped_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=NAME):
        find_observable(NAME, symmetry="cubic")
    known = set(registry.OBSERVABLES)
    (dropped_in / f"{NAME}.py").write_text(block("python"))
    collect(monkeypatch)
    assert set(registry.OBSERVABLES) == known | {f"cubic.{NAME}"}
    found = find_observable(NAME, symmetry="cubic")
    assert isinstance(found, Observable)
    with pytest.raises(InputError, match="give a symmetry"):
        find_observable(NAME)


def test_a_name_is_used_once(dropped_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (dropped_in / "mine.py").write_text(block("python").replace(f"cubic.{NAME}", "pressure"))
    with pytest.raises(InputError, match="a second pressure"):
        collect(monkeypatch)


def test_an_experiment_file_names_it(dropped_in: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (dropped_in / f"{NAME}.py").write_text(block("python"))
    collect(monkeypatch)
    path = tmp_path / "experiment.toml"
    path.write_text((COPPER / "experiment.toml").read_text() + "\n" + block("toml"))
    experiment = load_experiment(path)
    (condition,) = experiment.conditions
    goals = goals_of(condition, experiment.symmetry)
    values = dict(zip(goals.names, goals.values, strict=True))
    c11, c12, c44 = (values[name] for name in CONSTANTS)
    assert values[NAME] == pytest.approx(2 * c44 / (c11 - c12), abs=0.005), "the value that the README states"


def test_it_is_trained_on(dropped_in: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (dropped_in / f"{NAME}.py").write_text(block("python"))
    collect(monkeypatch)
    # The constants are there to be compared with; next to nothing is their weight.
    others = [experiments.target(name, 100.0, weight=1e-12) for name in CONSTANTS]

    def run(name: str, value: float, epochs: int) -> list[dict[str, list[float]]]:
        wanted = experiments.target(NAME, value, weight=100.0, unit="1")
        experiment = experiments.experiment((250.0,), (wanted, *others), symmetry="cubic")
        experiments.run(
            experiments.config("sequential", experiment={"epochs": epochs}), tmp_path / name, experiment=experiment
        )
        return [record["points"][0]["observables"] for record in experiments.epochs(tmp_path / name)]

    with experiments.shared_compilation():
        start = run("look", 3.0, 1)[0]
        value, error, _ = start[NAME]
        goal = value + 5 * error
        found = [point[NAME][0] for point in run("train", goal, 5)]
    c11, c12, c44 = (start[name][0] for name in CONSTANTS)
    # Bias is taken out of each observable by itself, hence not exactly.
    assert value == pytest.approx(2 * c44 / (c11 - c12), abs=2 * error)
    assert found[0] == pytest.approx(value)
    assert abs(found[-1] - goal) < 0.5 * abs(found[0] - goal), found
    assert np.isfinite(found).all()
