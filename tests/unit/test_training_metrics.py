"""The metrics log: what a resumed run writes again is dropped, and it is JSON."""

from __future__ import annotations

import pytest

from fusepot.errors import TrainingError
from fusepot.training import metrics
from fusepot.training.run import METRICS


def test_lines_that_a_resumed_run_writes_again_are_dropped(tmp_path):
    path = tmp_path / METRICS
    event = {"event": "rollback"}
    lines = [{"epoch": 0}, {"epoch": 0, **event}, {"epoch": 1}, {"epoch": 1, **event}, {"epoch": 1, **event, "x": 1.5}]
    for line in [*lines, {"epoch": 2}]:
        metrics.append_metrics(path, line)
    for epoch, failures, kept in (
        (2, 0, 6),
        (1, 2, 5),
        (1, 7, 5),
        (1, 1, 4),
        (1, 0, 3),
        (0, 1, 2),
        (0, 0, 1),
        (-1, 0, 0),
    ):
        metrics.drop_metrics_after(path, epoch, failures=failures)
        assert metrics.read_metrics(path) == [*lines, {"epoch": 2}][:kept]
    metrics.drop_metrics_after(path, 5)
    assert path.read_text() == ""


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    path = tmp_path / METRICS
    metrics.append_metrics(path, {"epoch": 1, "a": [float("nan"), {"b": float("inf")}], "c": (1.0, float("-inf"))})
    assert metrics.read_metrics(path) == [{"epoch": 1, "a": [None, {"b": None}], "c": [1.0, None]}]
    with pytest.raises(TrainingError, match=r"nowhere/metrics\.jsonl: the metrics log could not be written \(No such"):
        metrics.append_metrics(tmp_path / "nowhere" / METRICS, {"epoch": 1})
