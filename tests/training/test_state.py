"""A new state, and the average of its parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from tiny import Tiny

from cbda_jax.training.state import create_state, update_ema


@pytest.mark.parametrize("ema", [False, True])
def test_a_new_state_holds_everything_once(ema):
    graphdef, state = create_state(
        lambda: Tiny(5, rngs=nnx.Rngs(1)), optax.sgd(0.1, momentum=0.9), ema=ema
    )
    assert state.step.dtype == jnp.int32
    assert int(state.step) == 0
    model = nnx.merge(graphdef, state.params, state.frozen)
    assert model(jnp.zeros((1, 4, 4, 3), jnp.float32)).shape == (1, 2, 2, 5)
    momentum = [x for x in jax.tree.leaves(state.opt_state) if x.ndim]
    assert len(momentum) == len(jax.tree.leaves(state.params))
    if not ema:
        assert state.ema is None
        return
    for average, value in zip(*map(jax.tree.leaves, (state.ema, state.params)), strict=True):
        np.testing.assert_array_equal(average, value)
        # The training step gives back the memory of both.
        assert average.unsafe_buffer_pointer() != value.unsafe_buffer_pointer()


@pytest.mark.parametrize(
    ("step", "decay", "expected"), [(0, 0.9, 0.1), (5, 0.9, 0.4), (5, 0.3, 0.3)]
)
def test_the_average_forgets_the_first_weights_soon(step, decay, expected):
    old, new = {"a": jnp.float32(1)}, {"a": jnp.float32(0)}
    found = update_ema(old, new, jnp.int32(step), decay)
    np.testing.assert_allclose(found["a"], expected, rtol=1e-6)
