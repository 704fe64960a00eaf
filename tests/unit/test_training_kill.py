"""A training that is killed without warning continues to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import labelled
from fusepot.potential_file import load_potential
from fusepot.training.metrics import read_metrics

CONFIG = f"""{labelled.RUN}
[optimizer]
learning_rate = 0.01
ema = 0.9
[training]
epochs = 400
batch_size = 4
atoms_per_bin = 40
checkpoint_every = 7
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    labelled.write_extxyz(folder / "set.extxyz", labelled.dataset().samples)
    (folder / "train.toml").write_text(CONFIG)
    return folder


def start(folder: Path, out: str) -> subprocess.Popen:
    """A run whose output goes to files: a pipe that nobody reads stops a talkative program."""
    command = [sys.executable, "-m", "fusepot.cli", "train", str(folder / "train.toml"), "--out", str(folder / out)]
    source = str(Path(__file__).parents[2] / "src")
    environment = os.environ | {"PYTHONPATH": source}
    with (folder / "stdout").open("w") as stdout, (folder / "stderr").open("w") as stderr:
        return subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr)


def finish(folder: Path, out: str) -> tuple[int, str, str]:
    with start(folder, out) as job:
        job.wait(timeout=300)
    return job.returncode, (folder / "stdout").read_text(), (folder / "stderr").read_text()


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def test_kill_9_then_sigterm_then_to_the_end(folder):
    code, stdout, stderr = finish(folder, "whole")
    assert code == 0, stderr
    assert "Errors after 400 epochs" in stdout
    stops = 0
    for number, after in ((signal.SIGKILL, 40), (signal.SIGTERM, 150)):
        with start(folder, "parts") as job:
            until = time.monotonic() + 200
            while lines(folder / "parts" / "metrics.jsonl") < after and job.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
            job.send_signal(number)
            job.wait(timeout=100)
        stderr = (folder / "stderr").read_text()
        stops += job.returncode != 0
        if number == signal.SIGTERM and job.returncode != 0:
            assert job.returncode == 130
            assert "Run again to continue" in stderr
            assert "Traceback" not in stderr
    assert stops == 2, "the run was too quick to be stopped: nothing was tested"
    code, stdout, stderr = finish(folder, "parts")
    assert code == 0, stderr
    logs = [read_metrics(folder / out / "metrics.jsonl") for out in ("whole", "parts")]
    for log in logs:
        assert [record["epoch"] for record in log] == list(range(1, 401))
        for record in log:
            del record["seconds"]
    assert logs[0] == logs[1]
    a, b = (load_potential(folder / out / "potential.fusepot") for out in ("whole", "parts"))
    for name in a.params:
        np.testing.assert_array_equal(a.params[name], b.params[name])
    assert a.provenance == b.provenance
    # Once more: there is nothing to do, and it says so.
    code, stdout, _ = finish(folder, "parts")
    assert code == 0
    assert "Already finished after 400 epochs" in stdout
