"""Rows of a head by the names of its classes."""

import numpy as np
import pytest
from flax import nnx
from networks import shapes
from tiny import Tiny

from cbda_jax.data.datasets.camvid import CLASSES, OF_CITYSCAPES
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, SYNTHIA_16
from cbda_jax.models import heads

NAMES = CITYSCAPES_19.classes


def test_classes_of_the_same_name():
    rows = heads.rows(NAMES, SYNTHIA_16.classes, {})
    assert [NAMES[i] for (i,) in rows] == [*SYNTHIA_16.classes]
    back = heads.rows(SYNTHIA_16.classes, NAMES, {})
    assert [name for name, taken in zip(NAMES, back, strict=True) if not taken] == [
        *("terrain", "truck", "train")
    ]


def test_classes_by_mapping():
    taken = dict(zip(CLASSES, heads.rows(NAMES, tuple(CLASSES), OF_CITYSCAPES), strict=True))
    named = {name: [NAMES[i] for i in rows] for name, rows in taken.items()}
    assert named == {
        "sky": ["sky"],
        # A wall is mapped to it too; there is a building.
        "building": ["building"],
        "pole": ["pole"],
        "road": ["road"],
        "pavement": ["sidewalk"],
        "tree": ["vegetation", "terrain"],
        "sign": ["traffic light", "traffic sign"],
        "fence": ["fence"],
        "car": ["car"],
        "pedestrian": ["person"],
        "bicyclist": ["rider", "motorcycle", "bicycle"],
    }


def test_a_class_that_is_mapped_elsewhere_is_not_taken_by_its_name():
    rows = heads.rows(("a", "b", "c"), ("a", "b", "c"), {"a": "b", "c": None})
    assert rows == ((), (1,), ())


def create(classes):
    return Tiny(classes, rngs=nnx.Rngs(classes))


def test_rows_are_transferred_and_the_others_kept():
    axes = heads.class_axes(create, 3)
    assert axes == {("head", "kernel"): 1, ("head", "bias"): 0}
    ours, theirs = create(3), create(4)
    before = np.asarray(ours.head.kernel[...])
    heads.transfer(ours, theirs, axes, ((2,), (), (0, 1)))
    there, here = np.asarray(theirs.head.kernel[...]), np.asarray(ours.head.kernel[...])
    np.testing.assert_array_equal(here[:, 0], there[:, 2])
    np.testing.assert_array_equal(here[:, 1], before[:, 1])
    np.testing.assert_allclose(here[:, 2], there[:, :2].mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(ours.backbone.kernel[...], theirs.backbone.kernel[...])


def test_a_backbone_alone():
    ours, theirs = create(3), create(4)
    before = np.asarray(ours.head.kernel[...])
    heads.transfer(ours, theirs)
    np.testing.assert_array_equal(ours.head.kernel[...], before)
    np.testing.assert_array_equal(ours.backbone.kernel[...], theirs.backbone.kernel[...])


@pytest.mark.parametrize("name", ["small_unet", "deeplabv2_resnet101_caffe", "segformer_b0"])
def test_the_axes_of_every_network(name):
    axes = heads.class_axes(lambda classes: shapes(name, classes), 5)
    assert axes
    assert all(path[0] == "head" for path in axes)


def test_a_network_whose_head_counts_classes_twice():
    class Square(Tiny):
        def __init__(self, classes, *, rngs):
            super().__init__(classes, rngs=rngs)
            self.head.kernel = nnx.Param(np.zeros((classes, classes)))

    with pytest.raises(InputError, match=r"head\.kernel of the network: \[5, 5\] with 5 classes"):
        heads.class_axes(lambda classes: Square(classes, rngs=nnx.Rngs(0)), 5)
