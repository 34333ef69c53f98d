"""Depthwise convolution beside XLA's grouped one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import images

from cbda_jax.models import depthwise, layers


@pytest.mark.parametrize(
    ("size", "stride", "dilation", "shape"),
    [
        (3, 1, 1, (5, 9)),
        (3, 1, 6, (5, 9)),
        (3, 2, 1, (8, 7)),
        (5, 1, 2, (6, 9)),
        (5, 2, 1, (7, 10)),
        (5, 2, 1, (3, 4)),
    ],
)
def test_depthwise_equals_a_grouped_convolution(size, stride, dilation, shape):
    """And its gradients, of which two are written out: one for CPU and one for the others."""
    x = images(2, *shape, 6)
    graphdef, state = nnx.split(
        layers.DepthwiseConv(6, dilation, size=size, stride=stride, rngs=nnx.Rngs(0))
    )

    def ours(x, state):
        return nnx.merge(graphdef, state)(x)

    def theirs(x, state):
        return jax.lax.conv_general_dilated(
            x,
            state["kernel"][...][:, :, None, :],
            (stride, stride),
            "SAME",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=6,
        )

    # In one program: operation by operation, each would be compiled by itself.
    @jax.jit
    def all_of_it(x, state, gradient):
        expected, pull_back = jax.vjp(theirs, x, state)
        out, pull_back_ours = jax.vjp(ours, x, state)
        padded = jnp.pad(x, depthwise.same_padding(x, state["kernel"][...], stride, dilation))
        by_row, at_once = (
            taps(size, stride, dilation, padded, gradient)
            for taps in (depthwise.taps_by_row, depthwise.taps_at_once)
        )
        return (out, expected), (pull_back_ours(gradient), pull_back(gradient)), (by_row, at_once)

    gradient = images(*jax.eval_shape(ours, x, state).shape)
    outputs, gradients, taps = all_of_it(x, state, gradient)
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-5)
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(*taps, rtol=1e-4, atol=1e-4)
