"""State, skin, chunks and batches: results must not depend on any of them, and what diverges or is misused is named."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from ase.build import bulk

import potentials
import structures
from fusepot.errors import InputError
from fusepot.sampling import (
    Ensemble,
    Limits,
    Npt,
    Nve,
    Nvt,
    NvtNoseHoover,
    SimulationDiverged,
    State,
    advance,
    advance_many,
    lists,
    loop,
    simulate,
    start,
)
from fusepot.sampling.ensembles import Chain
from fusepot.sampling.program import FRAMES, compiled
from fusepot.sampling.state import relisted
from fusepot.structure import Structure

POTENTIAL = potentials.lennard_jones(("Ti", "Al"))
ENSEMBLES: tuple[Ensemble, ...] = (Nve(2500.0), Nvt(1200.0, 10.0), NvtNoseHoover(1200.0), Npt(1200.0, 1.0, 50.0, 100.0))
# Each compiles; what is left out of the quick run is between the others.
EVERY_ENSEMBLE = pytest.mark.parametrize(
    "ensemble",
    [pytest.param(e, marks=[pytest.mark.slow] if isinstance(e, NvtNoseHoover) else []) for e in ENSEMBLES],
    ids=lambda ensemble: type(ensemble).__name__,
)
RUN = {"timestep_fs": 2.0, "sample_every": 5}
SKIN = 0.4
SIZES = np.array([4352, 136])  # of the longest list here, so that all tests share compiled code


def crystal(a: float = 4.05) -> Structure:
    """Both elements on fcc sites, 32 atoms."""
    atoms = bulk("Al", "fcc", a=a, cubic=True).repeat(2)
    atoms.numbers[::3] = 22
    return Structure.from_ase(atoms)


def hot(ensemble: Ensemble, *, seed: int = 3, skin: float = SKIN, dtype: str = "float64") -> State:
    state = start(POTENTIAL.with_dtype(dtype), crystal(), ensemble, seed=seed, skin=skin)
    return state._replace(sizes=SIZES)


@pytest.fixture
def thin_skins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that are made again every few steps, instead of growing a skin that lasts."""
    monkeypatch.setattr(lists, "THICKEST", SKIN)


@pytest.mark.usefixtures("thin_skins")
@EVERY_ENSEMBLE
def test_40_and_160_steps_are_200_steps_bit_by_bit(ensemble: Ensemble) -> None:
    begin = hot(ensemble)
    at_once, long = advance(POTENTIAL, begin, ensemble, steps=200, **RUN)
    half, first = advance(POTENTIAL, begin, ensemble, steps=40, **RUN)
    half = jax.tree.map(lambda leaf: np.frombuffer(leaf.tobytes(), leaf.dtype).reshape(leaf.shape), half)  # a file
    twice, second = advance(POTENTIAL, half, ensemble, steps=160, **RUN)
    assert at_once.listed > 40, "no list was made again: the test would not see a difference"
    for ours, expected in zip(jax.tree.leaves(twice), jax.tree.leaves(at_once), strict=True):
        np.testing.assert_array_equal(ours, expected)
    for name in ("positions", "cells", "energies", "kinetic_energies"):
        joined = np.concatenate([getattr(first, name), getattr(second, name)])
        np.testing.assert_array_equal(joined, getattr(long, name), err_msg=name)
    np.testing.assert_array_equal(long.positions[-1], at_once.structure.positions)


@pytest.mark.usefixtures("thin_skins")
def test_float32_continues_bit_by_bit_and_follows_float64() -> None:
    ensemble, single = Nve(2500.0), POTENTIAL.with_dtype("float32")
    begin = hot(ensemble, dtype="float32")
    at_once, long = advance(single, begin, ensemble, steps=200, **RUN)
    half, _ = advance(single, begin, ensemble, steps=40, **RUN)
    twice, _ = advance(single, half, ensemble, steps=160, **RUN)
    assert at_once.motion.momentum.dtype == np.float32
    assert at_once.listed > 40
    for ours, expected in zip(jax.tree.leaves(twice), jax.tree.leaves(at_once), strict=True):
        np.testing.assert_array_equal(ours, expected)
    _, reference = advance(POTENTIAL, hot(ensemble), ensemble, steps=200, **RUN)
    np.testing.assert_allclose(long.positions[:10], reference.positions[:10], atol=2e-4)
    np.testing.assert_allclose(long.energies[:10], reference.energies[:10], atol=2e-3)


@pytest.mark.usefixtures("thin_skins")
@EVERY_ENSEMBLE
def test_results_do_not_depend_on_the_skin(ensemble: Ensemble) -> None:
    thin, ours = advance(POTENTIAL, hot(ensemble), ensemble, steps=100, **RUN)
    thick, expected = advance(POTENTIAL, hot(ensemble, skin=3.0), ensemble, steps=100, **RUN)
    assert thin.listed > 0
    assert thick.listed == 0
    np.testing.assert_allclose(ours.positions, expected.positions, atol=1e-9)
    np.testing.assert_allclose(ours.energies, expected.energies, atol=1e-9)
    np.testing.assert_allclose(ours.cells, expected.cells, atol=1e-9)


@pytest.mark.usefixtures("thin_skins")
def test_batches_are_single_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    ensembles = [Nvt(500.0), Nvt(3000.0, friction_per_ps=1.0), Nvt(2000.0)]
    states = [
        start(POTENTIAL, crystal(4.0 + 0.05 * k), e, seed=k, skin=SKIN)._replace(sizes=SIZES)
        for k, e in enumerate(ensembles)
    ]
    after, together = advance_many(POTENTIAL, states, ensembles, steps=100, **RUN)
    for state, ensemble, ours, end in zip(states, ensembles, together, after, strict=True):
        alone_end, alone = advance(POTENTIAL, state, ensemble, steps=100, **RUN)
        np.testing.assert_allclose(ours.positions, alone.positions, atol=1e-9)
        np.testing.assert_allclose(ours.energies, alone.energies, atol=1e-9)
        assert ours.temperature_K == ensemble.temperature_K
        assert end.listed == alone_end.listed
    assert len({int(state.listed) for state in after}) > 1, "lists were made again at the same steps"
    # As on a GPU: all systems in every operation.
    monkeypatch.setattr(loop, "vectorize", lambda: True)
    _, vectorized = advance_many(POTENTIAL, states, ensembles, steps=100, **RUN)
    for ours, expected in zip(vectorized, together, strict=True):
        np.testing.assert_allclose(ours.positions, expected.positions, atol=1e-9)


def test_simulate_is_start_and_advance() -> None:
    ensemble, structure = Nve(300.0), crystal(4.1)
    trajectory = simulate(
        POTENTIAL, structure, ensemble=ensemble, seed=4, steps=40, equilibration_steps=20, skin=3.0, **RUN
    )
    state = start(POTENTIAL, structure, ensemble, seed=4)._replace(sizes=SIZES)
    state, _ = advance(POTENTIAL, state, ensemble, steps=20, **RUN)
    _, expected = advance(POTENTIAL, state, ensemble, steps=40, **RUN)
    assert len(trajectory) == 8
    np.testing.assert_allclose(trajectory.positions, expected.positions, atol=1e-10)
    np.testing.assert_allclose(trajectory.structure.positions, state.structure.positions, atol=1e-10)


def test_nothing_is_compiled_again_for_other_numbers() -> None:
    plan = loop.plan_of([hot(Nvt(100.0))], [Nvt(100.0)], steps=40, sample_every=5)
    program = compiled(POTENTIAL.model, plan)
    advance(POTENTIAL, hot(Nvt(100.0)), Nvt(100.0), steps=40, **RUN)
    before = program._cache_size()  # type: ignore[attr-defined]
    other = replace(POTENTIAL, params={name: 0.99 * leaf for name, leaf in POTENTIAL.params.items()})
    state = start(other, crystal(4.06), Nvt(130.0, 3.0), seed=9)._replace(sizes=SIZES)
    advance(other, state, Nvt(130.0, 3.0), steps=120, timestep_fs=1.0, sample_every=5)
    assert program._cache_size() == before > 0  # type: ignore[attr-defined]


def test_another_potential_moves_a_state_by_its_own_forces() -> None:
    stiff = replace(POTENTIAL, params=POTENTIAL.params | {"epsilon": 3 * POTENTIAL.params["epsilon"]})
    state, _ = advance(POTENTIAL, hot(Nve(300.0), skin=1.0), Nve(300.0), steps=20, **RUN)
    onward, _ = advance(stiff, state, Nve(300.0), steps=20, **RUN)
    clean = state._replace(motion=state.motion._replace(force=np.full_like(state.motion.force, np.nan)))
    clean = clean._replace(forces_of=np.zeros_like(state.forces_of))
    expected, _ = advance(stiff, clean, Nve(300.0), steps=20, **RUN)
    np.testing.assert_array_equal(onward.motion.position, expected.motion.position)


def test_ensembles_can_follow_one_another() -> None:
    state = hot(Npt(700.0, 2.0, 50.0, 100.0))
    volume = state.structure.volume
    state, _ = advance(POTENTIAL, state, Npt(700.0, 2.0, 50.0, 100.0), steps=100, **RUN)
    before = state.structure
    assert abs(before.volume / volume - 1) > 1e-3
    state, trajectory = advance(POTENTIAL, state, Nve(1.0), steps=100, **RUN)
    np.testing.assert_allclose(trajectory.structure.positions, before.positions, atol=1e-12)
    np.testing.assert_allclose(trajectory.volumes, before.volume, rtol=1e-12)
    total = trajectory.energies + trajectory.kinetic_energies
    assert np.ptp(total) < 0.05


def test_relisting_moves_nothing() -> None:
    state, _ = advance(POTENTIAL.with_dtype("float32"), hot(Nve(900.0), dtype="float32"), Nve(900.0), steps=20, **RUN)
    for leave in (0.0, 0.1, 9.0):
        again = relisted(state, leave=leave)
        np.testing.assert_allclose(again.structure.positions, state.structure.positions, rtol=0, atol=1e-14)
        assert np.linalg.norm(again.motion.position, axis=1).max() <= leave * 1.0001


def test_divergence_raises_and_says_where() -> None:
    ensemble, cold = Nve(900.0), Nve(1.0)
    state = hot(ensemble)
    with pytest.raises(SimulationDiverged, match=r"temperature ran away.*Shorten the time step") as caught:
        advance(POTENTIAL, state, ensemble, steps=2000, timestep_fs=50.0, sample_every=20)
    assert caught.value.system == 0
    assert caught.value.temperature_K > 14000
    with pytest.raises(SimulationDiverged, match="temperature ran away"):
        advance(POTENTIAL, state, ensemble, steps=20, limits=Limits(temperature_K=50.0), **RUN)

    # Atoms that hardly repel each other, 1 Å apart.
    weak = replace(POTENTIAL, params=POTENTIAL.params | {"epsilon": 1e-12 * POTENTIAL.params["epsilon"]})
    close = state.reference.copy()
    close[1] = close[0] + 1.0 / np.sqrt(3)
    state = hot(cold)._replace(reference=close)
    with pytest.raises(SimulationDiverged, match="two atoms overlap"):
        advance(weak, state, cold, steps=20, **RUN)
    advance(weak, state, cold, steps=20, limits=Limits(contact=0.3), **RUN)
    with pytest.raises(SimulationDiverged):  # atoms that do repel each other: whatever comes first
        advance(POTENTIAL, state, cold, steps=20, **RUN)

    lost = replace(POTENTIAL, params=POTENTIAL.params | {"epsilon": np.full((2, 2), np.nan)})
    with pytest.raises(SimulationDiverged, match="not finite"):
        advance(lost, hot(ensemble), ensemble, steps=20, **RUN)


def test_velocities_are_drawn_from_the_seed() -> None:
    first, again, other = (hot(Nvt(300.0), seed=seed).motion for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.momentum, again.momentum)
    assert not np.allclose(first.momentum, other.momentum)
    np.testing.assert_allclose(first.momentum.sum(axis=0), 0, atol=1e-10)
    momenta = np.concatenate([hot(Nvt(300.0), seed=seed).motion.momentum for seed in range(200)])
    kT = np.mean(np.sum(momenta**2, axis=1) / np.tile(first.mass[:, 0], 200)) * 32 / 31 / 3
    assert abs(kT / (8.617333262e-5 * 300) - 1) < 4 * np.sqrt(2 / (200 * 93))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 33}, "steps: got 33, expected a multiple of sample_every"),
        ({"sample_every": 0}, "sample_every: got 0"),
        ({"timestep_fs": 0.0}, "timestep_fs: got 0.0"),
        ({"seed": -1}, "seed: got -1"),
        ({"skin": 0.0}, "skin: got 0.0"),
        ({"equilibration_steps": 7}, "steps: got 7"),
    ],
)
def test_misuse_names_the_argument(change: dict, message: str) -> None:
    settings = {"steps": 40, "timestep_fs": 1.0, "sample_every": 5, "ensemble": Nvt(300.0)} | change
    with pytest.raises(InputError, match=message):
        simulate(POTENTIAL, crystal(), **settings)


def test_ensembles_check_their_numbers() -> None:
    with pytest.raises(InputError, match="temperature_K: got -1"):
        Nvt(-1.0)
    with pytest.raises(InputError, match="friction_per_ps: got 0"):
        Nvt(300.0, friction_per_ps=0)
    with pytest.raises(InputError, match="chain: got"):
        NvtNoseHoover(300.0, chain=Chain(1))
    with pytest.raises(InputError, match="structure is open"):
        start(POTENTIAL, structures.slab(), Npt(300.0), seed=0)
    with pytest.raises(InputError, match="only Ti"):
        start(potentials.lennard_jones(), structures.fcc(), Nvt(300.0), seed=0)
    with pytest.raises(InputError, match="same kind of ensemble"):
        advance_many(POTENTIAL, [hot(Nvt(300.0))] * 2, [Nvt(300.0), Nve(300.0)], steps=20, **RUN)


def test_many_quick_portions_do_not_overflow():
    """Portions grew twofold with every quick one, beyond 64 bits after sixty."""
    frames = 90 * FRAMES  # ninety portions
    state, trajectory = advance(POTENTIAL, hot(Nve(300.0)), Nve(300.0), steps=5 * frames, **RUN)
    assert trajectory.positions.shape == (frames, 32, 3)
    assert state.step == 5 * frames
