import numpy as np
import pytest

from cbda_jax.acquisition import BANDS, bands, void_shares
from cbda_jax.errors import InputError


def test_bands_are_equal_parts_from_the_top():
    assert bands(8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert bands(6).tolist() == [0, 0, 1, 2, 2, 3]
    assert bands(2).tolist() == [0, 2]


def test_shares_cell_by_cell():
    rng = np.random.default_rng(0)
    answered = rng.integers(0, 60, (2, BANDS, 3))
    answered[:, 2] = 0
    void = rng.integers(0, 60, (2, BANDS, 3)) * answered // 60
    found = void_shares(void, answered, strength=9.0)
    assert found.dtype == np.float32
    for u, b, p in np.ndindex(*void.shape):
        of_all = void.sum() / (answered.sum() + 9)
        of_class = (void[:, :, p].sum() + 9 * of_all) / (answered[:, :, p].sum() + 9)
        expected = (void[u, b, p] + 9 * of_class) / (answered[u, b, p] + 9)
        assert found[u, b, p] == pytest.approx(expected, rel=1e-6)
    assert (found[:, 2] == found[:1, 2]).all()


def test_without_answers_nothing_is_void_and_with_void_alone_not_everything():
    nothing = np.zeros((2, BANDS, 4), np.int64)
    assert not void_shares(nothing, nothing, strength=1.0).any()
    many = nothing + 10**12
    assert 0.999 < void_shares(many, many, strength=1.0).max() < 1


def test_smoothing_must_be_above_0():
    nothing = np.zeros((2, BANDS, 4), np.int64)
    with pytest.raises(InputError, match="smoothing of void by 0"):
        void_shares(nothing, nothing, strength=0.0)
