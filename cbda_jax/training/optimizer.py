"""SGD as PyTorch does it, AdamW, and the poly schedule."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cbda_jax.errors import InputError


def poly_schedule(
    learning_rate: float,
    *,
    power: float,
    steps: int,
    warmup: int = 0,
    earlier: Sequence[tuple[int, int]] = (),
) -> optax.Schedule:
    """learning_rate (1 - step / steps)^power, after `warmup` steps of linear rise.

    The recipe's: power 0.9 over 62,500 steps, of which 40,000 are made.

    Args:
        learning_rate: at the beginning.
        power: exponent.
        steps: after which it is 0.
        warmup: steps of linear rise.
        earlier: (until, steps) of a training that was extended, in order: before step `until` it
            was on its way to 0 after `steps`.
    """

    def schedule(count):
        step = jnp.asarray(count, jnp.float32)

        def decayed(total):
            fraction = jnp.minimum(step / jnp.float32(total), jnp.float32(1))
            return (1 - fraction) ** jnp.float32(power)

        decay = decayed(steps)
        # Whole, so that what was made before an extension is made again to the same bits.
        for until, before in reversed(earlier):
            decay = jnp.where(step < until, decayed(before), decay)
        rise = jnp.minimum((step + 1) / jnp.float32(warmup + 1), jnp.float32(1))
        return jnp.float32(learning_rate) * decay * rise

    return schedule


def create_optimizer(
    name: str,
    schedule: optax.Schedule,
    *,
    head_multiplier: float,
    is_head: Callable[[tuple[Any, ...]], bool],
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> optax.GradientTransformation:
    """The optimizer of the recipe, or AdamW.

    Args:
        name: "sgd": weight decay is added to the gradient before the momentum, and the learning
            rate multiplies the result, as `torch.optim.SGD` does. "adamw": decoupled decay, not of
            vectors (norms and biases).
        schedule: learning rate of the backbone at a step.
        head_multiplier: learning rate of the head over that of the backbone (10 in the recipe).
        is_head: of a parameter's path, whether it belongs to the head.
        momentum: of SGD; first-moment decay of AdamW.
        weight_decay: times the parameter.

    Raises:
        InputError: unknown name.
    """

    def scale_head(updates, state, params=None):
        del params
        scaled = jax.tree_util.tree_map_with_path(
            lambda path, u: u * jnp.asarray(head_multiplier, u.dtype) if is_head(path) else u,
            updates,
        )
        return scaled, state

    head = optax.GradientTransformation(optax.init_empty_state, scale_head)
    rate = optax.scale_by_learning_rate(schedule)
    if name == "sgd":
        return optax.chain(
            optax.add_decayed_weights(weight_decay), optax.trace(decay=momentum), head, rate
        )
    if name == "adamw":

        def matrices(params):
            return jax.tree.map(lambda x: x.ndim > 1, params)

        return optax.chain(
            optax.scale_by_adam(b1=momentum, b2=0.999),
            optax.add_decayed_weights(weight_decay, mask=matrices),
            head,
            rate,
        )
    raise InputError(f"optimizer.name: {name!r} found, expected 'sgd' or 'adamw'")
