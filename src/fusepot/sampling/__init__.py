"""Molecular dynamics with a potential inside JAX: ``simulate``, or ``start`` and ``advance`` to go on from a state."""

from fusepot.sampling.dynamics import System, advance, advance_many, simulate, simulate_many
from fusepot.sampling.ensembles import Chain, Ensemble, Npt, Nve, Nvt, NvtNoseHoover
from fusepot.sampling.limits import Limits, SimulationDiverged
from fusepot.sampling.state import State, start
from fusepot.sampling.trajectory import Trajectory, concatenate

__all__ = [
    "Chain",
    "Ensemble",
    "Limits",
    "Npt",
    "Nve",
    "Nvt",
    "NvtNoseHoover",
    "SimulationDiverged",
    "State",
    "System",
    "Trajectory",
    "advance",
    "advance_many",
    "concatenate",
    "simulate",
    "simulate_many",
    "start",
]
