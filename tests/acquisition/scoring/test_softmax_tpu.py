"""The kernel for TPUs, its operations interpreted, against the maps of CPUs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition.scoring import softmax_tpu
from cbda_jax.acquisition.scoring.planes import centred
from cbda_jax.acquisition.scoring.softmax import softmax_maps
from cbda_jax.acquisition.scoring.stencil import Stencil

NAMES = ("entropy", "prediction", "confidence", "margin", "weight")


@pytest.mark.parametrize(
    ("low", "via", "size"),
    [
        ((9, 11, 19), (40, 50), (67, 130)),
        ((16, 24, 3), (64, 96), (64, 96)),
        ((40, 60, 7), (40, 60), (21, 33)),
        ((3, 300, 5), (6, 600), (11, 1100)),
    ],
)
def test_maps_are_those_of_cpus(low, via, size):
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=low, scale=4), jnp.float32)
    weight = jnp.asarray(rng.random(low[2]), jnp.float32)
    rows, columns = (Stencil.bilinear((low[i], via[i], size[i])) for i in (0, 1))
    assert softmax_tpu.fits(logits, rows)
    kernel = jax.jit(
        lambda x: softmax_tpu.upsampled_maps(
            centred(x.transpose(2, 0, 1), axis=0), rows, columns, NAMES, weight, interpret=True
        )
    )
    found = kernel(logits)
    expected = softmax_maps(logits, NAMES, class_weight=weight, size=size, via=via, platform="cpu")
    for name in NAMES:
        assert found[name].dtype == expected[name].dtype, name
    differ = found["prediction"] != expected["prediction"]
    # Where two classes are equal but for rounding, one or the other.
    assert np.mean(differ) < 1e-3
    assert np.all(np.asarray(expected["margin"])[differ] < 1e-5)
    for name in ("entropy", "confidence", "margin", "weight"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=4e-6, err_msg=name)


def test_far_apart_logits_and_nan():
    """Certain pixels have no entropy, and between certain ones of two classes there is some."""
    logits = np.full((4, 4, 3), -1e4, np.float32)
    logits[:, :2, 0] = logits[:, 2:, 1] = 1e4
    stencil = Stencil.bilinear((4, 13))
    run = partial(softmax_tpu.upsampled_maps, interpret=True)

    def entropy(logits):
        shifted = centred(jnp.asarray(logits).transpose(2, 0, 1), axis=0)
        return np.asarray(run(shifted, stencil, stencil, ("entropy",))["entropy"])

    found = entropy(logits)
    assert np.abs(found[:, :5]).max() < 3e-6
    assert found[:, 6].min() > 0.6
    logits[2, 2, 1] = np.nan
    assert np.isnan(entropy(logits)[8, 8])


@pytest.mark.parametrize("platform", ["gpu", "cpu"])
@pytest.mark.parametrize("via", [None, (40, 50)])
def test_every_platform_has_the_same_maps(platform, via):
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(9, 11, 5), scale=3), jnp.float32)
    size = (67, 83)
    found, expected = (
        softmax_maps(logits, NAMES[:4], size=size, via=via, platform=p) for p in (platform, "cpu")
    )
    for name in ("entropy", "confidence", "margin"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=3e-6, err_msg=name)
    assert np.mean(found["prediction"] != expected["prediction"]) < 1e-3
