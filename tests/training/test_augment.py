import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.training import Augment
from cbda_jax.training.augment import augment, colour_jitter, random_scale_crop

SIZE = (24, 40)
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).random((*SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def labels():
    """Blocks of 8 x 8 pixels, none of class 255."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 19, size=(3, 5), dtype=np.uint8).repeat(8, 0).repeat(8, 1)


def _coloured(labels):
    """An image whose red value is the label."""
    red = labels.astype(np.float32) / 255
    return np.stack([red, 1 - red, np.full_like(red, 0.5)], axis=-1)


_crop = jax.jit(random_scale_crop, static_argnums=3)
_jitter = jax.jit(colour_jitter, static_argnums=2)


def test_neutral_settings_change_nothing(image, labels):
    key = jax.random.key(0)
    found, label = _crop(image, labels, key, (1.0, 1.0))
    np.testing.assert_array_equal(found, image)
    np.testing.assert_array_equal(label, labels)
    np.testing.assert_allclose(_jitter(image, key, 0.0), image, atol=1e-6)
    assert not Augment().active
    assert not Augment(scale=(1, 1)).active
    assert Augment(colour=0.1).active
    assert Augment(scale=(1.0, 1.1)).active


@pytest.mark.parametrize(("scale", "reach"), [((0.5, 0.5), 3), ((0.6, 0.9), 3), ((1.2, 3.0), 5)])
def test_image_and_label_move_together(labels, scale, reach):
    moved = set()
    for number in range(6):
        image, label = _crop(_coloured(labels), labels, jax.random.key(number), scale)
        image, label = np.asarray(image), np.asarray(label)
        outside = label == 255
        mean = np.array([124, 116, 104]) / 255
        np.testing.assert_allclose(image[outside], np.broadcast_to(mean, (outside.sum(), 3)))
        # Away from the borders of the blocks, the colour is that of the label.
        around = np.lib.stride_tricks.sliding_window_view(label, (reach, reach))
        flat = around.max(axis=(2, 3)) == around.min(axis=(2, 3))
        flat = np.pad(flat, reach // 2) & ~outside
        assert flat.sum() > 20
        np.testing.assert_allclose(image[flat], _coloured(label)[flat], atol=1e-5)
        moved.add(label.tobytes())
        if scale[0] > 1:
            assert not outside.any()
        else:
            # The whole image lies inside: as many pixels as its scale says, in a rectangle.
            rows, columns = (np.flatnonzero(~outside.all(axis=axis)) for axis in (1, 0))
            assert not outside[np.ix_(rows, columns)].any()
            ratio = [len(rows) / SIZE[0], len(columns) / SIZE[1]]
            assert all(scale[0] - 0.05 <= r <= scale[1] + 0.05 for r in ratio)
            assert abs(ratio[0] - ratio[1]) < 0.1
    assert len(moved) == 6


def test_twice_the_size_repeats_labels(labels):
    """Every pixel becomes 2 x 2 pixels of a window of the doubled label map."""
    _, label = _crop(_coloured(labels), labels, jax.random.key(5), (2.0, 2.0))
    doubled = labels.repeat(2, 0).repeat(2, 1)
    windows = np.lib.stride_tricks.sliding_window_view(doubled, SIZE)
    assert (windows == np.asarray(label)).all(axis=(2, 3)).any()


def test_colours_change_within_the_range(image):
    found = np.stack([_jitter(image, jax.random.key(i), 1.0) for i in range(8)])
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.dtype == np.float32
    differences = np.abs(found - image).mean(axis=(1, 2, 3))
    assert (differences > 0.02).all()
    assert len(np.unique(differences)) == 8


def test_each_colour_change_is_what_it_is_called(image, monkeypatch):
    image = 0.4 + 0.2 * image  # so that nothing is clipped

    def changed(*draw):
        monkeypatch.setattr(jax.random, "uniform", lambda *a, **k: jnp.asarray(draw, jnp.float32))
        return np.asarray(colour_jitter(jnp.asarray(image), jax.random.key(0), 0.4))

    np.testing.assert_allclose(changed(0.5, 0, 0, 0), 1.2 * image, rtol=1e-5)
    mean = (image @ LUMA).mean()
    np.testing.assert_allclose(changed(0, -1, 0, 0), mean + 0.6 * (image - mean), rtol=1e-5)
    grey = (image @ LUMA)[..., None]
    np.testing.assert_allclose(changed(0, 0, 1, 0), grey + 1.4 * (image - grey), rtol=1e-5)
    turned = changed(0, 0, 0, 1)  # a tenth of the circle
    np.testing.assert_allclose(turned @ LUMA, grey[..., 0], rtol=1e-5)
    hues = np.array(
        [
            [colorsys.rgb_to_yiq(*pixel)[1:] for pixel in x.reshape(-1, 3)[:50]]
            for x in (image, turned)
        ]
    ) @ np.array([1, 1j])
    np.testing.assert_allclose(hues[1], hues[0] * np.exp(2j * np.pi * 0.1), atol=2e-3)


def test_every_image_by_its_own_key(image, labels):
    images = np.stack([image, image, image[::-1]])
    images = np.round(images * 255).astype(np.uint8)
    many = np.stack([labels] * 3)
    keys = jax.random.split(jax.random.key(3), 3)
    setting = Augment(colour=0.5, scale=(0.5, 2.0))
    run = jax.jit(augment, static_argnums=3)
    found, label = run(images, many, keys, setting)
    assert found.dtype == label.dtype == np.uint8
    alone = run(images[2:], many[2:], keys[2:], setting)
    np.testing.assert_array_equal(found[2], alone[0][0])
    np.testing.assert_array_equal(label[2], alone[1][0])
    assert (np.asarray(found[0]) != np.asarray(found[1])).any()
    # Colours do not depend on whether images are scaled: their keys are apart.
    colour, same = run(images, many, keys, Augment(colour=0.5))
    np.testing.assert_array_equal(same, many)
    expected = np.round(
        _jitter(images[0] / np.float32(255), jax.random.fold_in(keys[0], 1), 0.5) * 255
    )
    assert np.abs(np.asarray(colour[0], np.float32) - expected).max() <= 1
