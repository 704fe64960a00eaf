"""What makes a configuration of sequential or fused training another training, and what does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from experiments import merged
from fusepot.training.config import parse_config

LEAST: dict[str, Any] = {
    "strategy": "fused",
    "data": {"path": "ti_pbe"},
    "training": {"epochs": 3},
    "experiment": {"path": "experiment.toml", "epochs": 4},
}


def full() -> dict[str, Any]:
    """Everything given, nothing at its default where that can be."""
    optimizer = {"learning_rate": 2e-3, "schedule": "exponential", "final_fraction": 0.1, "warmup_epochs": 1.0}
    optimizer |= {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-7, "gradient_clip": 2.0, "weight_decay": 0.01}
    return {
        "strategy": "fused",
        "start": "a.fusepot",
        "model": {"architecture": "lennard-jones", "settings": {"sigma": 2.5, "cutoff": 4.0}, "elements": ["Ti", "Al"]},
        "data": {"path": "set.extxyz", "fractions": [0.5, 0.3, 0.2], "seed": 4},
        "loss": {"energy": 2.0, "config_types": {"hcp": 2.0}},
        "optimizer": {**optimizer, "ema": 0.9},
        "training": {"epochs": 5, "batch_size": 3, "checkpoint_every": 4, "patience": 3, "seed": 2},
        "experiment": {
            "path": "e.toml",
            "temperatures_K": [100.0, 300.5],
            "epochs": 7,
            "batch_size": 2,
            "variance_corrected": False,
            "blocks": 5,
            "born_every": 4,
            "frames_at_once": 2,
            "choice": "last",
            "choice_weight": 0.3,
            "patience": 4,
            "rollback_factor": 0.3,
            "rollbacks": 2,
            "seed": 3,
            "sampling": {
                "timestep_fs": 1.5,
                "friction_per_ps": 3.0,
                "equilibration": 80,
                "relaxation": 40,
                "steps": 800,
                "sample_every": 20,
                "replicas": 2,
            },
            "reuse": {"method": "mbar", "effective_fraction": 0.7, "memory": 4},
            "optimizer": optimizer,
        },
        "fused": {"alternate": "joint", "weight": 3.0, "optimizer": {**optimizer, "learning_rate": 4e-4}},
    }


def test_json_round_trip_keeps_everything():
    for content in (full(), LEAST, {**LEAST, "strategy": "sequential", "start": "x"}):
        config = parse_config(content)
        again = parse_config(json.loads(json.dumps(config.as_json())))
        assert again == config
        assert again.fingerprint() == config.fingerprint()
    # And nothing of what was given is lost.
    assert _numbers(full()) <= _numbers(parse_config(full()).as_json())


NEUTRAL = {"data.path", "training.checkpoint_every", "experiment.path", "start"}
OTHERS = {
    "strategy": "sequential",
    "schedule": "cosine",
    "method": "reweight",
    "choice": "best",
    "alternate": "batch",
    "variance_corrected": True,
    "temperatures_K": [100.0, 300.25],
    "fractions": [0.5, 0.2, 0.3],
    "elements": ["Al", "Ti"],
    "architecture": "zbl",
    # So that lengths still fit together.
    "blocks": 10,
    "born_every": 2,
    "steps": 1600,
    "sample_every": 10,
    "replicas": 3,
    "equilibration": 100,
    "relaxation": 100,
}


def test_the_fingerprint_follows_every_number_and_no_path():
    reference = parse_config(full()).fingerprint()
    places = dict(_places(full()))
    assert set(places) >= NEUTRAL
    for place, value in places.items():
        name = place.split(".")[-1]
        if name == "architecture":
            continue
        changed = f"{value}x" if name in ("path", "start") else OTHERS.get(name)
        if changed is None:
            changed = value + 1 if isinstance(value, int) else value * 0.75
        content: dict[str, Any] = {}
        inner = content
        *parents, last = place.split(".")
        for part in parents:
            inner = inner.setdefault(part, {})
        inner[last] = changed
        found = parse_config(merged(full(), content)).fingerprint()
        assert (found == reference) == (place in NEUTRAL), place


def test_the_pretraining_does_not_depend_on_what_comes_after():
    """So that configurations of several experiments share one, in one folder or copied from one to another."""
    plain = parse_config({k: v for k, v in full().items() if k not in ("strategy", "start", "experiment", "fused")})
    first = parse_config(full())
    content = merged(full(), {"experiment": {"epochs": 70, "seed": 9}, "fused": {"alternate": "batch"}})
    second = parse_config({**content, "start": None, "strategy": "sequential"})
    assert first.pretraining() == second.pretraining() == plain
    assert first.pretraining().fingerprint() == second.pretraining().fingerprint() == plain.fingerprint()
    assert first.pretraining().strategy == "dft"
    assert first.fingerprint() != second.fingerprint()
    longer = parse_config(merged(full(), {"training": {"epochs": 6}}))
    assert longer.pretraining().fingerprint() != first.pretraining().fingerprint()


def _places(content: Mapping[str, Any], prefix: str = ""):
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _places(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _numbers(content: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(place, json.dumps(value)) for place, value in _places(content)}
