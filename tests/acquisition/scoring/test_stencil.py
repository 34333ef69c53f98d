"""Interpolation as sums of neighbours, against `resize.bilinear`."""

import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition.scoring.stencil import Stencil
from cbda_jax.resize import bilinear

LENGTHS = [(5, 5), (5, 17), (5, 9, 33), (12, 7), (1, 6)]


def _apply(stencil, x):
    padded = np.pad(x, (0, stencil.padding))
    reach = np.arange(len(stencil.weight))[:, None]
    return (stencil.weight * padded[stencil.start[None, :] + reach]).sum(axis=0)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_samples_are_those_of_resizing_in_a_row(lengths):
    x = np.random.default_rng(0).random(lengths[0], np.float32)
    expected = jnp.asarray(x)[None, None, :, None]
    for length in lengths[1:]:
        expected = bilinear(expected, (1, length))
    stencil = Stencil.bilinear(lengths)
    assert stencil.length == lengths[0]
    assert (np.diff(stencil.start) >= 0).all()
    np.testing.assert_allclose(_apply(stencil, x), expected[0, 0, :, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_every_sample_has_a_place_of_its_own_among_its_group(lengths):
    stencil = Stencil.bilinear(lengths)
    assert len(np.unique(stencil.place)) == lengths[-1]
    np.testing.assert_array_equal(stencil.place // stencil.slots, stencil.start)
    grouped = stencil.grouped_weight()
    assert grouped.shape == (stencil.groups, len(stencil.weight), stencil.slots)
    flat = grouped.transpose(1, 0, 2).reshape(len(stencil.weight), -1)
    np.testing.assert_array_equal(flat[:, stencil.place], stencil.weight)
    assert np.count_nonzero(flat) == np.count_nonzero(stencil.weight)


@pytest.mark.parametrize("size", [1, 8, 128])
@pytest.mark.parametrize("lengths", [(9, 33), (5, 20, 47), (30, 11)])
def test_bands_are_the_same_map(lengths, size):
    stencil = Stencil.bilinear(lengths)
    first, weights = stencil.banded(size)
    x = np.random.default_rng(0).normal(size=lengths[0])
    padded = np.pad(x, (0, int(first.max()) + weights.shape[2]))
    ours = np.concatenate(
        [w @ padded[f : f + weights.shape[2]] for f, w in zip(first, weights, strict=True)]
    )
    expected = sum(weight * padded[stencil.start + j] for j, weight in enumerate(stencil.weight))
    np.testing.assert_allclose(ours[: lengths[-1]], expected, atol=1e-12)
    assert not ours[lengths[-1] :].any()
