"""One epoch of the EXP trainer: core-seconds by the paper's protocol over ours, for the same error of the gradient.

The paper's protocol: 4 temperatures, 256 atoms, 160000 steps of 0.5 fs for every update, a frame each 0.1 ps of the
last 70 ps, the Born term of every frame, in XLA as jax-md runs it; put together from measured parts (a step, a frame's
terms, a frame's gradient), since a whole epoch takes hours. Ours: ``examples/titanium/fused.toml``, which made the
shipped potential: whole epochs of its EXP trainer, trajectories used again as they are in the training. The variance of
the loss gradient is measured on trajectories of both kinds, and a protocol of twice the variance costs twice as much
for the same error.

Not part of ``make bench``: it takes an hour. ``python -m benchmarks exp_epoch`` adds its keys to results.json. The
parts are kept in exp_epoch.json; ``python -m benchmarks.exp_epoch ours noise_ours`` measures these only.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.shipped import DIMENETPP, FUSED, NEP
from benchmarks.timing import Result, emit, use_one_core

COMMAND = "python -m benchmarks exp_epoch"
PARTS = Path(__file__).parent / "exp_epoch.json"
CONFIG = Path(__file__).parents[1] / "examples" / "titanium" / "fused.toml"
POINTS, PAPER_STEPS, PAPER_FRAMES = 4, 160_000, 700
REPLICAS = {"paper": 6, "ours": 24}  # trajectories of the paper are long
SKIPPED, EPOCHS = 3, 12  # the first ones compile
GRADIENT_AT = 323.0  # K: the temperature whose gradient's noise is measured


def _trainer(potential: Path, **sampling: Any) -> Any:
    """An EXP trainer of the shipped configuration at one temperature, with other sampling."""
    from fusepot.data import load_experiment
    from fusepot.potential_file import load_potential
    from fusepot.training.config import load_config
    from fusepot.training.exp import ExpTrainer

    section = load_config(CONFIG).experiment
    assert section is not None
    born_every = sampling.pop("born_every", section.born_every)
    seed = sampling.pop("seed", 0)
    changed = section.sampling.model_copy(update=sampling)
    section = section.model_copy(update={"sampling": changed, "born_every": born_every, "seed": seed})
    experiment = load_experiment(section.path, temperatures_K=[GRADIENT_AT])
    return ExpTrainer(load_potential(potential), experiment, section)


def _timed(call: Any) -> tuple[float, Any]:
    start = time.process_time()
    found = call()
    return time.process_time() - start, found


def costs(potential: Path, *, steps: int, frames: int) -> dict[str, float]:
    """CPU seconds of a time step, and of a frame: dense terms, Born term, gradient without and with it."""
    from dataclasses import replace

    import numpy as np

    from fusepot.gradient import precision
    from fusepot.potential import cast_params
    from fusepot.sampling import Nvt, advance, start

    trainer = _trainer(potential, equilibration=0, relaxation=0, steps=10 * frames, sample_every=10, born_every=1)
    found: dict[str, float] = {}
    structure = trainer.experiment.conditions[0].structure
    state = start(trainer.template, structure, Nvt(GRADIENT_AT), seed=1)
    times = []
    for _ in range(5):
        spent, (state, _) = _timed(
            lambda state=state: advance(
                trainer.template, state, Nvt(GRADIENT_AT), steps=steps, timestep_fs=0.5, sample_every=steps
            )
        )
        times.append(spent / steps)
    found["step"] = float(np.median(times[2:]))
    params = cast_params(trainer.template.params, trainer.template.dtype)
    with precision(trainer.template.dtype):
        _, (view,), _ = trainer.ensured(trainer.begin(params), params, [], which=[0])
        viewer = trainer.viewer
        dense = replace(viewer, terms=frozenset(term for term in viewer.terms if not term.sparse))
        (full,) = viewer.completed([view])
        calls = {
            "dense": lambda: viewer.dense(view.frames[0], params),
            "born": lambda: viewer.completed([view]),
            "gradient": lambda: dense.pull_back(
                view.frames[0], {t.name: np.ones_like(full.terms[0][t.name]) for t in dense.terms}, params
            ),
            "gradient_with_born": lambda: viewer.pull_back(
                view.frames[0], {name: np.ones_like(value) for name, value in full.terms[0].items()}, params
            ),
        }
        for name, call in calls.items():
            call()
            found[name] = float(np.median([_timed(call)[0] for _ in range(3)]) / frames)
    return found


def noise(potential: Path, *, replicas: int, **sampling: Any) -> dict[str, float]:
    """Squared standard error of the loss gradient: mean over independent trajectories, and that mean's own error."""
    import numpy as np

    from fusepot.gradient import precision
    from fusepot.potential import cast_params

    squares = []
    for seed in range(replicas):
        trainer = _trainer(potential, seed=seed, **sampling)
        params = cast_params(trainer.template.params, trainer.template.dtype)
        with precision(trainer.template.dtype):
            _, views, _ = trainer.ensured(trainer.begin(params), params, [], which=[0])
            views, _ = trainer.outcomes(views)
            _, (signal,) = trainer.gradient(views, which=[0])
        squares.append((signal.norm / signal.to_noise) ** 2)
    return {"mean": float(np.mean(squares)), "error": float(np.std(squares, ddof=1) / np.sqrt(replicas))}


def our_epochs(potential: Path) -> dict[str, float]:
    """Epochs of the shipped training's EXP trainer alone: CPU seconds, shares of points simulated and frames effective.

    At half of the highest learning rate, the mean of its schedule; from the potential that the training made.
    """
    import tempfile

    from fusepot.potential_file import load_potential
    from fusepot.training.config import load_config
    from fusepot.training.fused import train_further
    from fusepot.training.run import Progress

    config = load_config(CONFIG)
    assert config.experiment is not None
    optimizer = config.experiment.optimizer
    steady = {"learning_rate": optimizer.learning_rate / 2, "schedule": "constant", "warmup_epochs": 0}
    section = config.experiment.model_copy(
        update={"epochs": SKIPPED + EPOCHS, "optimizer": optimizer.model_copy(update=steady)}
    )
    config = config.model_copy(update={"strategy": "sequential", "experiment": section, "fused": None, "start": None})
    clock, points = [], list[dict[str, Any]]()

    def observe(progress: Progress) -> None:
        clock.append(time.process_time())
        if progress.record is not None and len(clock) > SKIPPED + 1:
            points.extend(progress.record["points"])

    with tempfile.TemporaryDirectory() as out:
        train_further(config, load_potential(potential), out=Path(out), resume=False, observer=observe)
    return {
        "epoch": (clock[-1] - clock[SKIPPED]) / EPOCHS,
        "steps": section.sampling.relaxation + section.sampling.steps,
        "simulated": sum(point["simulated"] for point in points) / len(points),
        "effective": sum(point["effective_frames"] / point["frames"] for point in points) / len(points),
    }


WORK: dict[str, Callable[[], Any]] = {
    "ours": lambda: our_epochs(FUSED),
    **dict.fromkeys(("nep", "nep_xla"), lambda: costs(NEP, steps=2000, frames=100)),  # see ``measured``
    "dimenet": lambda: costs(DIMENETPP, steps=20, frames=10),
    "noise_ours": lambda: noise(NEP, replicas=REPLICAS["ours"]),
    "noise_paper": lambda: noise(
        NEP,
        replicas=REPLICAS["paper"],
        timestep_fs=0.5,
        equilibration=20_000,
        relaxation=0,
        steps=140_000,
        sample_every=200,
        born_every=1,
    ),
}


def work(what: str) -> None:
    """Worker: one kind of measurement in a process of its own, since an engine is chosen when code is compiled."""
    use_one_core()
    print(json.dumps(WORK[what]()), flush=True)


def measured(what: str) -> Any:
    """The answer of a worker."""
    environment = os.environ | ({"FUSEPOT_ENGINE": "xla"} if what == "nep_xla" else {})
    command = [sys.executable, "-m", "benchmarks.exp_epoch", "work", what]
    found = json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)
    print(f"{what}: {found}", file=sys.stderr, flush=True)
    return found


def paper_epoch(cost: dict[str, float]) -> float:
    """Core-seconds of an epoch of the paper."""
    frame = cost["dense"] + cost["born"] + cost["gradient_with_born"]
    return POINTS * (PAPER_STEPS * cost["step"] + PAPER_FRAMES * frame)


def _known() -> dict[str, Any]:
    return json.loads(PARTS.read_text()) if PARTS.exists() else {}


def main(which: Sequence[str]) -> None:
    """Measure some parts and put the epochs together."""
    for what in which:
        found = measured(what)
        parts = _known() | {what: found}  # others may be at work on other parts
        PARTS.write_text(json.dumps(dict(sorted(parts.items())), indent=2) + "\n")
    parts = _known()
    if missing := [what for what in WORK if what not in parts]:
        sys.exit(f"not measured yet: {' '.join(missing)}")
    ours, kernel, xla, dimenet = (parts[what] for what in ("ours", "nep", "nep_xla", "dimenet"))
    variances = [parts[kind] for kind in ("noise_ours", "noise_paper")]
    more = variances[0]["mean"] / variances[1]["mean"] / ours["effective"]
    uncertain = math.hypot(*(one["error"] / one["mean"] for one in variances))
    cost = ours["epoch"] * more
    slower = POINTS * ours["simulated"] * ours["steps"] * (xla["step"] - kernel["step"])
    words = (
        f"ours {ours['epoch']:.3g} core-seconds ({ours['simulated']:.2f} of the state points simulated in an epoch), "
        f"times {more:.3g} for the variance of the gradient"
    )
    results = {
        "exp_epoch_gain_same_model": (
            paper_epoch(xla) / cost,
            20,
            f"NEP in XLA {paper_epoch(xla):.3g}; {words}; "
            f"with the kernel on both sides {paper_epoch(kernel) / cost:.3g}, on neither about "
            f"{paper_epoch(xla) / (ours['epoch'] + slower) / more:.3g}",
        ),
        "exp_epoch_gain_over_paper_protocol": (
            paper_epoch(dimenet) / cost,
            1000,
            f"DimeNet++ {paper_epoch(dimenet):.3g} ({dimenet['step'] * 1e3:.3g} ms a step); {words}",
        ),
    }
    for key, (value, goal, detail) in results.items():
        emit(Result(key, value, "ratio", f"at least {goal}", value >= goal, value * uncertain, COMMAND, detail))


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2])
    else:
        main(sys.argv[1:] or list(WORK))
