"""fusepot doctor: sound here, and able to say what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusepot import doctor
from fusepot.potential import Prediction


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_this_jaxlib_compiles_reductions_correctly(dtype: str) -> None:
    """The reproducer of jax-ml/jax#39103; jaxlib 0.10.2 is off by 0.2 (float32) and 2 (float64)."""
    result = doctor.check_compiled_reduction(dtype)
    assert result.passed, result.detail


def test_all_checks_run_and_the_essential_ones_pass() -> None:
    results = doctor.diagnose()
    assert len({result.name for result in results}) == len(results) == 7
    assert all(result.passed for result in results[:5]), results
    assert all(result.detail for result in results)


BAD_VERSIONS = [("0.10.2", "0.10.1"), ("0.10.1", "0.10.2"), ("0.11.0", "0.11.0"), ("0.4.30", "0.4.30")]


@pytest.mark.parametrize(("jax", "jaxlib"), BAD_VERSIONS)
def test_excluded_versions(jax: str, jaxlib: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version_of", {"jax": jax, "jaxlib": jaxlib}.get)
    result = doctor.check_jax_version()
    assert not result.passed
    assert "Install 'jax" in result.detail


@pytest.mark.parametrize("version", ["0.8.0", "0.10.1", "0.10.3", "0.12.1", "1.0.0"])
def test_other_versions(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda name: version)
    assert doctor.check_jax_version().passed


def test_a_miscompiled_reduction_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.jax, "jit", lambda function: lambda rows: function(rows).at[17].mul(1.1))
    result = doctor.check_compiled_reduction("float32")
    assert not result.passed
    assert "miscompiles" in result.detail


def test_a_wrong_energy_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Prediction(-0.3, np.zeros(2), np.zeros((2, 3)), np.zeros((3, 3)), np.zeros((3, 3)))
    monkeypatch.setattr(doctor, "predict", lambda potential, structure: wrong)
    assert not doctor.check_energy_of_a_dimer().passed


def test_without_lammps_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda name: None)
    for result in (doctor.check_lammps(), doctor.check_plugin()):
        assert result.passed
        assert "LAMMPS" in result.detail or "lammps" in result.detail


def test_lammps_without_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version_of", {"lammps": "2025.7.22.4.0"}.get)
    assert "mpich missing" in doctor.check_lammps().detail
    assert not doctor.check_lammps().passed


def test_missing_or_foreign_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda name: "2025.7.22.4.0")
    monkeypatch.setattr(doctor, "library_path", lambda: None)
    assert "Install a C++ compiler" in doctor.check_plugin().detail
    library = tmp_path / "plugin.so"
    library.write_bytes(b"not a library")
    monkeypatch.setattr(doctor, "library_path", lambda: library)
    result = doctor.check_plugin()
    assert not result.passed
    assert "expected LAMMPS 20250722. Rebuild" in result.detail
    monkeypatch.setattr(doctor, "built_for", lambda path: "20240829")
    assert "got 20240829" in doctor.check_plugin().detail
    monkeypatch.setattr(doctor, "built_for", lambda path: "20250722")
    assert doctor.check_plugin().passed
