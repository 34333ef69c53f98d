import numpy as np

from cbda_jax.acquisition import log_ratio, source_prior, target_prior
from cbda_jax.acquisition.balance.prior import STEPS


def slow(posterior, source):
    """The same in double precision, a pixel after the other."""
    q = source.astype(np.float64)
    for _ in range(STEPS):
        total = np.zeros(len(q))
        for p in posterior.astype(np.float64):
            weighted = q / source * p
            total += weighted / weighted.sum()
        q = total / len(posterior)
    return q


def drawn(rng, prior, source, count):
    """Posteriors under the source's frequencies of points that are drawn by others."""
    means = np.array([-1.5, 0.0, 1.5])
    x = rng.normal(means[rng.choice(3, count, p=prior)])
    likelihood = np.exp(-0.5 * (x[:, None] - means) ** 2)
    posterior = likelihood * source
    return (posterior / posterior.sum(axis=1, keepdims=True)).astype(np.float32)


def test_it_is_em_step_by_step():
    source = np.array([0.5, 0.3, 0.2], np.float32)
    posterior = drawn(np.random.default_rng(0), [0.1, 0.2, 0.7], source, 40)
    found = target_prior(posterior, source)
    np.testing.assert_allclose(found, slow(posterior, source), rtol=1e-4, atol=1e-6)


def test_it_finds_the_frequencies_of_the_target():
    source, truth = np.array([0.7, 0.2, 0.1], np.float32), np.array([0.1, 0.3, 0.6])
    posterior = drawn(np.random.default_rng(1), truth, source, 40_000)
    found = np.asarray(target_prior(posterior, source))
    np.testing.assert_allclose(found, truth, atol=0.03)
    # The plain mean of the predictions is biased towards the source.
    assert abs(posterior.mean(axis=0) - truth).max() > 0.1


def test_frequencies_of_the_source_are_never_0():
    found = source_prior(np.array([99, 0, 1]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array([0.99, 0.01 / 3, 0.01]) / (1 + 0.01 / 3), rtol=1e-5)


def test_ratios_are_bounded():
    found = log_ratio(np.array([0.0, 0.999, 0.001]), np.array([0.5, 0.001, 0.499]))
    np.testing.assert_allclose(found, np.log([0.01, 100, 0.01]), rtol=1e-6)
    assert log_ratio(np.ones(2) / 2, np.ones(2) / 2).tolist() == [0, 0]
