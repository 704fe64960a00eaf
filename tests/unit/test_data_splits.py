"""Splits: deterministic, stratified, and still when the file is reordered or grows."""

from __future__ import annotations

import numpy as np
import pytest

from fusepot.data import Dataset, load_dataset, split_by_hash, split_in_order
from fusepot.errors import DataError

FRACTIONS = (0.8, 0.1, 0.1)


@pytest.fixture(scope="module")
def titanium() -> Dataset:
    return load_dataset("ti_pbe")


def test_every_structure_is_in_exactly_one_part(titanium):
    for fractions in (FRACTIONS, (0.5, 0.5, 0.0), (0.34, 0.33, 0.33)):
        split = split_by_hash(titanium, fractions=fractions, seed=0)
        assert sorted(np.concatenate(split)) == list(range(len(titanium)))


def test_kinds_are_represented_in_proportion(titanium):
    split = split_by_hash(titanium, fractions=FRACTIONS, seed=0)
    kinds = np.array([s.config_type for s in titanium.samples])
    for kind in set(kinds):
        total = (kinds == kind).sum()
        for part, fraction in zip(split, FRACTIONS, strict=True):
            assert abs((kinds[part] == kind).sum() - fraction * total) <= 1


def test_order_in_the_file_has_no_effect_and_the_seed_has(titanium):
    order = np.random.default_rng(1).permutation(len(titanium))
    straight = split_by_hash(titanium, fractions=FRACTIONS, seed=0)
    shuffled = split_by_hash(titanium.select(order), fractions=FRACTIONS, seed=0)
    for a, b in zip(straight, shuffled, strict=True):
        assert sorted(order[b]) == list(a)
    assert list(split_by_hash(titanium, fractions=FRACTIONS, seed=1).test) != list(straight.test)


def test_a_growing_file_moves_few_structures(titanium):
    now = split_by_hash(titanium.select(range(100)), fractions=FRACTIONS, seed=0)
    later = split_by_hash(titanium, fractions=FRACTIONS, seed=0)
    moved = sum(len(set(a) - set(b)) for a, b in zip(now, later, strict=True))
    assert moved <= 10  # of 100; a new shuffle would move about 34


def test_the_papers_split_keeps_the_order(titanium):
    split = split_in_order(titanium.select(range(50)), fractions=(0.7, 0.1, 0.2))
    assert [list(part) for part in split] == [list(range(35)), list(range(35, 40)), list(range(40, 50))]


def test_an_empty_training_or_validation_set_is_refused(titanium):
    with pytest.raises(DataError, match="validation set"):
        split_by_hash(titanium, fractions=(1.0, 0.0, 0.0), seed=0)
    with pytest.raises(DataError, match="train"):
        split_in_order(titanium.select([0]), fractions=FRACTIONS)
