"""Adam, its schedule over epochs, and the running average of parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fusepot.models.interface import Params
from fusepot.training.sections import OptimizerSection

TICKS = 1000  # schedule steps per epoch: the number of batches varies from epoch to epoch, an epoch does not


def transformation(config: OptimizerSection) -> optax.GradientTransformation:
    """Gradient to direction; the caller multiplies by minus the learning rate."""
    parts = [optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.epsilon)]
    if config.gradient_clip is not None:
        parts.insert(0, optax.clip_by_global_norm(config.gradient_clip))
    if config.weight_decay > 0:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    return optax.chain(*parts)


def learning_rate(config: OptimizerSection, *, epochs: int, progress: float) -> float:
    """The learning rate after ``progress`` epochs (a fraction counts) of ``epochs``."""
    warmup = round(config.warmup_epochs * TICKS)
    decay = max(1, epochs * TICKS - warmup)
    peak, last = config.learning_rate, config.learning_rate * config.final_fraction
    main: optax.Schedule
    if config.schedule == "cosine":
        main = optax.cosine_decay_schedule(peak, decay, alpha=config.final_fraction)
    elif config.schedule == "exponential":
        main = optax.exponential_decay(peak, decay, config.final_fraction, end_value=last)
    else:
        main = optax.constant_schedule(peak)
    schedule = optax.join_schedules([optax.linear_schedule(last, peak, warmup), main], [warmup]) if warmup else main
    return float(schedule(jnp.asarray(round(progress * TICKS), jnp.int32)))


def average(ema: Params, params: Params, *, decay: float, step: jax.Array) -> Params:
    """Exponential moving average that forgets its start: the decay grows to ``decay`` as (1 + t) / (10 + t)."""
    dtype = jax.tree.leaves(params)[0].dtype
    t = step.astype(dtype)
    rate = jnp.minimum(jnp.asarray(decay, dtype), (1 + t) / (10 + t))
    return jax.tree.map(lambda old, new: rate * old + (1 - rate) * new, ema, params)


def is_finite(tree: Params) -> bool:
    """Whether every number of a tree of arrays is finite."""
    return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in jax.tree.leaves(tree))
