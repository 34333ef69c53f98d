import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as official

from cbda_jax.data import labels
from cbda_jax.errors import InputError

# SYNTHIA id -> Cityscapes train id, as adaptation papers have it.
SYNTHIA_TO_19 = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9,
    1: 10, 10: 11, 17: 12, 8: 13, 18: 14, 19: 15, 20: 16, 12: 17, 11: 18,
}  # fmt: skip


def test_19_classes_are_the_official_table():
    space = labels.CITYSCAPES_19
    evaluated = {label.trainId: label for label in official if label.trainId not in (-1, 255)}
    assert space.classes == tuple(evaluated[i].name for i in range(19))
    np.testing.assert_array_equal(space.palette, [evaluated[i].color for i in range(19)])
    for label in official:
        if label.id >= 0:
            assert space.from_label_id[label.id] == (label.trainId % 256)
            np.testing.assert_array_equal(labels.LABEL_COLOURS[label.id], label.color)
    assert (space.from_label_id[34:] == labels.IGNORE).all()


@pytest.mark.parametrize("num_classes", [13, 16, 19])
def test_tables_are_inverse(num_classes):
    space = labels.label_space(num_classes)
    ids = np.arange(num_classes)
    np.testing.assert_array_equal(space.from_label_id[space.to_label_id[ids]], ids)
    assert (space.to_label_id[num_classes:] == 0).all()
    by_id = {label.id: label.name for label in official}
    assert space.classes == tuple(by_id[i] for i in space.to_label_id[:num_classes])
    assert sorted(space.from_label_id[space.from_label_id != 255]) == list(range(num_classes))
    assert sorted(space.from_synthia[space.from_synthia != 255]) == list(range(num_classes))


def test_synthia_ids_follow_the_field():
    expected = np.full(256, 255)
    for synthia_id, train_id in SYNTHIA_TO_19.items():
        expected[synthia_id] = train_id
    np.testing.assert_array_equal(labels.CITYSCAPES_19.from_synthia, expected)


def test_synthia_classes():
    names = labels.SYNTHIA_16.classes
    assert set(labels.CITYSCAPES_19.classes) - set(names) == {"terrain", "truck", "train"}
    subset = labels.SYNTHIA_16.reported_subsets["synthia_13"]
    assert tuple(names[i] for i in subset) == labels.SYNTHIA_13.classes
    assert set(names) - set(labels.SYNTHIA_13.classes) == {"wall", "fence", "pole"}
    assert labels.SYNTHIA_16.from_label_id[22] == labels.IGNORE


def test_unknown_number_of_classes():
    with pytest.raises(InputError, match=r"num_classes is 18, but .* 13, 16, 19"):
        labels.label_space(18)


def test_colour_and_count():
    label = np.array([[0, 18], [255, 18]], np.uint8)
    painted = labels.CITYSCAPES_19.colour(label)
    np.testing.assert_array_equal(painted[0, 1], (119, 11, 32))
    np.testing.assert_array_equal(painted[1, 0], (0, 0, 0))
    counts = labels.class_pixels(label, 19)
    assert counts.dtype == np.int64
    assert counts.tolist() == [1] + [0] * 17 + [2]
