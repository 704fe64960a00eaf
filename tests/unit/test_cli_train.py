"""``fusepot train`` with an experiment: both stages, what it says, and mistakes as one line."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import experiments
import potentials
from experiments import same
from fusepot.cli import output
from fusepot.committee import join
from fusepot.potential import Potential
from fusepot.potential_file import load_potential, save_potential
from fusepot.training.run import CHECKPOINT, METRICS, Progress

pytestmark = pytest.mark.usefixtures("compiled_once")

POTENTIAL = "potential.fusepot"
START = {"start": 'start = "start.fusepot"', "epochs": 2}


def initial() -> Potential:
    """What training may start from, as the DFT trainer would leave it here: so that nothing is compiled twice."""
    start = experiments.initial()
    return replace(
        start,
        config=type(start.config)(cutoff=4.5, sigma=2.2),
        elements=start.elements[::-1],
        reference_energies=start.reference_energies[::-1],
        params={name: leaf[::-1, ::-1] for name, leaf in start.params.items()},
    )


def epochs_of(folder: Path) -> list[int]:
    return [line["epoch"] for line in experiments.epochs(folder)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_both_stages_and_both_again(run, tmp_path):
    experiments.write_files(tmp_path, more=experiments.MODEL_TOML, epochs=2)
    out = tmp_path / "fused-run"
    code, stdout, stderr = run("train", "fused.toml")
    assert (code, "Traceback" in stderr) == (0, False), stderr
    labels, whole = stdout.split("Saved fused-run/dft/potential.fusepot")
    assert "Errors after 2 epochs" in labels
    assert "Observables" not in labels
    for word in ("Errors after 2 epochs", "Saved fused-run/potential.fusepot", "Observables of epoch", "pressure", "%"):
        assert word in whole
    assert [line.split(":")[0] for line in stderr.splitlines()] == [
        "training on labels, epoch 1 of 2",
        "training on labels, epoch 2 of 2",
        "training on experiment, epoch 0 of 2",
        "training on experiment, epoch 1 of 2",
        "training on experiment, epoch 2 of 2",
    ]
    assert sorted(contents(out)) == [
        CHECKPOINT,
        f"dft/{CHECKPOINT}",
        f"dft/{METRICS}",
        f"dft/{POTENTIAL}",
        METRICS,
        POTENTIAL,
    ]
    first, second = load_potential(out / "dft" / POTENTIAL), load_potential(out / POTENTIAL)
    for potential in (first, second):
        assert set(potential.provenance["test_errors"]) == {"energy", "forces", "stress", "virial"}
        assert set(potential.provenance["errors"]) == {"train", "validation", "test"}
    assert first.provenance["trainer"] == "dft"
    assert first.provenance["config"]["experiment"] is None
    assert second.provenance["trainer"] == "fused"
    assert second.provenance["start"] == first.provenance
    assert second.provenance["errors"] != first.provenance["errors"]
    assert second.reference_energies == first.reference_energies

    before = contents(out)
    code, stdout, stderr = run("train", "fused.toml")
    assert (code, stderr) == (0, "")
    assert stdout.splitlines() == [
        "Already finished after 2 epochs: fused-run/dft/potential.fusepot",
        "Already finished after 2 epochs: fused-run/potential.fusepot",
    ]
    assert contents(out) == before

    # Without data the test set of the training is found again.
    code, stdout, _ = run("evaluate", "fused-run/potential.fusepot")
    assert code == 0
    assert "test set of set.extxyz" in stdout

    # A potential that is not this training's is replaced: gone, or left from an earlier one.
    for change in (None, (out / "dft" / POTENTIAL).read_bytes()):
        (out / POTENTIAL).unlink()
        if change is not None:
            (out / POTENTIAL).write_bytes(change)
        code, stdout, _ = run("train", "fused.toml")
        assert code == 0
        assert "Already finished after 2 epochs: fused-run/dft/potential.fusepot" in stdout
        assert "Saved fused-run/potential.fusepot" in stdout
        assert "Observables of epoch" in stdout
        again = load_potential(out / POTENTIAL)
        assert same(again.params, second.params)
        assert again.provenance == second.provenance

    # Another experiment: the pre-training serves, the rest is another training and says so.
    experiments.write_files(tmp_path, more=experiments.MODEL_TOML, epochs=3)
    code, stdout, stderr = run("train", "fused.toml")
    assert (code, stdout.count("\n"), stderr.count("\n")) == (2, 1, 1)
    assert "Already finished after 2 epochs: fused-run/dft/potential.fusepot" in stdout
    assert f"fused-run/{CHECKPOINT}: this checkpoint was made with another configuration" in stderr
    assert "--no-resume" in stderr
    shutil.copytree(out / "dft", tmp_path / "other" / "dft")
    code, stdout, _ = run("train", "fused.toml", "--out", "other")
    assert (code, "Already finished after 2 epochs: other/dft/potential.fusepot" in stdout) == (0, True)
    assert epochs_of(tmp_path / "other") == [0, 1, 2, 3]

    # Starting over does both stages again, to the same end.
    experiments.write_files(tmp_path, more=experiments.MODEL_TOML, epochs=2)
    code, stdout, _ = run("train", "fused.toml", "--no-resume")
    assert (code, "Already" in stdout) == (0, False)
    assert same(load_potential(out / POTENTIAL).params, second.params)


def test_from_a_potential_with_another_seed(run, tmp_path, monkeypatch):
    """The file of the potential brings [model]; paths are those of the configuration's folder."""
    folder = tmp_path / "deep"
    folder.mkdir()
    experiments.write_files(folder, **START)
    save_potential(replace(initial(), provenance={"who": "me"}), folder / "start.fusepot")
    found = {}
    for seed in ("0", "1"):
        code, _, stderr = run("train", "deep/fused.toml", "--seed", seed)
        assert code == 0, stderr
        out = tmp_path / f"fused-seed{seed}-run"
        assert "training on labels" not in stderr
        assert not (out / "dft").exists()
        found[seed] = load_potential(out / POTENTIAL)
        assert found[seed].provenance["config"]["training"]["seed"] == int(seed)
        assert found[seed].provenance["start"] == {"who": "me"}
        assert found[seed].dtype == "float64"
    assert not same(found["0"].params, found["1"].params)
    assert run("train", "deep/fused.toml", "--out", "plain")[0] == 0
    plain = load_potential(tmp_path / "plain" / POTENTIAL)
    assert same(plain.params, found["0"].params)
    assert run("train", "deep/fused.toml", "--set", "training.seed=1", "--out", "set")[0] == 0
    assert same(load_potential(tmp_path / "set" / POTENTIAL).params, found["1"].params)
    assert plain.provenance == found["0"].provenance
    code, _, stderr = run("train", "deep/fused.toml", "--seed", "-1")
    assert (code, stderr) == (2, "training.seed: got -1, expected greater than or equal to 0.\n")


NEP = '[model]\narchitecture = "nep"\n'
SHORTER = experiments.MODEL_TOML.replace("4.5", "4.0")


@pytest.mark.parametrize(
    ("start", "more", "message"),
    [
        ("committee", "", "start: got a committee of 2, expected a single potential."),
        ("single", NEP, "model: got nep with other settings than the potential to start from, expected those of that"),
        ("single", SHORTER, "model: got lennard-jones with other settings than the potential to start from"),
        ("titanium", "", "model.elements: got ['Ti'], expected ['Al'] as well: they occur in the data"),
        ("nothing", "", "start.fusepot: does not exist"),
        ("garbage", "", "start.fusepot: "),
        ("single", "[experiment.samplin]\n", "experiment.samplin: got an unknown key"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run, tmp_path, start, more, message):
    single, path = initial(), tmp_path / "start.fusepot"
    experiments.write_files(tmp_path, **START, more=more)
    if start == "garbage":
        path.write_bytes(b"not a potential")
    elif start != "nothing":
        made = {
            "committee": lambda: join(
                [single, replace(single, params={**single.params, "sigma": 1.01 * single.params["sigma"]})],
                names=["a", "b"],
            ),
            "single": lambda: single,
        }
        save_potential(made.get(start, lambda: potentials.lennard_jones(("Ti",), cutoff=4.5))(), path)
    code, stdout, stderr = run("train", "fused.toml")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1), stderr
    assert message in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "fused-run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "experiment: got experiment.toml, expected an existing TOML file"),
        ("temperatures_K = [150]\n[crystl]\n", "experiment.toml: crystl: got an unknown key"),
        (experiments.EXPERIMENT_TOML.replace('"pressure"', '"presure"'), "Did you mean pressure?"),
        (experiments.EXPERIMENT_TOML.replace('"GPa"', '"bar"'), "unit of pressure: got bar, expected GPa"),
        (experiments.EXPERIMENT_TOML.replace('"Ti"', '"Cu"'), "element Cu"),
    ],
)
def test_mistakes_in_the_experiment_are_found_before_anything_is_simulated(run, tmp_path, text, message):
    experiments.write_files(tmp_path, **START)
    save_potential(initial(), tmp_path / "start.fusepot")
    (tmp_path / "experiment.toml").unlink()
    if text is not None:
        (tmp_path / "experiment.toml").write_text(text)
    code, stdout, stderr = run("train", "fused.toml")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1), stderr
    assert message in stderr


def test_a_potential_that_cannot_be_written_is_written_the_next_time(run, tmp_path, monkeypatch):
    experiments.write_files(tmp_path, **START, strategy="sequential")
    save_potential(initial(), tmp_path / "start.fusepot")
    real = os.fsync

    def full(descriptor):
        if POTENTIAL in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    code, stdout, stderr = run("train", "fused.toml")
    assert (code, stdout) == (2, "")
    message = "fused-run/potential.fusepot: the potential could not be written (No space left on device)."
    assert stderr.splitlines()[-1].startswith(message)
    monkeypatch.setattr(os, "fsync", real)
    code, stdout, stderr = run("train", "fused.toml")
    assert (code, stderr) == (0, "")
    assert "Saved fused-run/potential.fusepot" in stdout
    assert "Observables of epoch" in stdout
    shift = load_potential(tmp_path / "fused-run" / POTENTIAL).provenance["energy_shift_eV_per_atom"]
    assert len(shift) == 2


def test_an_observable_without_error_bar_or_target_is_shown(capsys):
    points = [{"temperature_K": 300.0, "observables": {"pressure": [1.0, None, 0.0], "C11": [210.0, 2.0, 200.0]}}]
    table = output.experiment_table(json.loads(json.dumps(points)), "title")
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    shown = console.file.getvalue()
    assert "1 ± ?" in shown
    assert "+5.0 %" in shown


def test_a_terminal_shows_a_line_for_every_rollback(monkeypatch):
    """The bar alone would lose it with the next epoch."""
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=300)
        monkeypatch.setattr(output, "err", console)
        event = {"epoch": 3, "event": "rollback", "reason": "too [hot]", "learning_rate_scale": 0.25}
        with output.progress("training") as observer:
            observer(Progress(3, 50, 0.0, event))
            observer(Progress(3, 50, 0.0, {**event, "learning_rate_scale": 0.125}))
        shown = console.file.getvalue()
        for scale in ("0.25", "0.125"):
            line = f"training, epoch 3 of 50: went back, learning rates times {scale}: too [hot]\n"
            assert line in shown.replace("\r", ""), shown
