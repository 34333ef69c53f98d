import dataclasses

import ml_collections
import pytest

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS, TRAIN_IDS
from cbda_jax.data.declaration import Declaration, Split, declare
from cbda_jax.errors import InputError

YARD = {
    "classes": [("path", (150, 130, 110)), ("grass", (0, 128, 0)), ("shed", (90, 40, 20))],
    "splits": ["train", "val"],
    "images": "{split}/{id}.{jpg|png}",
    "labels": "{split}_labels/{id}.png",
}


def of(**changes):
    return Declaration.of("yard", {**YARD, **changes})


def test_values_follow_the_classes_unless_they_are_declared():
    yard = of(void=[255])
    assert yard.space.classes == ("path", "grass", "shed")
    assert yard.space.palette.tolist() == [[150, 130, 110], [0, 128, 0], [90, 40, 20]]
    assert dict(yard.encoding.classes) == {0: "path", 1: "grass", 2: "shed", 255: None}
    own = of(values={"grass": [3, 4], "path": 9, "shed": 0}, void=[1, 2])
    assert dict(own.encoding.classes) == {
        0: "shed",
        1: None,
        2: None,
        3: "grass",
        4: "grass",
        9: "path",
    }


def test_colours_are_values_of_their_own():
    plain = of(encoding="colour", void=[(0, 0, 0)])
    assert dict(plain.encoding.colours) == {
        0: (150, 130, 110),
        1: (0, 128, 0),
        2: (90, 40, 20),
        3: (0, 0, 0),
    }
    several = of(
        encoding="colour",
        values={"grass": [(1, 2, 3), (4, 5, 6)], "path": (7, 8, 9), "shed": [[1, 1, 1]]},
    )
    assert dict(several.encoding.classes) == {0: "grass", 1: "grass", 2: "path", 3: "shed"}
    assert several.encoding.colours[1] == (4, 5, 6)
    # The palette of pictures is the classes' own.
    assert several.space.palette[1].tolist() == [0, 128, 0]


def test_values_that_many_data_sets_share():
    assert of(encoding="cityscapes_ids", classes=None).encoding is LABEL_IDS
    trains = of(encoding="cityscapes_train_ids", classes=["road", "car"])
    assert trains.encoding is TRAIN_IDS
    assert trains.space.classes == ("road", "car")
    assert trains.space.palette.tolist() == [[128, 64, 128], [0, 0, 142]]


def test_splits_by_name_or_one_by_one():
    assert of().splits["val"] == Split("val/{id}.{jpg|png}", "val_labels/{id}.png")
    splits = {
        "train": {"images": "a/{id}.jpg", "labels": "b/{id}.png", "files": "list.txt"},
        "pool": {"images": "c/{id}.jpg"},
    }
    found = of(splits=splits)
    assert found.splits["train"] == Split("a/{id}.jpg", "b/{id}.png", "list.txt")
    assert found.splits["pool"] == Split("c/{id}.jpg", None)
    assert found.layout == "a/{id}.jpg and b/{id}.png and c/{id}.jpg"
    assert of().layout == "<split>/{id}.{jpg|png} and <split>_labels/{id}.png"
    assert of(labels=None).splits["train"].labels is None


def test_classes_without_colours_get_some():
    palette = of(classes=["a", "b", "c"]).space.palette
    assert len({tuple(colour) for colour in palette.tolist()}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clases": 1}, "'clases' found, expected some of classes, .*; did you mean 'classes'"),
        ({"classes": None}, "classes: None found, expected the classes, each"),
        ({"classes": [("a", (0, 0, 256)), ("b", (1, 1, 1))]}, "classes: 'a': .* expected a colour"),
        ({"classes": [("a", 3, 4)]}, "classes: .* expected the classes, each with its colour"),
        ({"classes": {"b": (1, 1, 1), "a": (2, 2, 2)}}, "values: nothing found, .* have no order"),
        ({"classes": ["a"]}, "expected 2 to 254 different names"),
        ({"splits": None}, "splits: None found, expected"),
        ({"splits": {"train": "x"}}, "splits: 'train' with 'x' found"),
        ({"splits": {"train": {"labels": "{id}.png"}}}, "splits: 'train' with .* expected texts"),
        ({"splits": {"train": {"images": 3}}}, "splits: 'train' with .* expected texts"),
        ({"splits": ["Train"]}, "split 'Train': this name found"),
        ({"splits": []}, "data set 'yard': no split found"),
        ({"images": "train/x.jpg"}, "split 'train': images: 'train/x.jpg' found, expected one"),
        ({"labels": "{split}/{nr}.png"}, "split 'train': labels: .* expected those of the images"),
        ({"encoding": "indx"}, "encoding: 'indx' found, .*; did you mean 'index'"),
        (
            {"encoding": "cityscapes_ids", "void": [7]},
            "with values and void found, expected it alone",
        ),
        ({"values": {"gras": 1}}, "values: 'gras' found, expected values of its classes"),
        ({"values": {"grass": 256}}, "values: 256 of 'grass' found, expected whole numbers"),
        ({"values": {"grass": (1, 2), "path": 2}}, "values: 2 of both 'grass' and 'path'"),
        ({"values": {"grass": 0}, "void": [0]}, "values: 0 of both 'grass' and 'void'"),
        ({"encoding": "colour", "values": {"grass": 3}}, "values: 'grass': 3 found, expected a c"),
        ({"encoding": "colour", "values": {"grass": []}}, "values: 'grass': .* expected a colour"),
        ({"label_size": (3,)}, r"label_size: \(3,\) found"),
    ],
)
def test_what_is_no_declaration(changes, message):
    with pytest.raises(InputError, match=message) as error:
        of(**changes)
    assert str(error.value).startswith("data.declared.yard: ")
    assert "\n" not in str(error.value)


def test_declared_in_a_module():
    mine = declare("mine", **YARD, size=(32, 48), native_labels=False, about="Mine.")
    assert (mine.size, mine.native_labels, mine.about) == ((32, 48), False, "Mine.")
    assert declare("mine", **YARD, label_size=(8, 8), folder="/x").label_size == (8, 8)
    with pytest.raises(InputError, match="data set 'my set': this name found"):
        dataclasses.replace(mine, name="my set")


def test_classes_by_name_have_no_order_in_a_config_and_one_in_a_module():
    by_name = {"shed": (1, 1, 1), "grass": (2, 2, 2), "path": (3, 3, 3)}
    values = {"shed": 0, "grass": 1, "path": 2}
    ours = ml_collections.ConfigDict({"yard": {**YARD, "classes": by_name, "values": values}})
    for found in (ours.yard.to_dict(), {**YARD, "classes": by_name, "values": values}):
        space = Declaration.of("yard", found).space
        assert space.classes == ("grass", "path", "shed")
        assert space.palette.tolist() == [[2, 2, 2], [3, 3, 3], [1, 1, 1]]
    in_module = declare("yard", **{**YARD, "classes": by_name})
    assert in_module.space.classes == ("shed", "grass", "path")
    assert dict(in_module.encoding.classes) == {0: "shed", 1: "grass", 2: "path"}
