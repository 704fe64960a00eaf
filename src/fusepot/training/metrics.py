"""The metrics log: one JSON object per line and epoch, ready for a plot."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusepot.errors import TrainingError
from fusepot.files import write_atomically


def append_metrics(path: Path, record: Mapping[str, Any]) -> None:
    """Append a line and see it to the disk. NaN (nothing was compared) becomes null: NaN is not JSON.

    Raises:
        TrainingError: the file cannot be written (disk full, no permission).
    """
    line = json.dumps(_finite(record), allow_nan=False) + "\n"
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise _unwritable(path, error) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines; one cut off by a kill is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def drop_metrics_after(path: Path, epoch: int, *, failures: int = 0) -> None:
    """Forget lines later than ``epoch`` and ``failures`` events that followed it: a resumed run writes them again.

    Raises:
        TrainingError: the file cannot be written.
    """
    records = [record for record in read_metrics(path) if record["epoch"] <= epoch]
    events = [k for k, record in enumerate(records) if "event" in record and record["epoch"] == epoch]
    kept = [record for k, record in enumerate(records) if k not in events[failures:]]
    content = "".join(json.dumps(record) + "\n" for record in kept).encode()
    if path.exists() and path.read_bytes() == content:
        return  # a finished run is left as it is
    try:
        write_atomically(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"{path}: the metrics log could not be written ({error.strerror}). The checkpoint beside it is whole: "
        "make room and run the same command again to continue from it."
    )


def _finite(value: Any) -> Any:
    """The same with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
