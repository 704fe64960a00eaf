"""Committees: several potentials of one kind as one, and how far their members disagree.

The deviation is that of DP-GEN: Zhang et al., Comput. Phys. Commun. 253, 107206 (2020), and DeePMD-kit, "Calculate
Model Deviation". With <> the mean over members,

    eps_i = sqrt(< |F_i - <F_i>|^2 >)          eps_E = sqrt(< (E - <E>)^2 >) / N

Unlike DeePMD in LAMMPS, which moves the atoms with its first model, fusepot moves them with the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from fusepot.errors import InputError
from fusepot.members import stack, unstack
from fusepot.parameters import flatten, layout_problem
from fusepot.potential import Potential, Prediction
from fusepot.structure import FloatArray

SAME_MODEL = "Train all members with the same [model] section."
SAME_SPLIT = (
    "They are fitted to the training structures: train all members with the same [data] section and only another "
    "training.seed, as `fusepot train CONFIG --seed N` does."
)


class Deviation(NamedTuple):
    """How far members disagree about one structure; NaN where there is one member, which is no measure of certainty.

    Attributes:
        energy: standard deviation over members of the energy per atom, eV/atom.
        forces: (atoms,) eps_i in eV/Å, see the head of this module.
    """

    energy: float
    forces: FloatArray

    @property
    def max_force(self) -> float:
        """Of the atom about which members disagree most, eV/Å."""
        return float(self.forces.max())

    @property
    def mean_force(self) -> float:
        """Over atoms, eV/Å."""
        return float(self.forces.mean())

    @property
    def min_force(self) -> float:
        """Of the atom about which members agree best, eV/Å."""
        return float(self.forces.min())


def deviation(predictions: Sequence[Prediction]) -> Deviation:
    """The deviation of what members predict for one structure, see ``fusepot.potential.predict_members``."""
    forces = np.stack([p.forces for p in predictions])
    atoms = forces.shape[1]
    if len(predictions) == 1:
        return Deviation(np.nan, np.full(atoms, np.nan))
    spread = np.sqrt(np.mean(np.sum((forces - forces.mean(axis=0)) ** 2, axis=2), axis=0))
    return Deviation(float(np.std([p.energy for p in predictions])) / atoms, spread)


def join(potentials: Sequence[Potential], *, names: Sequence[str] = ()) -> Potential:
    """One committee of all members of these potentials, in their order; its provenance lists that of each member.

    Args:
        potentials: of the same architecture, configuration, elements, reference energies and dtype.
        names: what to call them in errors, "potential 1" and so on by default.

    Raises:
        InputError: no potential, potentials that differ (names the first difference), or the same one twice.
    """
    if not potentials:
        raise InputError("potentials", got="none", expected="at least one")
    if len(potentials) == 1:
        return potentials[0]
    names = names or [f"potential {k}" for k in range(1, len(potentials) + 1)]
    first = potentials[0]
    for name, other in zip(names[1:], potentials[1:], strict=True):
        _refuse_other_kind(first, other, names[0], name)
    singles = [(name, one) for name, part in zip(names, potentials, strict=True) for one in split(part)]
    for (name, one), (twin, other) in combinations(singles, 2):
        if _same_params(one, other):
            raise InputError(
                twin, got=f"the parameters of {name}", expected="others", remedy="Train it with another training.seed."
            )
    return replace(
        first,
        params=stack([one.params for _, one in singles]),
        provenance={"members": [dict(one.provenance) for _, one in singles]},
        members=len(singles),
    )


def split(potential: Potential) -> tuple[Potential, ...]:
    """The members of a committee as single potentials; inverse of ``join``."""
    parts = zip(unstack(potential.params, members=potential.members), provenances(potential), strict=True)
    return tuple(replace(potential, params=params, provenance=origin, members=1) for params, origin in parts)


def provenances(potential: Potential) -> list[Mapping[str, Any]]:
    """Where each member comes from; an empty mapping where a committee does not say."""
    if potential.members == 1:
        return [potential.provenance]
    return list(potential.provenance.get("members", [{}] * potential.members))


def _refuse_other_kind(first: Potential, other: Potential, reference: str, name: str) -> None:
    """Raise where ``other`` is no potential of the same kind as ``first``."""

    def compare(what: str, want: object, have: object, remedy: str) -> None:
        if want != have:
            raise InputError(name, got=f"{what} {have}", expected=f"{want} as in {reference}", remedy=remedy)

    compare("architecture", first.architecture, other.architecture, SAME_MODEL)
    have = other.config.model_dump()
    for key, value in first.config.model_dump().items():
        compare(f"config.{key}", value, have[key], SAME_MODEL)
    compare("elements", " ".join(first.elements), " ".join(other.elements), SAME_MODEL)
    energies = [", ".join(f"{e!r}" for e in map(float, p.reference_energies)) for p in (first, other)]
    compare("reference energies", f"{energies[0]} eV", f"{energies[1]} eV", SAME_SPLIT)
    compare("dtype", first.dtype, other.dtype, SAME_MODEL)
    for part, whose in ((first, reference), (other, name)):
        if problem := layout_problem(
            part.architecture, part.config, len(part.elements), part.params, members=part.members
        ):
            raise InputError(whose, got=problem, expected=f"the arrays of {part.architecture}")


def _same_params(one: Potential, other: Potential) -> bool:
    have = flatten(other.params)
    return all(np.array_equal(leaf, have[name]) for name, leaf in flatten(one.params).items())
