"""Bins: every structure once, few shapes, labels where they belong."""

from __future__ import annotations

import numpy as np
import pytest

import labelled
from fusepot.data import load_dataset, reference_energies
from fusepot.data.bins import prepare
from fusepot.graph import capacity_of


@pytest.mark.parametrize("atoms_per_bin", [4, 12, 24, 200])
def test_every_structure_once_whatever_the_order(atoms_per_bin):
    packed = labelled.packer(atoms_per_bin=atoms_per_bin)
    shapes = set()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(packed.dataset))
        bins = list(packed.pack(order))
        assert sorted(i for members in bins for i in members) == list(range(len(packed.dataset)))
        shapes |= {capacity_of(packed.build(members).graph) for members in bins}
    # Whatever falls together, only the planned shapes occur: nothing is compiled twice.
    assert shapes <= set(packed.classes)


def test_labels_stand_where_their_structure_stands():
    packed = labelled.packer()
    for members in packed.pack(range(len(packed.dataset))):
        batch = packed.build(members)
        start = 0
        for k, i in enumerate(members):
            sample = packed.dataset.samples[i]
            n = len(sample.structure)
            assert (batch.index[k], batch.atoms[k], batch.weight[k]) == (i, n, sample.weight)
            assert (batch.has_energy[k], batch.has_forces[k], batch.has_virial[k]) == sample.has
            rows = slice(start, start + n)
            assert (batch.graph.system[rows] == k).all()
            reference = sum({"Ti": -1.0, "Al": -1.5}[e] for e in sample.structure.symbols)
            expected = (sample.energy - reference) / n if sample.has[0] else 0
            np.testing.assert_allclose(batch.energy[k], expected, rtol=1e-12)
            np.testing.assert_array_equal(batch.forces[rows], np.nan_to_num(sample.forces))
            np.testing.assert_allclose(batch.virial[k], np.nan_to_num(sample.virial) / n)
            start += n
        assert not batch.graph.atom_mask[start:].any()
        assert (batch.weight[len(members) :] == 0).all()
        assert (batch.index[len(members) :] == -1).all()
        assert all(np.isfinite(leaf).all() for leaf in batch[1:])


def test_large_structures_have_bins_of_their_own():
    packed = labelled.packer(atoms_per_bin=12)
    large = [i for i, s in enumerate(packed.dataset.samples) if len(s.structure) > 12]
    assert large
    for members in packed.pack(range(len(packed.dataset))):
        assert len(members) == 1 or not set(members) & set(large)


def test_titanium_bins_are_well_filled():
    titanium = load_dataset("ti_pbe")
    references = reference_energies(titanium.samples, ("Ti",))
    packed = prepare(
        titanium, cutoff=5.0, elements=("Ti",), reference_energies=references, dtype="float32", atoms_per_bin=32
    )
    bins = [packed.build(members) for members in packed.pack(np.random.default_rng(0).permutation(len(titanium)))]
    assert len(packed.classes) <= 3
    assert np.mean([b.graph.atom_mask.mean() for b in bins]) > 0.75
    # Subtracted in float64: what remains is the small energy the network learns.
    assert max(abs(b.energy).max() for b in bins) < 1.5
    assert bins[0].energy.dtype == np.float32
