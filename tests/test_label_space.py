import pickle
import sys

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as official

from cbda_jax import label_space
from cbda_jax.errors import InputError
from cbda_jax.label_space import (
    CITYSCAPES_19,
    SYNTHIA_13,
    SYNTHIA_16,
    LabelSpace,
    paint,
    register_label_space,
    resolve_label_space,
)

GREYS = np.array([(0, 0, 0), (128, 128, 128), (255, 255, 255)], np.uint8)


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(label_space, "_SPACES", dict(label_space._SPACES))


def test_19_classes_are_the_official_ones():
    evaluated = {label.trainId: label for label in official if label.trainId not in (-1, 255)}
    assert CITYSCAPES_19.classes == tuple(evaluated[i].name for i in range(19))
    np.testing.assert_array_equal(CITYSCAPES_19.palette, [evaluated[i].color for i in range(19)])


def test_spaces_of_synthia():
    names = SYNTHIA_16.classes
    assert set(CITYSCAPES_19.classes) - set(names) == {"terrain", "truck", "train"}
    subset = SYNTHIA_16.reported_subsets["synthia_13"]
    assert tuple(names[i] for i in subset) == SYNTHIA_13.classes
    assert set(names) - set(SYNTHIA_13.classes) == {"wall", "fence", "pole"}
    kept = [CITYSCAPES_19.classes.index(name) for name in names]
    np.testing.assert_array_equal(SYNTHIA_16.palette, CITYSCAPES_19.palette[kept])


@pytest.mark.parametrize("space", [CITYSCAPES_19, SYNTHIA_16, SYNTHIA_13])
def test_spaces_by_name_and_by_number(space):
    assert label_space.label_space(space.name) is space
    assert resolve_label_space(None, space.num_classes) is space
    assert resolve_label_space(space.name, space.num_classes) is space


def test_spaces_of_equally_many_classes_live_side_by_side(registry):
    classes = tuple(reversed(CITYSCAPES_19.classes))
    mine = register_label_space(LabelSpace("mine", classes, CITYSCAPES_19.palette))
    assert register_label_space(LabelSpace("mine", classes, CITYSCAPES_19.palette)) is mine
    assert resolve_label_space("mine", 19) is mine
    assert resolve_label_space(None, 19) is CITYSCAPES_19
    with pytest.raises(InputError, match="label space 'mine': a taken name found"):
        register_label_space(LabelSpace("mine", ("a", "b", "c"), GREYS))


def test_spaces_by_import_path(registry, tmp_path, monkeypatch):
    (tmp_path / "of_a_user.py").write_text(
        "import numpy as np\n"
        "from cbda_jax.label_space import LabelSpace\n"
        "COLOURS = np.array([(0, 0, 0), (255, 0, 0)], np.uint8)\n"
        "SHAPES = LabelSpace('shapes', ('disc', 'box'), COLOURS)\n"
        "OTHER = 7\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    space = resolve_label_space("of_a_user:SHAPES", 2)
    assert space is sys.modules["of_a_user"].SHAPES is label_space.label_space("shapes")
    for path, message in (
        (
            "of_a_user:SHAPE",
            "'of_a_user:SHAPE' found, expected an object .*; did you mean 'SHAPES'",
        ),
        ("of_a_user:OTHER", "of type int, found, expected a cbda_jax.label_space.LabelSpace"),
        ("of_nobody:SHAPES", r"\(ModuleNotFoundError: No module named 'of_nobody'\)"),
    ):
        with pytest.raises(InputError, match=f"label_space: .*{message}"):
            label_space.label_space(path)


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        (None, 18, "num_classes: 18 found, expected one of 13, 16, 19; name a space"),
        ("synthia_16", 13, "num_classes: 13 found, expected 16, as label_space 'synthia_16' has;"),
        ("synthia_15", 16, "'synthia_15' found, expected one of .*; did you mean 'synthia_16'"),
    ],
)
def test_fields_that_disagree(name, number, message):
    with pytest.raises(InputError, match=message):
        resolve_label_space(name, number)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "My space"}, "'My space': this name found, expected small letters"),
        ({"classes": ("a", "b", "a")}, "classes 'a', 'b', 'a' found, expected 2 to 254 different"),
        ({"classes": ("a", "b", "")}, "expected 2 to 254 different names"),
        ({"classes": tuple(map(str, range(255)))}, "expected 2 to 254 different names"),
        ({"palette": GREYS[:2]}, r"a palette of shape \[2, 3\] found, expected \[3, 3\]"),
        ({"subsets": {"few": ("a", "d")}}, "'d' in the subset 'few' found, expected some of its"),
        ({"subsets": {"few": ()}}, "nothing in the subset 'few' found"),
    ],
)
def test_bad_spaces(fields, message):
    with pytest.raises(InputError, match=message):
        LabelSpace(**{"name": "abc", "classes": ("a", "b", "c"), "palette": GREYS, **fields})


def test_a_space_cannot_be_changed_and_can_be_pickled():
    with pytest.raises(ValueError, match="read-only"):
        SYNTHIA_16.palette[0] = 0
    with pytest.raises(TypeError):
        SYNTHIA_16.subsets["mine"] = ("road",)
    copy = pickle.loads(pickle.dumps(SYNTHIA_16))
    assert copy == SYNTHIA_16
    assert copy != CITYSCAPES_19
    assert copy.reported_subsets == SYNTHIA_16.reported_subsets
    np.testing.assert_array_equal(copy.palette, SYNTHIA_16.palette)


def test_colour_and_count():
    label = np.array([[0, 18], [255, 18]], np.uint8)
    painted = CITYSCAPES_19.colour(label)
    np.testing.assert_array_equal(painted[0, 1], (119, 11, 32))
    np.testing.assert_array_equal(painted[1, 0], (0, 0, 0))
    counts = CITYSCAPES_19.class_pixels(label)
    assert counts.dtype == np.int64
    assert counts.tolist() == [1] + [0] * 17 + [2]


def test_labels_without_a_class_are_black():
    palette = np.array([(128, 64, 128), (1, 2, 3), (0, 80, 100)], np.uint8)
    label = np.array([[0, 2, 255]], np.uint8)
    np.testing.assert_array_equal(
        paint(label, palette), [[[128, 64, 128], [0, 80, 100], [0, 0, 0]]]
    )
