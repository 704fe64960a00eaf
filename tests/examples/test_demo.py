"""The main job, small: training, LAMMPS on two ranks, the table; and again, which must repeat nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def demo(out: Path) -> str:
    job = subprocess.run(
        [sys.executable, str(ROOT / "examples/titanium/demo.py"), "--smoke", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"COLUMNS": "120"},
    )
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr[-3000:]
    return job.stdout


def test_demo_smoke(tmp_path: Path) -> None:
    out = tmp_path / "run"
    printed = demo(out)
    for words in ("energy RMSE", "forces RMSE", "stress RMSE", "a at 300 K", "c at 300 K", "steps/s", "exp."):
        assert words in printed
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    demo(out)
    changed = [path.name for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert not {"potential.fusepot", "log.lammps", "npt.averages"} & set(changed)
