"""Settings for all tests: few threads, since test machines have few cores, and no accelerator by accident.

Fixtures import what they need themselves: the settings are for libraries that are not imported yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def float64() -> Iterator[None]:
    from fusepot.gradient import precision

    with precision("float64"):
        yield


@pytest.fixture(scope="module")
def compiled_once() -> Iterator[None]:
    """All trainings of a module use the same compiled code."""
    from experiments import shared_compilation

    with shared_compilation():
        yield
