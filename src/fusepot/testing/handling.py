"""How a potential is handled: padding, batching, files, precision, atoms without neighbours."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ase.data import atomic_numbers

from fusepot.gradient import precision
from fusepot.graph import build_graph
from fusepot.potential import Potential, Prediction, cast_params
from fusepot.potential_file import load_potential, save_potential
from fusepot.structure import Structure
from fusepot.testing.subject import Finding, Subject, deviation, difference, worst


def check_padding(subject: Subject) -> Finding:
    """Larger arrays: same results."""
    findings = []
    for name, structure in subject.structures.items():
        found = subject.evaluate(subject.potential, [structure], at_least=subject.large)[0][0]
        findings.append(Finding(difference(found, subject.predict(structure)), f"{name}, relative"))
    return worst(findings)


def check_batching(subject: Subject) -> Finding:
    """Structures predicted together: same results as one by one."""
    names = list(subject.structures)[:3]
    if len(names) == 1:
        names *= 2
    batch = [subject.structures[name] for name in names]
    together = subject.evaluate(subject.potential, batch, at_least=subject.large)[0]
    return worst([
        Finding(difference(found, subject.predict(structure)), f"{name}, relative")
        for name, structure, found in zip(names, batch, together, strict=True)
    ])  # fmt: skip


def check_determinism(subject: Subject) -> Finding:
    """The same call twice: the same bits."""
    findings = []
    for name, structure in subject.structures.items():
        first, second = subject.predict(structure), subject.predict(structure)
        findings.append(Finding(_bits(first, second), f"{name}, 0 or 1"))
    return worst(findings)


def check_save_and_load(subject: Subject) -> Finding:
    """Through a potential file and back: the same bits, the same description."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "potential"
        save_potential(subject.potential, path)
        loaded = load_potential(path)
    same = replace(loaded, params=None) == replace(subject.potential, params=None)
    findings = [Finding(float(not same), "description of the potential, 0 or 1")]
    for name, structure in subject.structures.items():
        found = subject.evaluate(loaded, [structure], at_least=subject.capacity)[0][0]
        findings.append(Finding(_bits(found, subject.predict(structure)), f"{name}, 0 or 1"))
    return worst(findings)


def check_isolated_atom(subject: Subject) -> Finding:
    """One atom of each element without neighbours: finite energy, no force, no virial."""
    findings = []
    for element in subject.potential.elements:
        numbers = np.array([atomic_numbers[element]], dtype=np.int64)
        found = subject.predict(Structure(np.zeros((1, 3)), numbers, np.zeros((3, 3)), np.zeros(3, dtype=bool)))
        value = max(float(np.abs(found.forces).max()), float(np.abs(found.virial).max()))
        findings.append(Finding(value if np.isfinite(found.energy) else float("inf"), f"{element}, eV/Å or eV"))
    return worst(findings)


def check_single_precision(subject: Subject) -> Finding:
    """Evaluated in float32: energies per atom, forces and stress close to those of float64."""
    findings = []
    single = subject.potential.with_dtype("float32")
    references = dict(zip(single.elements, single.reference_energies, strict=True))
    for name, structure in subject.structures.items():
        found = subject.evaluate(single, [structure], at_least=subject.capacity)[0][0]
        expected = subject.predict(structure)
        # Reference energies are exact in either precision and must not hide errors of the model.
        offset = np.array([references[symbol] for symbol in structure.symbols])
        findings.append(Finding(deviation(found.forces, expected.forces), f"forces of {name}, relative or eV/Å"))
        error = deviation(found.energies - offset, expected.energies - offset)
        findings.append(Finding(error, f"energies of {name}, relative or eV"))
        findings.append(Finding(deviation(found.virial, expected.virial), f"virial of {name}, relative or eV"))
    return worst(findings)


def check_dtypes(subject: Subject) -> Finding:
    """Predictions are float64 numpy arrays; a float32 potential computes with no float64 array anywhere."""
    single = subject.potential.with_dtype("float32")
    findings = []
    for potential in (single, subject.potential):
        for name, structure in subject.structures.items():
            found = subject.evaluate(potential, [structure], at_least=subject.capacity)[0][0]
            wrong = [field for field, value in found._asdict().items() if not _is_float64(value)]
            findings.append(Finding(float(len(wrong)), f"{', '.join(wrong) or 'all'} in {name} as {potential.dtype}"))
    doubles = _float64_arrays(single, next(iter(subject.structures.values())), subject)
    findings.append(Finding(float(doubles), "float64 arrays in the float32 program"))
    return worst(findings)


def _is_float64(value: Any) -> bool:
    return type(value) is float or (type(value) is np.ndarray and value.dtype == np.float64)


def _float64_arrays(single: Potential, structure: Structure, subject: Subject) -> int:
    """Float64 arrays in the program of a float32 potential, traced where jax would allow them."""
    graph = build_graph(structure, cutoff=single.cutoff, elements=single.elements, at_least=subject.capacity)

    with precision("float32"):
        program = jax.make_jaxpr(single.model.predictions)(cast_params(single.params, "float32"), graph)
    return sum(getattr(v.aval, "dtype", None) == np.float64 for eqn in _equations(program.jaxpr) for v in eqn.outvars)


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Equations of a program and of the programs inside it (calls, loops, custom derivatives)."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            program = getattr(inner, "jaxpr", inner)
            if hasattr(program, "eqns"):
                yield from _equations(program)


def _bits(first: Prediction, second: Prediction) -> float:
    return float(any(np.asarray(a).tobytes() != np.asarray(b).tobytes() for a, b in zip(first, second, strict=True)))
