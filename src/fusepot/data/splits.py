"""Training, validation and test sets: the same structures on every machine, and still when the file grows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusepot.data.dataset import Dataset, Labelled
from fusepot.errors import DataError

Indices = NDArray[np.int64]


class Split(NamedTuple):
    """Indices into a dataset, each ascending; every structure is in exactly one."""

    train: Indices
    validation: Indices
    test: Indices


def fingerprint(sample: Labelled, seed: int) -> str:
    """Hash of a structure's content (not of its labels, nor of its place in a file) and a seed.

    Coordinates count to 1e-6 Å, so that a round trip through a text file changes nothing.
    """
    structure = sample.structure
    digest = hashlib.sha256(str(seed).encode())
    for array in (structure.numbers, np.round(structure.positions * 1e6), np.round(structure.cell * 1e6)):
        digest.update(array.astype("<i8").tobytes())
    return digest.hexdigest()


def split_by_hash(dataset: Dataset, *, fractions: tuple[float, float, float], seed: int) -> Split:
    """Split each ``config_type`` in the given fractions (training, validation, test).

    Within a kind, structures are ordered by ``fingerprint``: the first become the test set, the last the validation
    set. The order in the file has no effect. Structures added later move few of the others: only those whose
    hash lies next to a boundary, which shifts by the chance in the sample.

    Raises:
        DataError: nothing would be left to train on or to validate with.
    """
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for index, sample in enumerate(dataset.samples):
        groups[sample.config_type].append((fingerprint(sample, seed), index))
    train: list[int] = []
    validation: list[int] = []
    test: list[int] = []
    for group in groups.values():
        members = [index for _, index in sorted(group)]
        # Half up, so that a kind of five still gives one at 10 %.
        n_test, n_validation = (int(fraction * len(members) + 0.5) for fraction in (fractions[2], fractions[1]))
        n_validation = min(n_validation, len(members) - n_test)
        test += members[:n_test]
        validation += members[len(members) - n_validation :]
        train += members[n_test : len(members) - n_validation]
    return _checked(dataset, train, validation, test)


def split_in_order(dataset: Dataset, *, fractions: tuple[float, float, float]) -> Split:
    """The first part of the file trains, the next validates, the rest tests: the paper's split of its own set.

    Raises:
        DataError: nothing would be left to train on or to validate with.
    """
    n = len(dataset)
    # Rounded down, and not fooled by 10 * (0.7 + 0.1) = 7.999...
    first, second = (int(n * part + 1e-9) for part in (fractions[0], fractions[0] + fractions[1]))
    order = list(range(n))
    return _checked(dataset, order[:first], order[first:second], order[second:])


def _checked(dataset: Dataset, *parts: list[int]) -> Split:
    split = Split(*(np.array(sorted(part), dtype=np.int64) for part in parts))
    for name in ("train", "validation"):
        if not len(getattr(split, name)):
            raise DataError(
                dataset.source,
                got=f"{len(dataset)} structures of which none is in the {name} set",
                expected="at least one",
                remedy="Change data.fractions or add structures.",
            )
    return split
