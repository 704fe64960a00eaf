"""Experiment files as text: one of hexagonal titanium, whole and in parts, loaded or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusepot.data import Experiment, load_experiment
from fusepot.errors import FusepotError

HEAD = 'symmetry = "hexagonal"\ntemperatures_K = [300, 600]\n'
ROWS = 'rows = ["rows.csv"]\n'
CRYSTAL = '[crystal]\nprototype = "hcp"\nelement = "Ti"\nlattice = "hcp_titanium"\nrepeat = [2, 1, 1]\n'
C11 = '[[targets]]\nobservable = "C11"\ntable = "hcp_titanium"\nweight = 2.0\n'
PRESSURE = '[[targets]]\nobservable = "pressure"\nvalue = 0.1\nunit = "GPa"\nuncertainty = 0.5\nsource = "me"\n'
PLAIN = HEAD + CRYSTAL + C11 + PRESSURE
HEADER = "temperature_K,observable,value,uncertainty,unit,source,weight\n"


def load(folder: Path, text: str = PLAIN, *, rows: str | None = None, **options) -> Experiment:
    (folder / "e.toml").write_text(text)
    if rows is not None:
        (folder / "rows.csv").write_text(rows)
    return load_experiment(folder / "e.toml", **options)


def refused(folder: Path, text: str, *, rows: str | None = None, **options) -> FusepotError:
    with pytest.raises(FusepotError) as caught:
        load(folder, text, rows=rows, **options)
    return caught.value
