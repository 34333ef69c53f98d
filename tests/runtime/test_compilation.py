import jax
import jax.numpy as jnp
import numpy as np

from cbda_jax.runtime import compilation


def test_a_compiled_program_is_measured_and_gives_the_same():
    @jax.jit
    def product(x):
        return x @ x

    x = jnp.asarray(np.random.default_rng(0).random((64, 64)), jnp.float32)
    compiled, cost = compilation.compile_ahead(product, x)
    np.testing.assert_array_equal(compiled(x), product(x))
    assert cost.argument_bytes == cost.output_bytes == 4 * 64 * 64
    assert cost.flops == 2 * 64**3
    assert cost.total_bytes >= 8 * 64 * 64
    assert cost.seconds > 0


def test_donated_memory_is_not_counted_twice():
    x = jnp.zeros((1024,), jnp.float32)
    _, cost = compilation.compile_ahead(jax.jit(lambda x: x + 1, donate_argnums=0), x)
    assert cost.output_bytes == 0
    assert cost.total_bytes == 4096 + cost.temporary_bytes


def test_what_does_not_fit_is_known_and_said():
    cost = compilation.Cost(1.25, 2 * 10**9, 6 * 10**9, 0, 3e12, 7 * 10**9)
    assert not cost.fits
    assert cost._replace(limit_bytes=8 * 10**9).fits
    assert cost._replace(limit_bytes=None).fits
    assert str(cost) == (
        "8.00 GB of 7.00 GB a device (2.00 GB state and batch, 6.00 GB temporary), 3,000 GFLOP, "
        "compiled in 1.2 s"
    )
