"""Which phase a run ended in, by the common-neighbour analysis at the end of its deck."""

from __future__ import annotations

from pathlib import Path

from fusepot.validation.interface import RunFailed

ORDER = ("fcc", "hcp", "bcc")
LEAST = 0.8  # of the atoms; vibrations that averaging leaves hide the neighbourhood of a few


def require_phase(path: Path, expected: str) -> float:
    """The fraction of atoms with the neighbours of a phase.

    Args:
        path: what the deck wrote: fractions of fcc, hcp and bcc neighbourhoods.
        expected: "fcc", "hcp" or "bcc".

    Raises:
        RunFailed: it is another phase, or melted, or the deck did not get as far.
    """
    try:
        fractions = dict(zip(ORDER, map(float, path.read_text(encoding="utf-8").split()), strict=True))
    except (OSError, ValueError) as error:
        raise RunFailed(f"{path.name} does not say which phase it is: {error}") from error
    if not fractions[expected] >= LEAST:  # neither do fractions of no atoms, which are NaN
        found = ", ".join(f"{100 * fraction:.0f} % {name}" for name, fraction in fractions.items())
        rest = 100 * (1 - sum(fractions.values()))
        raise RunFailed(f"the crystal is {expected} no more: {found}, {rest:.0f} % disordered")
    return fractions[expected]
