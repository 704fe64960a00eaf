"""Ensemble averages with error bars, differentiable by reweighting.

A **term** is a quantity of one frame (``terms``), an **average** its weighted mean over frames (``reweighting``), an
**observable** a function of averages (``interface``; by name in ``registry``), and its error comes from leaving out
blocks of frames or from autocorrelation (``statistics``). ``observe`` does all of it for one trajectory. A trainer
composes the same pure functions, inside ``with precision("float64")``::

    series = evaluate(potential.model, params, frames, terms=terms_of(observables) | {ENERGY})
    weights = reweight(reference_energies, series["energy"].values, temperature_K)
    averages = average(series, weights.values)
    loss = sum((o.value(averages, state) - target) ** 2 for o, target in zip(observables, targets))
"""

from fusepot.observables.distributions import Distribution, angular_distribution, radial_distribution
from fusepot.observables.elastic import StatePoint
from fusepot.observables.frames import Frames, make_frames
from fusepot.observables.interface import Observable, terms_of
from fusepot.observables.observe import Estimate, Observations, estimate, evaluate_frames, observe, state_point
from fusepot.observables.registry import OBSERVABLES, find_observable
from fusepot.observables.reweighting import Weights, average, equal_weights, reweight
from fusepot.observables.statistics import jackknife
from fusepot.observables.terms import ENERGY, Series, Snapshot, Term, evaluate

__all__ = [
    "ENERGY", "OBSERVABLES", "Distribution", "Estimate", "Frames", "Observable", "Observations", "Series",
    "Snapshot", "StatePoint", "Term", "Weights", "angular_distribution", "average", "equal_weights", "estimate",
    "evaluate", "evaluate_frames", "find_observable", "jackknife", "make_frames", "observe", "radial_distribution",
    "reweight", "state_point", "terms_of",
]  # fmt: skip
