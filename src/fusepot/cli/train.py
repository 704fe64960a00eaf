"""``fusepot train``: the DFT trainer, and after it sequential or fused training where the configuration asks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusepot.cli.output import errors_table, experiment_table, out, progress
from fusepot.errors import FusepotError, TrainingError

if TYPE_CHECKING:
    from fusepot.potential import Potential
    from fusepot.training.config import TrainConfig
    from fusepot.training.dft import TrainingResult
    from fusepot.validation.analysis.parity import Errors

POTENTIAL, PRETRAINING = "potential.fusepot", "dft"


def train(
    config: Annotated[Path, typer.Argument(help="TOML file, see examples/titanium/.")],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the results; by default the name of CONFIG [and -seedN] with -run."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Instead of training.seed: potentials of different seeds make a committee.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Instead of CONFIG's: --set experiment.temperatures_K=[323]"),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue from the checkpoint in the folder.")] = True,
) -> None:
    """Train a potential on labelled structures, and on experiment. Run it again to continue where it was stopped."""
    from fusepot.potential_file import load_potential
    from fusepot.training.config import load_config
    from fusepot.training.dft import train as train_on_labels
    from fusepot.training.fused import train_further

    seeds = [] if seed is None else [f"training.seed = {seed}"]
    settings = load_config(config, changes=[*(changes or []), *seeds])
    folder = folder or Path(f"{config.stem}{'' if seed is None else f'-seed{seed}'}-run")
    if settings.strategy == "dft":
        _labels_stage(settings, folder, resume=resume, train=train_on_labels)
        return
    if settings.start is not None:
        start = load_potential(settings.start)
    else:
        start = _labels_stage(settings.pretraining(), folder / PRETRAINING, resume=resume, train=train_on_labels)
    with progress("training on experiment") as observer:
        result = train_further(settings, start, out=folder, resume=resume, observer=observer)
    if _finish(result, folder / POTENTIAL):
        found = result.potential.provenance
        out.print(experiment_table(found["experiment"]["points"], f"Observables of epoch {found['best_epoch']}"))


def _labels_stage(settings: TrainConfig, folder: Path, *, resume: bool, train: Any) -> Potential:
    """The DFT trainer; returns what it saved."""
    from fusepot.potential_file import load_potential

    with progress("training on labels") as observer:
        result = train(settings, out=folder, resume=resume, observer=observer)
    _finish(result, folder / POTENTIAL)
    return load_potential(folder / POTENTIAL)


def _finish(result: TrainingResult, file: Path) -> bool:
    """Save the potential with its errors on record, and show them; leave a finished run as it is, and return False."""
    from fusepot.potential_file import save_potential

    if result.start_epoch == result.epochs and _holds(file, result.potential):
        text = f"Already finished after {result.epochs} epochs: {file}"
        out.print(text, highlight=False, markup=False, soft_wrap=True)
        return False
    found = _judge(result)
    try:
        save_potential(_with_errors(result.potential, found), file)
    except OSError as error:
        raise TrainingError(
            f"{file}: the potential could not be written ({error.strerror}). "
            "Make room and run the same command again: the training itself is finished."
        ) from error
    out.print(errors_table(found, f"Errors after {result.epochs} epochs (RMSE / MAE)"))
    out.print(f"Saved {file}", highlight=False, markup=False, soft_wrap=True)
    return True


def _holds(file: Path, potential: Potential) -> bool:
    """Whether this potential is in the file, not one of an earlier training in the same folder."""
    import numpy as np

    from fusepot.parameters import flatten
    from fusepot.potential_file import load_potential

    try:
        found = load_potential(file)
    except FusepotError:
        return False
    mine, other = (flatten(p.params) | {"references": np.array(p.reference_energies)} for p in (potential, found))
    return mine.keys() == other.keys() and all(np.array_equal(mine[name], other[name]) for name in mine)


def _judge(result: TrainingResult) -> dict[str, Errors]:
    """Errors on the test, validation and training set; predicted together, so that shapes are compiled once."""
    from fusepot.validation.analysis.parity import errors, predict_all

    predictions = predict_all(result.potential, result.dataset)
    parts = {name: part for name, part in result.split._asdict().items() if len(part)}
    return {
        name: errors([result.dataset.samples[i] for i in part], [predictions[i] for i in part])
        for name, part in parts.items()
    }


def _with_errors(potential: Potential, found: dict[str, Errors]) -> Potential:
    """The potential with its errors on record: all of them, and in short those of the test set (RMSE)."""
    extra: dict[str, Any] = {"errors": {name: part.as_json() for name, part in found.items()}}
    if "test" in found:
        names = ("energy", "forces", "stress", "virial")
        extra["test_errors"] = {name: extra["errors"]["test"][name]["rmse"] for name in names}
    return replace(potential, provenance={**potential.provenance, **extra})
