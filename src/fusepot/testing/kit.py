"""``verify``: all checks on one potential."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fusepot.errors import FusepotError, InputError
from fusepot.potential import Potential, predict_many
from fusepot.samples import cluster, rattled, slab, small_cell
from fusepot.structure import Structure
from fusepot.testing import derivatives, handling, symmetries
from fusepot.testing.subject import CheckResult, Evaluate, Finding, Subject


class Check(NamedTuple):
    """A function that finds the largest deviation, and how large it may be."""

    find: Callable[[Subject], Finding]
    limit: float


CHECKS: dict[str, Check] = {
    "forces are the gradient": Check(derivatives.check_forces, 1e-6),
    "stress is the strain derivative": Check(derivatives.check_stress, 1e-6),
    "energy continuous at the cutoff": Check(derivatives.check_energy_at_cutoff, 1e-7),
    "forces continuous at the cutoff": Check(derivatives.check_forces_at_cutoff, 1e-6),
    "permutation": Check(symmetries.check_permutation, 1e-10),
    "rotation": Check(symmetries.check_rotation, 1e-10),
    "translation": Check(symmetries.check_translation, 1e-10),
    "extensivity": Check(symmetries.check_extensivity, 1e-10),
    "balance": Check(symmetries.check_balance, 1e-10),
    "locality": Check(symmetries.check_locality, 1e-12),
    "padding": Check(handling.check_padding, 1e-10),
    "batching": Check(handling.check_batching, 1e-10),
    "determinism": Check(handling.check_determinism, 0.0),
    "save and load": Check(handling.check_save_and_load, 0.0),
    "isolated atom": Check(handling.check_isolated_atom, 1e-12),
    "single precision": Check(handling.check_single_precision, 5e-4),
    "data types": Check(handling.check_dtypes, 0.0),
}


def default_structures(potential: Potential) -> dict[str, Structure]:
    """Structures made of the potential's elements: a two-atom cell, a rattled triclinic cell, a slab, a cluster."""
    builders = {"two-atom cell": small_cell, "triclinic cell": rattled, "slab": slab, "cluster": cluster}
    return {name: build(potential.elements, potential.cutoff) for name, build in builders.items()}


def verify(
    potential: Potential,
    structure: Structure | None = None,
    *,
    checks: Sequence[str] = tuple(CHECKS),
    evaluate: Evaluate = predict_many,
    report: Callable[[CheckResult], None] | None = None,
) -> list[CheckResult]:
    """Check that a potential is a potential: conservative, symmetric, extensive, smooth, and handled without loss.

    Deviations are relative to the largest value concerned, or absolute (eV, Å) where that is below one. All but the
    precision checks evaluate a float64 copy.

    Args:
        potential: what to check.
        structure: check on this one instead of the default structures.
        checks: names from ``CHECKS``, all by default.
        evaluate: how to get predictions, so that a served potential can be checked as well.
        report: called with each result as it arrives.

    Returns:
        One result per check, in the order of ``checks``. A check that raises a ``FusepotError`` has failed.

    Raises:
        InputError: unknown check, or a structure the potential cannot be evaluated on at all (unknown element).
    """
    if unknown := [name for name in checks if name not in CHECKS]:
        raise InputError("checks", got=unknown[0], expected=f"names among: {', '.join(CHECKS)}")
    structures = default_structures(potential) if structure is None else {"the structure": structure}
    subject = Subject.prepare(potential, structures, evaluate)
    results = []
    for name in checks:
        check = CHECKS[name]
        try:
            value, detail = check.find(subject)
        except FusepotError as error:
            value, detail = float("inf"), str(error)
        results.append(CheckResult(name, value <= check.limit, value, check.limit, detail))
        if report is not None:
            report(results[-1])
    return results
