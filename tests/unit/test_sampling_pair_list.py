"""Pair lists of simulations: no pair is ever missing, and sums over their rows are the forces."""

from __future__ import annotations

import jax
import numpy as np

import potentials
import structures
from fusepot.gradient import forces_and_virial
from fusepot.sampling import Limits, Nve, advance, start
from fusepot.sampling.pair_list import forces_and_virial_trace, graph_at, outdated, pair_list
from fusepot.structure import Structure

ALLOY = potentials.lennard_jones(("Ti", "Al"))


def test_flag_is_raised_before_a_pair_can_be_missing() -> None:
    rng = np.random.default_rng(5)
    reference, skin = structures.triclinic(), 0.6
    potential = potentials.lennard_jones()
    with jax.enable_x64(True):
        pairs, _ = pair_list(potential, reference, skin=skin)
        raised = []
        for scale in (1.0, 0.98, 1.03):
            for amplitude in (0.05, 0.16, 0.25):
                moved = rng.normal(size=reference.positions.shape)
                moved *= amplitude / np.linalg.norm(moved, axis=1, keepdims=True)
                position = (scale - 1) * reference.positions + moved
                log_scale = np.log(scale)
                flag = bool(outdated(pairs, position, log_scale))
                assert flag == (2 * amplitude > scale * (5 + skin) - 5)
                raised.append(flag)
                if flag:
                    continue
                now = Structure(
                    reference.positions + position, reference.numbers, scale * reference.cell, reference.pbc
                )
                graph = graph_at(pairs, position, log_scale)
                expected, _ = pair_list(potential, now, skin=1e-9)
                near = np.asarray(graph.pair_mask) & (np.linalg.norm(graph.vectors, axis=1) < 5)
                ours = np.asarray(graph.vectors)[near]
                found = expected.graph.vectors[expected.graph.pair_mask]
                np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(found, axis=0), atol=1e-9)
                np.testing.assert_allclose(graph.volumes[0], now.volume)
        assert {True, False} == set(raised)
        assert bool(outdated(pairs, np.full_like(reference.positions, np.nan), None))


def test_forces_by_rows_are_the_scattered_sums() -> None:
    rng = np.random.default_rng(6)
    for structure in (structures.alloy(), structures.same_neighbor_two_images()):
        with jax.enable_x64(True):
            pairs, _ = pair_list(ALLOY, structure, skin=0.3)
            gradient = rng.normal(size=pairs.graph.vectors.shape) * pairs.graph.pair_mask[:, None]
            forces, trace = jax.jit(forces_and_virial_trace)(pairs.graph, gradient)
            expected, virial = jax.jit(forces_and_virial)(pairs.graph, gradient)
        np.testing.assert_allclose(forces, expected, rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(trace, np.trace(virial[0]), rtol=1e-12)


def test_atoms_that_fly_get_a_thicker_skin_in_time() -> None:
    """Two atoms that pass each other at 0.5 Å per block: the first lists do not hold for a single one."""
    positions = np.array([[0.0, 0.0, 0.0], [12.0, 2.9, 0.0]])
    structure = Structure(positions, np.array([22, 22]), np.zeros((3, 3)), np.zeros(3, dtype=bool))
    potential, ensemble, fast = potentials.lennard_jones(), Nve(1.0), Limits(temperature_K=1e7)
    trajectories = []
    for skin in (0.1, 30.0):
        state = start(potential, structure, ensemble, seed=0, skin=skin)._replace(sizes=np.array([8, 8]))
        speed = 0.025 * np.array([[1.0, 0, 0], [-1.0, 0, 0]])  # Å/fs
        state = state._replace(motion=state.motion._replace(momentum=speed * state.motion.mass))
        state, trajectory = advance(potential, state, ensemble, steps=200, timestep_fs=2.0, sample_every=5, limits=fast)
        assert (state.listed > 0) == (skin == 0.1)
        trajectories.append(trajectory)
    ours, expected = trajectories
    np.testing.assert_allclose(ours.positions, expected.positions, atol=1e-9)
    assert ours.energies.min() < ours.energies[0] - 0.1, "they missed each other"
