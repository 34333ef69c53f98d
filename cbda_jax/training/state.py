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

    Attributes:
        step: updates made.
        params: what is trained.
        frozen: the rest of the network.
        opt_state: of the optimizer.
        ema: exponential moving average of `params` (`update_ema`); None, and so not in the
            checkpoint, where none is kept.
    """

    step: Int32[Array, ""]
    params: Any
    frozen: Any
    opt_state: Any
    ema: Any = None

    @property
    def inference_params(self) -> Any:
        """The parameters to predict with, in evaluation and acquisition: `ema` if there is one."""
        return self.params if self.ema is None else self.ema


def update_ema(ema: Any, params: Any, step: Int32[Array, ""], decay: float) -> Any:
    """The next average: d * ema + (1 - d) * params, d = min(decay, (1 + step) / (10 + step)).

    d rises from 0.1 at step 0, so that the first weights are soon forgotten: the rule of
    TensorFlow's `tf.train.ExponentialMovingAverage` with `num_updates`.

    Args:
        ema: float32 tree.
        params: float32 tree, after the update.
        step: updates made before this one.
        decay: in (0, 1).
    """
    count = step.astype(jnp.float32)
    d = jnp.minimum(jnp.float32(decay), (1 + count) / (10 + count))
    return jax.tree.map(lambda old, new: d * old + (1 - d) * new, ema, params)


def create_state(
    create_model: Any, optimizer: optax.GradientTransformation, *, ema: bool = False
) -> tuple[nnx.GraphDef, TrainState]:
    """A new state, initialised in one compiled call.

    Args:
        create_model: a function of no arguments that gives the `nnx.Module`.
        optimizer: of `create_optimizer`.
        ema: keep an average of the parameters; `make_train_step` must be given its decay.

    Returns:
        The model's structure (static), and the state of step 0. `params` are its `nnx.Param`s;
        `frozen` is everything else that it holds.
    """
    graphdef = None

    @jax.jit
    def init():
        nonlocal graphdef
        graphdef, params, frozen = nnx.split(create_model(), nnx.Param, ...)
        # A copy: the training step gives back the memory of both.
        average = jax.tree.map(jnp.copy, params) if ema else None
        return TrainState(jnp.int32(0), params, frozen, optimizer.init(params), average)

    state = init()
    assert graphdef is not None
    return graphdef, state
