"""Model: a potential without its parameters, which is what compiled code depends on."""

from __future__ import annotations

from typing import NamedTuple

import jax

from fusepot.gradient import Engine, GraphPrediction, energy_and_pair_gradient, predict_graph
from fusepot.graph import Graph
from fusepot.members import each_member
from fusepot.models.interface import ModelConfig, Params


class Model(NamedTuple):
    """The static half of a potential; hashable. Its functions are pure and traceable.

    Attributes:
        architecture, config, dtype, members: as in ``fusepot.potential.Potential``.
    """

    architecture: str
    config: ModelConfig
    dtype: str = "float32"
    members: int = 1

    def gradients(self, params: Params, graph: Graph, *, engine: Engine = "xla") -> tuple[jax.Array, jax.Array]:
        """Energies (members, atoms) in eV and pair gradients (members, pairs, 3) in eV/Å of each member.

        See ``fusepot.gradient.energy_and_pair_gradient``.
        """

        def one(params: Params) -> tuple[jax.Array, jax.Array]:
            return energy_and_pair_gradient(self.architecture, self.config, params, graph, engine=engine)

        return each_member(one, params, members=self.members)

    def mean_gradient(self, params: Params, graph: Graph, *, engine: Engine = "xla") -> tuple[jax.Array, jax.Array]:
        """The means of ``gradients`` over members, (atoms,) and (pairs, 3): what a committee's atoms feel."""
        energies, gradients = self.gradients(params, graph, engine=engine)
        return energies.mean(axis=0), gradients.mean(axis=0)

    def predictions(self, params: Params, graph: Graph, *, engine: Engine = "xla") -> GraphPrediction:
        """Energies, forces and virials of each member, arrays with a leading axis of members."""

        def one(params: Params) -> GraphPrediction:
            return predict_graph(self.architecture, self.config, params, graph, engine=engine)

        return each_member(one, params, members=self.members)
