"""Maps of the softmax against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition.scoring.softmax import softmax_maps
from cbda_jax.resize import bilinear

NAMES = ("entropy", "prediction", "confidence", "margin")
LOGITS = np.random.default_rng(0).normal(size=(9, 11, 5), scale=3).astype(np.float32)


@pytest.mark.parametrize("size", [None, (33, 40)])
def test_confidence_and_margin(size):
    full = np.asarray(bilinear(jnp.asarray(LOGITS), size or (9, 11)), np.float64)
    p = np.exp(full - full.max(-1, keepdims=True))
    p = np.sort(p / p.sum(-1, keepdims=True))
    maps = jax.jit(lambda x: softmax_maps(x, NAMES, size=size))(jnp.asarray(LOGITS))
    np.testing.assert_allclose(maps["confidence"], p[..., -1], rtol=0, atol=2e-6)
    np.testing.assert_allclose(maps["margin"], p[..., -1] - p[..., -2], rtol=0, atol=4e-6)
    assert maps["confidence"].dtype == maps["margin"].dtype == np.float32


def test_two_best_classes_of_equal_logits_have_no_margin():
    logits = LOGITS.copy()
    logits[3, 4, [0, 3]] = logits.max() + 1
    maps = softmax_maps(jnp.asarray(logits), NAMES)
    assert maps["margin"][3, 4] == 0
    assert maps["prediction"][3, 4] == 0


def test_nan_stays():
    logits = jnp.asarray(LOGITS).at[2, 2, 1].set(jnp.nan)
    maps = softmax_maps(logits, NAMES)
    for name in ("entropy", "confidence", "margin"):
        assert np.isnan(maps[name][2, 2]), name


def test_only_what_is_named_is_computed():
    maps = softmax_maps(jnp.asarray(LOGITS), ("margin",))
    assert list(maps) == ["margin"]
    program = str(jax.make_jaxpr(lambda x: softmax_maps(x, ("margin",)))(LOGITS))
    assert " log " not in program  # of the entropy
    assert " log " in str(jax.make_jaxpr(lambda x: softmax_maps(x, ("entropy",)))(LOGITS))
