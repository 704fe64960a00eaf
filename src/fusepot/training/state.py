"""The training state and the pure pair ``(init, step)`` that moves it.

A step gets its batch as a sequence of bins. Each bin's gradient is one compiled call that adds to an accumulator: the
memory needed is that of one bin, bins of different shapes mix in one batch, and a shape is compiled once whatever the
number of bins. Bins are added in their order, so that the same batch gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fusepot.data.bins import Bin
from fusepot.graph import Graph
from fusepot.models import ARCHITECTURES
from fusepot.models.interface import Params
from fusepot.potential import cast_params
from fusepot.training.config import TrainConfig
from fusepot.training.loss import Sums, bin_loss, no_sums
from fusepot.training.optimizer import average, transformation

Array = Any


class TrainState(NamedTuple):
    """Everything a run needs to continue exactly; a tree of arrays.

    Attributes:
        params: current parameters.
        opt_state: of the optimiser.
        ema: running average of the parameters; the parameters themselves where no average is kept.
        best_params: parameters (averaged ones where kept) with the lowest validation loss so far.
        best_loss: that loss, float64.
        best_epoch: the number of epochs after which it was found.
        stale: epochs since then.
        key: (2,) uint32, from which the order of every epoch follows.
        epoch: completed epochs.
        batch: completed batches of the current epoch.
        step: completed updates.
        sums: over the current epoch so far, with the parameters as they were at each batch.
    """

    params: Params
    opt_state: Any
    ema: Params
    best_params: Params
    best_loss: Array
    best_epoch: Array
    stale: Array
    key: Array
    epoch: Array
    batch: Array
    step: Array
    sums: Sums


@dataclass(frozen=True)
class Trainer:
    """The functions of one configuration.

    Attributes:
        init: ``() -> state``, random parameters from the seed.
        begin: ``params -> state``, given parameters.
        gradient: ``(params, bins) -> (gradient, sums)`` of the loss summed over the structures.
        step: ``(state, bins, learning_rate) -> state``, one update; ``sums`` and ``batch`` move on.
        measure: ``(params, bins) -> sums``, losses and errors without a gradient.
    """

    init: Callable[[], TrainState]
    begin: Callable[[Params], TrainState]
    gradient: Callable[[Params, Sequence[Bin]], tuple[Params, Sums]]
    step: Callable[[TrainState, Sequence[Bin], float], TrainState]
    measure: Callable[[Params, Sequence[Bin]], Sums]


def make_trainer(config: TrainConfig, *, n_species: int, examples: Callable[[], Graph] | None = None) -> Trainer:
    """Compile-ready functions of a configuration. Call them inside ``fusepot.gradient.precision(dtype)``.

    Args:
        config: the whole configuration.
        n_species: number of elements.
        examples: makes the structures that initial parameters are adapted to; called where the architecture can.
    """
    architecture = ARCHITECTURES[config.model.architecture]
    name, settings, dtype = config.model.architecture, config.model.settings, config.model.dtype
    optimizer = transformation(config.optimizer)
    decay, batch_size = config.optimizer.ema, config.training.batch_size

    def loss(params: Params, batch: Bin) -> tuple[jax.Array, Sums]:
        return bin_loss(name, settings, config.loss, params, batch)

    @jax.jit
    def accumulate(params: Params, gradient: Params, sums: Sums, batch: Bin) -> tuple[Params, Sums]:
        extra, more = jax.grad(loss, has_aux=True)(params, batch)
        return jax.tree.map(jnp.add, gradient, extra), jax.tree.map(jnp.add, sums, more)

    @jax.jit
    def add_sums(params: Params, sums: Sums, batch: Bin) -> Sums:
        return jax.tree.map(jnp.add, sums, loss(params, batch)[1])

    @jax.jit
    def update(state: TrainState, gradient: Params, rate: jax.Array) -> tuple[Params, Any, Params]:
        # Divided by the nominal batch size, not by how many structures happened to fit: so every structure
        # has the same weight within an epoch.
        gradient = jax.tree.map(lambda g: g / batch_size, gradient)
        direction, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = jax.tree.map(lambda p, d: p - rate * d, state.params, direction)
        ema = params if decay is None else average(state.ema, params, decay=decay, step=state.step)
        return params, opt_state, ema

    key = jax.random.PRNGKey(config.training.seed)

    def init() -> TrainState:
        params = architecture.init(settings, n_species, key)
        if architecture.calibrate is not None and examples is not None:
            params = architecture.calibrate(settings, params, examples())
        return begin(cast_params(params, dtype))

    def begin(params: Params) -> TrainState:
        zero = np.zeros((), np.int32)
        return TrainState(
            params=params,
            opt_state=optimizer.init(params),
            ema=params,
            best_params=params,
            best_loss=np.array(np.inf),
            best_epoch=zero,
            stale=zero,
            key=np.asarray(key, np.uint32),
            epoch=zero,
            batch=zero,
            step=zero,
            sums=no_sums(dtype),
        )

    def gradient(params: Params, bins: Sequence[Bin]) -> tuple[Params, Sums]:
        total, sums = jax.tree.map(np.zeros_like, params), no_sums(dtype)
        for batch in bins:
            total, sums = accumulate(params, total, sums, batch)
        return total, jax.device_get(sums)

    def step(state: TrainState, bins: Sequence[Bin], learning_rate: float) -> TrainState:
        total, sums = gradient(state.params, bins)
        params, opt_state, ema = update(state, total, np.asarray(learning_rate, dtype))
        return state._replace(
            params=params,
            opt_state=opt_state,
            ema=ema,
            batch=state.batch + np.int32(1),
            step=state.step + np.int32(1),
            sums=jax.tree.map(np.add, state.sums, sums),
        )

    def measure(params: Params, bins: Sequence[Bin]) -> Sums:
        sums = no_sums(dtype)
        for batch in bins:
            sums = add_sums(params, sums, batch)
        return jax.device_get(sums)

    return Trainer(init, begin, gradient, step, measure)
