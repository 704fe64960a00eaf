"""Structures packed into bins: padded graphs of few shapes, so that nothing is compiled twice.

Several small structures share one graph (a bin of about ``atoms_per_bin`` atoms); a large one is a bin of its own. All
bins of one shape class have the same array sizes. Classes also separate dense structures from dilute ones, since the
cost of a row of neighbours grows with the square of its length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fusepot.data.dataset import Dataset
from fusepot.graph import Capacity, Graph, build_graph, measure, round_up
from fusepot.neighbors import Pairs, find_pairs

Array = Any


class Bin(NamedTuple):
    """A graph of ``S`` systems and ``N`` atoms and its labels; unused systems have weight zero.

    Attributes:
        graph: the padded graph.
        atoms: (S,) number of atoms, 1 for an unused system.
        weight: (S,) weight of the structure in the loss.
        energy: (S,) eV per atom, reference energies already subtracted; 0 where unknown.
        forces: (N, 3) eV/Å; 0 where unknown.
        virial: (S, 3, 3) dE/d(strain) in eV per atom; 0 where unknown.
        has_energy, has_forces, has_virial: (S,) whether the label is known.
        index: (S,) position of the structure in the dataset, -1 for an unused system.
    """

    graph: Graph
    atoms: Array
    weight: Array
    energy: Array
    forces: Array
    virial: Array
    has_energy: Array
    has_forces: Array
    has_virial: Array
    index: Array


@dataclass(frozen=True)
class Packer:
    """A dataset with its neighbour lists, ready to be packed.

    Attributes:
        dataset: the structures.
        pairs: of each structure, found once.
        elements: species are indices into these.
        reference_energies: eV per atom of each element, subtracted in float64.
        cutoff: Å.
        dtype: "float32" or "float64", of the arrays in a bin.
        classes: array sizes of each shape class.
        shape: (structures,) shape class of each structure.
    """

    dataset: Dataset
    pairs: tuple[Pairs, ...]
    elements: tuple[str, ...]
    reference_energies: tuple[float, ...]
    cutoff: float
    dtype: str
    classes: tuple[Capacity, ...]
    shape: tuple[int, ...]

    def pack(self, order: Iterable[int]) -> Iterator[tuple[int, ...]]:
        """Fill bins with the structures in this order; yields each bin's members when the next one does not fit.

        One bin per shape class is open at a time, so structures keep their order within a class.
        """
        open_bins: dict[int, list[int]] = defaultdict(list)
        for index in (int(i) for i in order):
            kind = self.shape[index]
            members = [*open_bins[kind], index]
            if not self._fits(members, self.classes[kind]):
                yield tuple(open_bins[kind])
                members = [index]
            open_bins[kind] = members
        yield from (tuple(members) for _, members in sorted(open_bins.items()) if members)

    def _fits(self, members: Sequence[int], capacity: Capacity) -> bool:
        need = measure([self.dataset.samples[i].structure for i in members], [self.pairs[i] for i in members])
        return all(n <= have for n, have in zip(need, capacity, strict=True))

    def build(self, members: Sequence[int]) -> Bin:
        """The padded arrays of a bin with these members."""
        capacity = self.classes[self.shape[members[0]]]
        samples = [self.dataset.samples[i] for i in members]
        graph = build_graph(
            [sample.structure for sample in samples],
            cutoff=self.cutoff,
            elements=self.elements,
            dtype=self.dtype,
            at_least=capacity,
            pairs=[self.pairs[i] for i in members],
        )
        size, n = len(members), capacity.systems
        atoms, weight, energy = np.ones(n), np.zeros(n), np.zeros(n)
        forces, virial = np.zeros((capacity.atoms, 3)), np.zeros((n, 3, 3))
        has = np.zeros((3, n), dtype=bool)
        start = 0
        for k, sample in enumerate(samples):
            count = len(sample.structure)
            stop = start + count
            has[:, k] = sample.has
            atoms[k], weight[k] = count, sample.weight
            if has[0, k]:
                reference = np.asarray(self.reference_energies)[graph.species[start:stop]].sum()
                energy[k] = (sample.energy - reference) / count
            if has[1, k]:
                forces[start:stop] = sample.forces
            if has[2, k]:
                virial[k] = sample.virial / count
            start = stop
        index = np.full(n, -1, dtype=np.int32)
        index[:size] = members
        numbers = (array.astype(self.dtype) for array in (atoms, weight, energy, forces, virial))
        return Bin(graph, *numbers, *has, index)  # type: ignore[call-arg]  # five and three fields


def prepare(
    dataset: Dataset,
    *,
    cutoff: float,
    elements: tuple[str, ...],
    reference_energies: tuple[float, ...],
    dtype: str,
    atoms_per_bin: int = 64,
) -> Packer:
    """Find neighbours and choose shape classes.

    Args:
        dataset: what to pack.
        cutoff: pair cutoff in Å.
        elements: see ``Packer``.
        reference_energies: see ``Packer``.
        dtype: see ``Packer``.
        atoms_per_bin: structures up to this size share bins.

    Raises:
        InputError: coinciding atoms.
    """
    pairs = tuple(find_pairs(sample.structure, cutoff) for sample in dataset.samples)
    sizes = np.array([len(sample.structure) for sample in dataset.samples])
    rows = np.array([max(1, p.largest_row()) for p in pairs])
    keys = _shape_keys(sizes, rows, atoms_per_bin)
    known = sorted(set(keys))
    classes = []
    for key in known:
        members = [i for i, k in enumerate(keys) if k == key]
        counts = np.array([len(pairs[i]) for i in members])
        atoms = key[0]
        # Room for bins denser than the average, and for the densest structure alone.
        density = 1.08 * counts.sum() / sizes[members].sum()
        classes.append(
            Capacity(
                atoms=atoms,
                pairs=round_up(int(max(counts.max(), density * atoms))),
                neighbors=-(-int(rows[members].max()) // 8) * 8,
                systems=max(1, atoms // int(sizes[members].min())),
            )
        )
    shape = tuple(known.index(key) for key in keys)
    return Packer(dataset, pairs, elements, reference_energies, cutoff, dtype, tuple(classes), shape)


def _shape_keys(sizes: np.ndarray, rows: np.ndarray, atoms_per_bin: int) -> list[tuple[int, int]]:
    """(atoms, neighbours) of the shape class of each structure."""
    atoms = [atoms_per_bin if size <= atoms_per_bin else round_up(int(size)) for size in sizes]
    keys = [(a, -(-int(row) // 16) * 16) for a, row in zip(atoms, rows, strict=True)]
    # A class that would fill few bins is not worth a compilation: it joins the next class with longer rows.
    for key in sorted(set(keys)):
        members = [i for i, k in enumerate(keys) if k == key]
        longer = sorted(k for k in set(keys) if k[0] == key[0] and k[1] > key[1])
        if longer and sizes[members].sum() < max(0.15 * sizes.sum(), 2 * atoms_per_bin):
            for i in members:
                keys[i] = longer[0]
    return keys
