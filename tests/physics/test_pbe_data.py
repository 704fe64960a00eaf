"""The shipped PBE labels obey physics."""

from __future__ import annotations

import numpy as np
import pytest

from reference import labels, strains


def test_the_plan_is_what_its_script_makes(plan, maker):
    made = maker.interleaved(maker.groups())
    assert sorted(plan) == list(range(len(made)))
    for number, atoms in enumerate(made):
        kind, rattle, planned = plan[number]
        assert (kind, rattle) == (atoms.info["config_type"], atoms.info["rattle"])
        np.testing.assert_allclose(planned.cell, atoms.cell.array, atol=1e-7)
        np.testing.assert_allclose(planned.positions, atoms.positions, atol=1e-7)


def test_every_structure_is_the_planned_one_in_order(entries, plan):
    assert labels.misplaced(entries, plan) == []


def test_no_structure_twice(entries):
    assert labels.repeated(entries) == []


def test_forces_and_stresses_have_the_symmetry_of_their_structure(entries):
    assert labels.asymmetric(entries) == []


def test_nothing_is_beyond_what_the_structure_explains(entries):
    assert labels.absurd(entries) == []


def test_energies_agree_with_forces_and_stresses(entries, bases):
    assert strains.inconsistent(entries, bases) == []


@pytest.mark.parametrize("count", [1, 20, 45, 90])
def test_the_checks_hold_for_any_beginning_of_the_plan(entries, bases, plan, count):
    first = entries[:count]
    assert labels.misplaced(first, plan) == []
    assert labels.absurd(first) == []
    assert strains.inconsistent(first, bases) == []
    strains.check_curves(strains.curves(first))


def test_equations_of_state(entries):
    curves = strains.curves(entries)
    assert "hcp" in curves
    strains.check_curves(curves)


def test_energies_of_strained_crystals_have_the_slope_of_the_stress(entries, bases):
    """The same offset from crystals strained in all six ways, near equilibrium."""
    offsets = strains.strain_offsets(entries, bases)
    assert "hcp" in offsets
    strains.check_offsets(offsets)
