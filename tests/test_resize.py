import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.resize import bilinear, taps

SIZES = [
    ((5, 7), (13, 24)),
    ((9, 13), (65, 97)),
    ((12, 10), (5, 4)),
    ((4, 6), (4, 11)),
    ((6, 4), (17, 4)),
    ((1, 1), (3, 5)),
    ((1, 6), (4, 6)),
    ((5, 6), (1, 1)),
]


def float64_formula(x, size):
    """Every output pixel by itself, in float64 at float32 positions."""
    h, w, _ = x.shape
    out = np.zeros((*size, x.shape[-1]))
    for i in range(size[0]):
        for j in range(size[1]):
            r = np.float32(np.float32(h - 1) / np.float32(max(size[0] - 1, 1))) * np.float32(i)
            c = np.float32(np.float32(w - 1) / np.float32(max(size[1] - 1, 1))) * np.float32(j)
            r0, c0 = min(int(r), h - 1), min(int(c), w - 1)
            r1, c1 = min(r0 + 1, h - 1), min(c0 + 1, w - 1)
            a, b = float(r) - r0, float(c) - c0
            out[i, j] = (1 - a) * ((1 - b) * x[r0, c0] + b * x[r0, c1]) + a * (
                (1 - b) * x[r1, c0] + b * x[r1, c1]
            )
    return out


def naive(x, size):
    """The same by fancy indexing, for JAX to differentiate."""
    r0, r1, a = taps(x.shape[0], size[0])
    c0, c1, b = taps(x.shape[1], size[1])
    a, b = jnp.asarray(a)[:, None, None], jnp.asarray(b)[None, :, None]
    one = jnp.float32(1)
    top = (one - b) * x[r0][:, c0] + b * x[r0][:, c1]
    bottom = (one - b) * x[r1][:, c0] + b * x[r1][:, c1]
    return (one - a) * top + a * bottom


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_values(old, new):
    x = normal(*old, 3)
    out = jax.jit(bilinear, static_argnums=1)(x, new)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, float64_formula(x, new), atol=1e-6)


def test_positions_are_those_of_float32():
    low, high, weight = taps(100, 1000)
    position = np.float32(99 / 999) * np.arange(1000, dtype=np.float32)
    np.testing.assert_array_equal(low + weight, position)
    np.testing.assert_array_equal(high, np.minimum(low + 1, 99))
    assert np.abs(position - np.arange(1000) * (99 / 999)).max() > 1e-6


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_gradient_is_that_of_the_naive_version(old, new):
    x, g = jnp.asarray(normal(*old, 3)), jnp.asarray(normal(*new, 3))
    (ours,) = jax.vjp(lambda x: bilinear(x, new), x)[1](g)
    (theirs,) = jax.vjp(lambda x: naive(x, new), x)[1](g)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)


def test_backward_is_the_adjoint_of_forward():
    x, g = jnp.asarray(normal(2, 9, 13, 4)), jnp.asarray(normal(2, 33, 40, 4))
    y, vjp = jax.vjp(lambda x: bilinear(x, (33, 40)), x)
    np.testing.assert_allclose(jnp.vdot(y, g), jnp.vdot(x, vjp(g)[0]), rtol=1e-5)


def test_batch_axes_and_vmap_agree():
    x = jnp.asarray(normal(2, 3, 5, 6, 4))
    out = bilinear(x, (9, 8))
    assert out.shape == (2, 3, 9, 8, 4)
    mapped = jax.vmap(jax.vmap(lambda x: bilinear(x, (9, 8))))(x)
    np.testing.assert_array_equal(out, mapped)
    gradient = jax.grad(lambda x: jnp.sum(jnp.square(bilinear(x, (9, 8)))))
    one = jax.vmap(jax.vmap(gradient))(x)
    np.testing.assert_allclose(gradient(x), one, rtol=1e-5, atol=1e-5)


def test_same_size_returns_the_input():
    x = jnp.asarray(normal(4, 5, 2))
    assert bilinear(x, (4, 5)) is x


def test_bfloat16_is_computed_in_float32():
    x = jnp.asarray(normal(5, 7, 3)).astype(jnp.bfloat16)
    out, vjp = jax.vjp(lambda x: bilinear(x, (13, 24)), x)
    assert out.dtype == jnp.bfloat16
    wide = bilinear(x.astype(jnp.float32), (13, 24))
    np.testing.assert_array_equal(
        out.astype(jnp.float32), wide.astype(jnp.bfloat16).astype(jnp.float32)
    )
    assert vjp(out)[0].dtype == jnp.bfloat16


def test_lengths_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        taps(0, 3)
