"""A fused training that is killed without warning, stopped, or out of disk space continues to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import experiments
from experiments import same
from fusepot import huge_pages
from fusepot.files import write_atomically
from fusepot.potential_file import load_potential, save_potential
from fusepot.training.run import CHECKPOINT, METRICS

pytestmark = pytest.mark.timeout(1800)  # eight programs start here, on machines that may have other things to do
EPOCHS = 32
# Simulated at every update, in float32. The first epoch is rolled back a few times.
SETTINGS = {"start": 'start = "start.fusepot"', "epochs": EPOCHS, "reuse": "never", "rate": 8.0, "alternate": "batch"}
# What a file may hold is limited when the checkpoint of the fourth epoch is written.
FULL = """
import resource, sys
from fusepot.cli import main
from fusepot.training import fused

save = fused.save_checkpoint

def limited(path, state, identity):
    if state.dft.epoch == 4:
        path.with_name("before").write_bytes(path.read_bytes())
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size - 1000, resource.RLIM_INFINITY))
    save(path, state, identity)

fused.save_checkpoint = limited
sys.argv[0] = "fusepot"
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused")
    experiments.write_files(folder, **SETTINGS)
    save_potential(replace(experiments.initial(), dtype="float32"), folder / "start.fusepot")
    return folder


def start(folder: Path, out: str, *program: str) -> subprocess.Popen:
    """A training whose output goes to files; what it compiles is kept there for the next one."""
    command = [sys.executable, *(program or ("-m", "fusepot.cli"))]
    command += ["train", str(folder / "fused.toml"), "--out", str(folder / out)]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        huge_pages.RESTARTED: "1",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "COLUMNS": "200",
    }
    with (folder / "stdout").open("w") as stdout, (folder / "stderr").open("w") as stderr:
        return subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr)


def finish(folder: Path, out: str, *program: str) -> tuple[int, str, str]:
    with start(folder, out, *program) as job:
        job.wait(timeout=600)
    return job.returncode, (folder / "stdout").read_text(), (folder / "stderr").read_text()


@pytest.fixture(scope="module")
def whole(folder):
    """The folder of an undisturbed training."""
    code, stdout, stderr = finish(folder, "whole")
    assert code == 0, stderr
    assert f"Errors after {EPOCHS} epochs" in stdout
    assert "Observables of epoch" in stdout
    # A line for every rollback, whatever the progress.
    count = len(experiments.events(folder / "whole"))
    assert stderr.count("went back, learning rates times 0.") == count > 1
    assert "learning rates times 0.0625: state point of" in stderr
    return folder / "whole"


def assert_same(found: Path, whole: Path, reason: str) -> None:
    """Log, checkpoint and potential."""
    assert experiments.log(found) == experiments.log(whole), reason
    assert (found / CHECKPOINT).read_bytes() == (whole / CHECKPOINT).read_bytes(), reason
    a, b = (load_potential(path / "potential.fusepot") for path in (found, whole))
    assert same(a.params, b.params), reason
    assert (a.provenance, a.reference_energies) == (b.provenance, b.reference_energies), reason


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.parametrize("seed", [0])
def test_kill_9_at_random_moments_then_sigterm_then_to_the_end(folder, whole, seed):
    """In the first look at the state points, among rollbacks, in the middle of sampling or between two updates."""
    rng, out, stops = np.random.default_rng(seed), folder / "parts", 0
    log = out / METRICS
    for number, after in ((9, 0), (9, int(rng.integers(1, 6))), (9, int(rng.integers(6, 16))), (15, 20)):
        delay = rng.uniform(0, 0.1)
        with start(folder, "parts") as job:
            until = time.monotonic() + 200
            while not (out.exists() and lines(log) >= after) and job.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(delay)
            job.send_signal(number)
            job.wait(timeout=300)
        stops += job.returncode != 0
        stderr = (folder / "stderr").read_text()
        if number == signal.SIGTERM and job.returncode != 0:
            assert job.returncode == 130
            assert stderr.splitlines()[-1].startswith("stopped in epoch ")
            assert f"{out / CHECKPOINT} holds the state before it. Run again to continue." in stderr
            assert "Traceback" not in stderr
    assert stops == 4, f"seed {seed}: the training was too quick to be stopped: nothing was tested"
    code, stdout, stderr = finish(folder, "parts")
    assert code == 0, stderr
    assert "Observables of epoch" in stdout
    assert_same(out, whole, f"seed {seed}")


def test_no_space_for_a_checkpoint(folder, whole):
    code, stdout, stderr = finish(folder, "full", "-c", FULL)
    out = folder / "full"
    assert code == 2, stderr
    assert stdout == ""
    message = stderr.splitlines()[-1]
    assert message.startswith(f"{out / CHECKPOINT}: the checkpoint could not be written (File too large)."), stderr
    assert "make room and run the same command again" in message
    assert "Traceback" not in stderr
    assert (out / CHECKPOINT).read_bytes() == (out / "before").read_bytes()
    (out / "before").unlink()
    assert sorted(path.name for path in out.iterdir()) == [CHECKPOINT, METRICS]
    assert experiments.log(out)[-1]["epoch"] == 4
    # Half a line of the log besides, as a full disk may leave it.
    with (out / METRICS).open("a") as stream:
        stream.write('{"epoch": 4, "exper')
    code, _, stderr = finish(folder, "full")
    assert code == 0, stderr
    assert_same(out, whole, "after a full disk")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    limited = "import resource, sys; from pathlib import Path; from fusepot.files import write_atomically\n"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
    limited += "write_atomically(Path(sys.argv[1]), bytes(5000))\n"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    job = subprocess.run([sys.executable, "-c", limited, str(path)], env=environment, capture_output=True, check=False)
    assert b"File too large" in job.stderr
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
