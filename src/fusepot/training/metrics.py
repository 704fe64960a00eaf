"""The metrics log: one JSON object per line and epoch, ready for a plot."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusepot.files import write_atomically


def append_metrics(path: Path, record: Mapping[str, Any]) -> None:
    """Append a line and see it to the disk. NaN (nothing was compared) becomes null: NaN is not JSON."""
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(clean, allow_nan=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines; one cut off by a kill is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def drop_metrics_after(path: Path, epoch: int) -> None:
    """Forget lines later than ``epoch``: a resumed run writes them again."""
    kept = [record for record in read_metrics(path) if record["epoch"] <= epoch]
    write_atomically(path, "".join(json.dumps(record) + "\n" for record in kept).encode())
