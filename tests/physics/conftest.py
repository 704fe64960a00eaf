"""Fixtures of several tests of physics: the shipped PBE labels, their plan, the ideal crystals behind them; springs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io
import pytest

from fusepot.data.extxyz import shipped
from fusepot.structure import Structure
from reference import labels
from reference.labels import Entry

if TYPE_CHECKING:
    from trainers import Drawn

FOLDER = Path(__file__).parents[2] / "examples/titanium/pbe"


@pytest.fixture(scope="session")
def entries() -> list[Entry]:
    return labels.read_entries(shipped("ti_pbe.extxyz"))


@pytest.fixture(scope="session")
def maker():
    """``make_structures.py`` as a module, its random numbers unused."""
    spec = importlib.util.spec_from_file_location("make_structures", FOLDER / "make_structures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bases(maker) -> dict[tuple[str, int], Structure]:
    cells = [
        ("hcp", maker.hcp()),
        ("bcc", maker.bcc()),
        ("fcc", maker.fcc()),
        ("omega", maker.omega()),
        ("hcp", maker.hcp_orthorhombic().repeat((2, 1, 1))),
        ("hcp", maker.hcp_orthorhombic().repeat((2, 1, 2))),
        ("bcc", maker.bcc().repeat((2, 2, 1))),
    ]
    return {(phase, len(atoms)): Structure.from_ase(atoms) for phase, atoms in cells}


@pytest.fixture(scope="session")
def plan() -> dict[int, tuple[str, float, Structure]]:
    return {
        int(atoms.info["plan_id"]): (atoms.info["config_type"], float(atoms.info["rattle"]), Structure.from_ase(atoms))
        for atoms in ase.io.read(FOLDER / "plan.extxyz", ":")
    }


@pytest.fixture(scope="module")
def harmonic_crystal() -> Iterator[None]:
    """The crystal of ``trainers.SPRINGS`` as an architecture."""
    from trainers import SPRINGS

    with SPRINGS.registered():
        yield


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Trajectories of that crystal are drawn from their distribution instead of simulated."""
    from trainers import Drawn, from_distribution

    sampler = Drawn(from_distribution)
    monkeypatch.setattr("fusepot.training.exp.walked", sampler)
    return sampler
