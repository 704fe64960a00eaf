"""The loss is equation 1, whatever the packing, and its gradient is its derivative."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from numpy.typing import NDArray

import labelled
import potentials
from fusepot.data.bins import Packer
from fusepot.gradient import precision
from fusepot.potential import Potential, predict_many
from fusepot.training.loss import Sums, bin_loss, errors_of, no_sums
from fusepot.training.sections import LossSection

WEIGHTS = LossSection(energy=30.0, forces=0.7, virial=2.0, stress=500.0)
STUDENTS = {
    "lennard-jones": potentials.lennard_jones(("Ti", "Al"), cutoff=4.5),
    "dimenet++": potentials.dimenet(("Ti", "Al"), cutoff=4.5, n_blocks=1, embedding_size=6, n_spherical=3, n_radial=3),
}


def by_hand(student: Potential) -> NDArray:
    """Equation 1 for each structure, with plain numpy from predictions."""
    samples = labelled.dataset().samples
    found, _ = predict_many(student, [s.structure for s in samples])
    losses = []
    for sample, p in zip(samples, found, strict=True):
        n, loss = len(sample.structure), 0.0
        if sample.has[0]:
            loss += WEIGHTS.energy * ((p.energy - sample.energy) / n) ** 2
        if sample.has[1]:
            loss += WEIGHTS.forces / (3 * n) * ((p.forces - sample.forces) ** 2).sum()
        if sample.has[2]:
            loss += WEIGHTS.virial / 9 * ((p.virial - sample.virial) ** 2).sum() / n**2
            loss += WEIGHTS.stress / 9 * ((p.stress - sample.stress) ** 2).sum()
        losses.append(sample.weight * loss)
    return np.array(losses)


def total(student: Potential, packed: Packer, order: NDArray) -> tuple[float, list[NDArray], Sums]:
    """Loss, gradient and sums over all bins."""

    def one(params, batch):
        return bin_loss(student.architecture, student.config, WEIGHTS, params, batch)

    gradient_of = jax.jit(jax.value_and_grad(one, has_aux=True))
    loss, gradient, sums = 0.0, None, no_sums("float64")
    with precision("float64"):
        for members in packed.pack(order):
            (value, more), g = gradient_of(student.params, packed.build(members))
            loss += float(value)
            gradient = g if gradient is None else jax.tree.map(np.add, gradient, g)
            sums = jax.tree.map(np.add, sums, more)
    return loss, [np.asarray(leaf) for leaf in jax.tree.leaves(gradient)], sums


@pytest.mark.parametrize("name", STUDENTS)
def test_the_loss_is_equation_1_and_packing_changes_nothing(name):
    # The labels' reference energies are those of the student, so that both sides agree about them.
    student = potentials_with_references(STUDENTS[name])
    expected = by_hand(student)
    n = len(expected)
    loss, gradient, sums = total(student, labelled.packer(), np.arange(n))
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-11)
    assert sums.structures == n
    other_loss, other_gradient, _ = total(
        student, labelled.packer(atoms_per_bin=64), np.random.default_rng(3).permutation(n)
    )
    np.testing.assert_allclose(other_loss, loss, rtol=1e-12)
    scale = max(abs(leaf).max() for leaf in gradient)
    for a, b in zip(gradient, other_gradient, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12 * scale)


def potentials_with_references(student: Potential) -> Potential:
    return Potential(student.architecture, student.config, student.elements, (-1.0, -1.5), student.params, "float64")


@pytest.mark.parametrize("name", STUDENTS)
def test_the_gradient_is_the_derivative(name):
    """Central differences along random directions in all parameters: second derivatives of the model."""
    student, packed = STUDENTS[name], labelled.packer()
    order = np.arange(len(packed.dataset))
    _, gradient, _ = total(student, packed, order)
    leaves, tree = jax.tree.flatten(student.params)
    batches = [packed.build(members) for members in packed.pack(order)]
    value = jax.jit(lambda p, b: bin_loss(student.architecture, student.config, WEIGHTS, p, b)[0])
    for seed in range(3):
        rng = np.random.default_rng(seed)
        direction = [rng.normal(size=np.shape(leaf)) for leaf in leaves]
        analytic = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
        values = []
        for h in (-2e-5, -1e-5, 1e-5, 2e-5):
            params = tree.unflatten([leaf + h * d for leaf, d in zip(leaves, direction, strict=True)])
            with precision("float64"):
                values.append(sum(float(value(params, batch)) for batch in batches))
        numeric = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-5
        np.testing.assert_allclose(analytic, numeric, rtol=2e-6, err_msg=f"seed {seed}")


def test_sums_are_root_mean_square_errors():
    student = potentials_with_references(STUDENTS["lennard-jones"])
    samples = labelled.dataset().samples
    found, _ = predict_many(student, [s.structure for s in samples])
    _, _, sums = total(student, labelled.packer(), np.arange(len(samples)))
    got = errors_of(sums)
    pairs = list(zip(samples, found, strict=True))
    energy = [(p.energy - s.energy) / len(s.structure) for s, p in pairs if s.has[0]]
    forces = np.concatenate([(p.forces - s.forces).ravel() for s, p in pairs if s.has[1]])
    virial = np.concatenate([(p.virial - s.virial).ravel() / len(s.structure) for s, p in pairs if s.has[2]])
    for name, values in (
        ("energy_rmse_meV_per_atom", energy),
        ("forces_rmse_meV_per_A", forces),
        ("virial_rmse_meV_per_atom", virial),
    ):
        np.testing.assert_allclose(got[name], 1e3 * np.sqrt(np.mean(np.square(values))), rtol=1e-10)
    assert np.isnan(errors_of(no_sums("float64")._replace(structures=1.0))["energy_rmse_meV_per_atom"])


def test_the_papers_weights_in_our_units():
    """The numbers in the docstring of the loss."""
    kj = 96.48533212
    assert round(1e-6 * (kj * 256) ** 2) == 610
    assert round(1e-2 * (10 * kj) ** 2) == 9309
    assert round(4e-6 * (kj * 256) ** 2, -1) == 2440
