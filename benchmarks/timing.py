"""Interleaved timing of alternatives on one core."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Result:
    """One measured number.

    Attributes:
        key: its name in results.json.
        value: the number, a ratio of medians where ``unit`` is "ratio".
        unit: "ratio", "us", ...
        goal: what it should reach, for people.
        met: whether it does.
        spread: interquartile range of the ratio (or value) over repetitions.
        command: how to measure it again.
        detail: the medians behind it.
    """

    key: str
    value: float
    unit: str
    goal: str
    met: bool
    spread: float
    command: str
    detail: str = ""


def use_one_core() -> None:
    """Pin this process to one core and give XLA one thread. Call before jax is imported."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["PJRT_NPROC"] = "1"


def interleaved(alternatives: Mapping[str, Callable[[], object]], *, repetitions: int) -> dict[str, np.ndarray]:
    """CPU seconds of each alternative, taken in turn so that a busy machine disturbs all alike; first calls warm up."""
    for call in alternatives.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(repetitions):
        for name, call in alternatives.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: np.array(values) for name, values in times.items()}


def ratio(times: Mapping[str, np.ndarray], numerator: str, denominator: str) -> tuple[float, float, str]:
    """Ratio of medians, interquartile range of the repetitions' ratios, and the medians in words."""
    each = times[numerator] / times[denominator]
    low, high = np.quantile(each, [0.25, 0.75])
    words = ", ".join(f"{name} {1e3 * np.median(times[name]):.3g} ms" for name in (numerator, denominator))
    return float(np.median(times[numerator]) / np.median(times[denominator])), float(high - low), words


def emit(*results: Result) -> None:
    """Print results as JSON lines for the runner."""
    for result in results:
        print(json.dumps(asdict(result)), flush=True)
