import numpy as np
import pytest

from cbda_jax.data.datasets.synthetic_city import draw_scene
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, IGNORE

H, W = 96, 192
RARE = ("wall", "fence", "traffic light", "rider", "truck", "bus", "train", "motorcycle")
COMMON = ("road", "sidewalk", "building", "vegetation", "sky", "car")


def _ids(names):
    return [CITYSCAPES_19.classes.index(name) for name in names]


@pytest.fixture(scope="module", params=["source", "target"])
def census(request):
    """Domain, class counts [scenes, 19], ignored share and mean colours [19, 3] of many scenes."""
    counts, ignored = [], 0
    for seed in range(100):
        _, label = draw_scene(request.param, seed, H, W)
        counts.append(CITYSCAPES_19.class_pixels(label))
        ignored += np.count_nonzero(label == IGNORE)
    return request.param, np.stack(counts), ignored / (100 * H * W)


@pytest.mark.parametrize("domain", ["source", "target"])
def test_same_call_same_scene(domain):
    image, label = draw_scene(domain, 7, H, W)
    again = draw_scene(domain, 7, H, W)
    assert image.shape == (H, W, 3)
    assert image.dtype == np.uint8
    assert label.shape == (H, W)
    assert label.dtype == np.uint8
    assert set(np.unique(label)) <= {*range(19), IGNORE}
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(label, again[1])


def test_other_seeds_and_domains_draw_other_scenes():
    labels = [draw_scene(d, s, H, W)[1] for d, s in (("source", 1), ("source", 2), ("target", 1))]
    for i in range(3):
        assert np.mean(labels[i] != labels[i - 1]) > 0.1


@pytest.mark.parametrize("domain", ["source", "target"])
def test_larger_scene_has_the_same_layout_and_is_not_enlarged(domain):
    agree, detail = [], []
    for seed in range(4):
        small_image, small = draw_scene(domain, seed, H, W)
        image, label = draw_scene(domain, seed, 3 * H, 3 * W)
        agree.append(np.mean(label[1::3, 1::3] == small))
        detail.append(np.mean(label != small.repeat(3, 0).repeat(3, 1)))
        shrunk = image.reshape(H, 3, W, 3, 3).mean((1, 3))
        assert np.abs(shrunk - small_image).mean() < 12
    assert min(agree) > 0.93
    assert min(detail) > 0.005


@pytest.mark.parametrize("size", [(76, 128), (105, 191), (33, 200)])
def test_odd_sizes(size):
    image, label = draw_scene("target", 3, *size)
    assert image.shape == (*size, 3)
    assert label.shape == size


def test_image_and_label_edges_coincide():
    # In the flat source domain, colours change more across label boundaries than inside a class.
    ratios = []
    for seed in range(6):
        image, label = draw_scene("source", seed, H, W)
        step = np.abs(np.diff(image.astype(int), axis=1)).sum(-1)
        ratios.append(
            [
                step[np.roll(edge, shift, 1)].mean()
                for edge in [np.diff(label) != 0]
                for shift in (-2, 0, 2)
            ]
        )
    before, at, after = np.mean(ratios, 0)
    assert at > 1.5 * max(before, after)


def test_long_tail(census):
    _, counts, _ = census
    share = counts.sum(0) / counts.sum()
    present = (counts > 0).mean(0)
    assert share[_ids(COMMON)].sum() > 0.85
    assert np.sort(share)[-6:].sum() > 0.85
    assert share[_ids(RARE)].max() < 0.0125
    assert np.median(present[_ids(RARE)]) < 0.5
    assert counts.sum(0).min() > 0, "a class is missing"
    assert share[0] == pytest.approx(0.34, abs=0.06)
    assert share[_ids(["building"])[0]] == pytest.approx(0.21, abs=0.05)
    assert share[_ids(["vegetation"])[0]] == pytest.approx(0.15, abs=0.05)


def test_rare_objects_are_large_enough_to_learn(census):
    _, counts, _ = census
    for name in ("truck", "bus", "train", "motorcycle", "rider"):
        pixels = counts[:, CITYSCAPES_19.classes.index(name)]
        assert pixels[pixels > 0].mean() > 80, name


def test_some_pixels_are_ignored(census):
    domain, _, ignored = census
    low, high = {"source": (0.0005, 0.02), "target": (0.04, 0.12)}[domain]
    assert low < ignored < high


def test_domains_differ_in_colour():
    def mean_colour(domain, class_id):
        pixels = []
        for seed in range(8):
            image, label = draw_scene(domain, seed, H, W)
            pixels.append(image[label == class_id])
        return np.concatenate(pixels).mean(0)

    for name in ("road", "vegetation", "sky"):
        class_id = CITYSCAPES_19.classes.index(name)
        gap = np.abs(mean_colour("source", class_id) - mean_colour("target", class_id))
        assert gap.max() > 15, name


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("sorce", 0, H, W), "'sorce'"),
        (("source", -1, H, W), "-1"),
        (("source", 0, 16, W), "16 x 192"),
    ],
)
def test_bad_arguments(arguments, found):
    with pytest.raises(InputError, match=found) as error:
        draw_scene(*arguments)
    assert "\n" not in str(error.value)
