"""All that training changes, as one tree."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int32


class TrainState(NamedTuple):
    """What a checkpoint holds; everything is a plain array.

    The data position is the step: pipelines give batch `step` to step `step`
    (`cbda_jax.data.pipeline`). Random numbers are `fold_in(key(seed), step)`.
    """

    step: Int32[Array, ""]
    params: Any
    frozen: Any
    opt_state: Any


def create_state(
    create_model: Any, optimizer: optax.GradientTransformation
) -> tuple[nnx.GraphDef, TrainState]:
    """A new state, initialised in one compiled call.

    Args:
        create_model: a function of no arguments that gives the `nnx.Module`.
        optimizer: of `create_optimizer`.

    Returns:
        The model's structure (static), and the state of step 0. `params` are its `nnx.Param`s;
        `frozen` is everything else that it holds.
    """
    graphdef = None

    @jax.jit
    def init():
        nonlocal graphdef
        graphdef, params, frozen = nnx.split(create_model(), nnx.Param, ...)
        return TrainState(jnp.int32(0), params, frozen, optimizer.init(params))

    state = init()
    assert graphdef is not None
    return graphdef, state
