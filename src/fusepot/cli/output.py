"""What the commands show: progress, tables of errors and of checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from fusepot.testing import CheckResult
    from fusepot.training.run import Progress as RunProgress
    from fusepot.validation.analysis.parity import Errors, Uncertainty

out, err = Console(), Console(stderr=True)
FAILED_CHECK = 1


def report(results: Sequence[CheckResult]) -> None:
    """A table of checks; exit code 1 where one failed."""
    table = Table("check", "", "found", "limit", "detail")
    for result in results:
        mark = "[green]ok" if result.passed else "[red]FAILED"
        table.add_row(result.name, mark, f"{result.value:.2g}", f"{result.limit:.2g}", escape(result.detail))
    out.print(table)
    failed = [result.name for result in results if not result.passed]
    if failed:
        err.print(f"[red]{len(failed)} of {len(results)} checks failed: {', '.join(failed)}")
        raise typer.Exit(FAILED_CHECK)


def errors_table(found: dict[str, Errors], title: str) -> Table:
    """RMSE / MAE; one row per set, the last one (the test set) also by kind of structure."""
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)  # fits into 80 columns
    table.add_column("structures", no_wrap=True)
    for name in ("", "energy\nmeV/atom", "forces\nmeV/Å", "stress\nGPa", "virial\nmeV/atom"):
        table.add_column(name, justify="right", no_wrap=True, min_width=3)

    def row(name: str, part: Errors) -> None:
        cells = (part.energy, part.forces, part.stress, part.virial)
        texts = (f"{_digits(c.rmse)} /{_digits(c.mae):>5}" if c.count else "-" for c in cells)
        table.add_row(name, str(part.structures), *texts)

    for name, part in found.items():
        row(name, part)
    last = list(found.values())[-1]
    if len(last.config_types) > 1:
        for kind, part in last.config_types.items():
            row(f"  {kind}", part)
    return table


def uncertainty_line(members: int, found: Uncertainty) -> str:
    """The deviation of a committee beside its error, in words."""
    if not found.atoms:
        return "Force deviation of the members: no labelled forces to compare with."
    related = "undefined" if found.correlation != found.correlation else f"{found.correlation:.2f}"
    return (
        f"Force deviation of the {members} members {_digits(found.deviation)} meV/Å, force error of their mean "
        f"{_digits(found.error)} meV/Å (mean over {found.atoms} atoms); rank correlation over atoms {related}"
    )


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def experiment_table(points: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Observables with error bars beside experiment, a row per state point and observable."""
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("K", justify="right")
    table.add_column("observable")
    for name in ("potential", "experiment", "deviation"):
        table.add_column(name, justify="right")
    for point in points:
        for name, (value, error, target) in point["observables"].items():
            deviation = f"{100 * (value / target - 1):+.1f} %" if target else ""
            bar = "?" if error is None else f"{error:.2g}"  # the log knows no numbers that are not finite
            row = (f"{point['temperature_K']:g}", name, f"{value:.4g} ± {bar}", f"{target:.4g}", deviation)
            table.add_row(*row)
    return table


@contextmanager
def progress(title: str) -> Iterator[Any]:
    """An observer that draws a bar in a terminal, and writes a line per tenth of the run elsewhere."""
    columns = (
        "{task.description}",
        BarColumn(),
        "{task.percentage:3.0f} %",
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    terminal = err.is_terminal
    with Progress(*columns, console=err, disable=not terminal) as bars:
        task = bars.add_task("compiling", total=None, note="")
        told = -1

        def observe(now: RunProgress) -> None:
            nonlocal told
            done = now.epoch + now.fraction
            bars.update(task, description=title, total=now.epochs, completed=done)
            if now.record is None:
                return
            note = escape(_note(now.record))
            bars.update(task, note=note)
            tenth = 10 * now.epoch // now.epochs
            if "event" in now.record or (not terminal and tenth > told):
                told = tenth
                err.print(f"{title}, epoch {now.epoch} of {now.epochs}: {note}", highlight=False, soft_wrap=True)

        yield observe


def _note(record: dict[str, Any]) -> str:
    """An epoch in a few words."""
    if "event" in record:
        return f"went back, learning rates times {record['learning_rate_scale']:g}: {record['reason']}"
    experiment = f"experiment {record['experiment_loss']:.3g}, " if "experiment_loss" in record else ""
    return (
        f"{experiment}"
        f"validation {record['validation_energy_rmse_meV_per_atom']:.1f} meV/atom, "
        f"{record['validation_forces_rmse_meV_per_A']:.0f} meV/Å, "
        f"virial {record['validation_virial_rmse_meV_per_atom']:.0f} meV/atom (best epoch {record['best_epoch']})"
    )
