import matplotlib.pyplot as plt
import numpy as np
import pytest

from cbda_jax.api import draw_score_map


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_what_is_drawn():
    score = np.linspace(0, 2, 24, dtype=np.float32).reshape(4, 6)
    score[0, 0], score[0, 1] = -np.inf, np.nan
    _, given = plt.subplots()
    picks = np.array([[1, 2], [3, 4]])
    axes = draw_score_map(score, image=np.full((8, 12, 3), 9, np.uint8), picks=picks, axes=given)
    assert axes is given
    below, above = axes.images
    assert np.isnan(np.asarray(below.get_array().filled(np.nan))[0, :2]).all()
    assert below.get_clim() == (0, pytest.approx(2, abs=0.01))
    # A photograph of another size covers the same pixels.
    assert list(above.get_extent()) == list(below.get_extent()) == [-0.5, 5.5, 3.5, -0.5]
    (points,) = axes.lines
    assert points.get_xydata().tolist() == [[2, 1], [4, 3]]


@pytest.mark.parametrize("value", [0, np.inf])
def test_a_map_without_anything_to_ask(value):
    axes = draw_score_map(np.full((3, 4), value, np.float32))
    axes.figure.canvas.draw()
