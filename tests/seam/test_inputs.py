"""Inputs first: the pairs that the Python side receives are the pairs of the structure, whatever LAMMPS cut it into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusepot.neighbors import find_pairs
from fusepot.structure import Structure
from seam import cells, statics
from seam.harness import run

CELLS = cells.all_cells()
CUTOFF = {"lj": 5.0, "near": 3.6}
HOPS = {"lj": 1, "near": 2}
ELEMENTS = ["Ti", "Al"]

# Runs a deck and saves, instead of evaluating, what each evaluation is given: file RANK-NUMBER.npz.
RECORDER = """
from mpi4py import MPI
from lammps import lammps
import numpy as np
from fusepot.serving.lammps import PairServer

calls = []

def compute(server, atoms, pairs, *, members=False):
    a = server._arrays
    a.energies[:], a.gradient[:] = 0.0, 0.0
    owned = program.extract_global("nlocal")
    np.savez(
        f"{MPI.COMM_WORLD.Get_rank()}-{len(calls)}.npz", ids=program.numpy.extract_atom("id")[:owned],
        atoms=atoms, pairs=pairs,
        capacity=server.capacity, centers=a.centers, others=a.others, reverse=a.reverse, vectors=a.vectors,
        species=a.species, counted=a.counted,
    )
    calls.append(server)

PairServer.compute = compute
program = lammps(cmdargs=["-log", "deck.log"])
program.file("deck.in")
"""


def check_rank(given: dict[str, np.ndarray], structure: Structure, *, cutoff: float, hops: int) -> set[int]:
    """Compare one rank's graph with the structure's pairs; returns the atoms that it counts."""
    n, e, ids = int(given["atoms"]), int(given["pairs"]), given["ids"] - 1
    capacity = len(given["centers"])
    centers, others, vectors = given["centers"][:e], given["others"][:e], given["vectors"][:e]
    assert (np.diff(centers) >= 0).all(), "pairs are sorted by center"
    assert (given["centers"][e:] == len(given["species"]) - 1).all()
    assert (given["reverse"][e:] == capacity).all()
    assert (np.linalg.norm(given["vectors"][e:], axis=1) == cutoff).all(), "padding lies at the cutoff"
    assert e <= capacity
    assert n <= len(given["species"])
    assert np.bincount(centers, minlength=1).max(initial=0) <= given["capacity"][2]

    # Which atom is each node? Owned atoms come first, in LAMMPS's order; vectors lead from them to the others. Nodes
    # that no chain of pairs within the cutoff reaches (they are within the skin) have no effect.
    reference = find_pairs(structure, cutoff)
    rows = {atom: np.flatnonzero(reference.centers == atom) for atom in range(len(structure))}
    start = np.searchsorted(centers, np.arange(n + 1))
    atom_of: dict[int, int] = {node: int(atom) for node, atom in enumerate(ids)}
    level, waiting = dict.fromkeys(atom_of, 0), list(atom_of)
    for i in waiting:
        row = rows[atom_of[i]]
        for pair in range(start[i], start[i + 1]):
            j = int(others[pair])
            distance = np.linalg.norm(reference.vectors[row] - vectors[pair], axis=1)
            assert distance.min(initial=np.inf) < 1e-10, f"pair {pair} does not exist"
            atom = int(reference.others[row[distance.argmin()]])
            assert atom_of.setdefault(j, atom) == atom, f"node {j} is atoms {atom_of[j]} and {atom}"
            if j not in level:
                level[j] = level[i] + 1
                waiting.append(j)
    assert len(set(atom_of.values())) == len(atom_of), "an atom is one node, however many of its copies are in reach"

    lengths = np.bincount(centers, minlength=n)
    for node, atom in atom_of.items():
        # Distinct pairs that all exist: the row is complete if it is as long.
        if level[node] < hops:
            assert lengths[node] == len(rows[atom]), f"row of atom {atom}, {level[node]} pairs away, is incomplete"
    found = [(int(i), int(j), *np.round(v, 6)) for i, j, v in zip(centers, others, vectors, strict=True)]
    assert len(set(found)) == e, "a pair is listed twice"

    if hops > 1:
        for pair, back in enumerate(given["reverse"][:e]):
            if back == capacity:
                assert lengths[others[pair]] == 0, f"pair {pair} exists in reverse, but was not found"
            else:
                assert (centers[back], others[back]) == (others[pair], centers[pair])
                assert np.abs(vectors[back] + vectors[pair]).max() < 1e-10

    symbols = structure.symbols
    assert all(ELEMENTS[given["species"][node]] == symbols[atom] for node, atom in atom_of.items())
    counted = np.flatnonzero(given["counted"])
    assert counted.tolist() == list(range(len(ids))), "a rank counts the atoms that it owns"
    return {int(atom) for atom in ids}


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_pairs_are_those_of_the_structure(models: dict[str, Path], tmp_path: Path, ranks: int) -> None:
    keys = [(model, cell) for model in CUTOFF for cell in CELLS]
    cases = {f"{model}/{cell}": statics.fusepot(cell, models[model]) for model, cell in keys}
    (tmp_path / "deck.in").write_text(statics.deck(tmp_path, CELLS, cases))
    run(tmp_path, RECORDER, ranks=ranks, host="script", name="record").ok()
    for number, (model, cell) in enumerate(keys):
        seen: list[int] = []
        for rank in range(ranks):
            with np.load(tmp_path / f"{rank}-{number}.npz") as file:
                try:
                    seen += check_rank(dict(file), CELLS[cell], cutoff=CUTOFF[model], hops=HOPS[model])
                except AssertionError as error:
                    raise AssertionError(f"{model} {cell}, rank {rank} of {ranks}: {error}") from None
        assert sorted(seen) == list(range(len(CELLS[cell]))), f"{model} {cell}: each atom is counted once"
    if ranks > 1:  # the long cell is really cut; otherwise levels and missing reverse pairs would go untested
        with np.load(tmp_path / f"0-{keys.index(('near', 'beam'))}.npz") as file:
            assert len(file["ids"]) < file["atoms"] < len(CELLS["beam"])
            assert (file["reverse"][: int(file["pairs"])] == len(file["reverse"])).any()
