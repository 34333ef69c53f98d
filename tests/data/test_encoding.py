import json
import pickle

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as official

from cbda_jax.data import encoding
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.datasets.synthia import SYNTHIA_IDS
from cbda_jax.data.encoding import LabelEncoding, Labelling, read_labelling, write_labelling
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, SYNTHIA_13, SYNTHIA_16, LabelSpace

SPACES = (CITYSCAPES_19, SYNTHIA_16, SYNTHIA_13)
# SYNTHIA id -> Cityscapes train id, as adaptation papers have it.
SYNTHIA_TO_19 = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9,
    1: 10, 10: 11, 17: 12, 8: 13, 18: 14, 19: 15, 20: 16, 12: 17, 11: 18,
}  # fmt: skip
TWO = LabelSpace("two", ("car", "person"), np.zeros((2, 3), np.uint8))
# Sparse values, two of a class, void that is not 0.
OWN = LabelEncoding({200: "car", 7: "car", 9: "person", 12: None, 30: "dog"}, "own values")


def test_label_ids_are_the_official_table():
    table = LABEL_IDS.table(CITYSCAPES_19)
    for label in official:
        if label.id >= 0:
            assert table[label.id] == (label.trainId % 256)
            assert LABEL_IDS.colours[label.id] == label.color
    assert (table[34:] == 255).all()
    assert list(LABEL_IDS.classes) == list(LABEL_IDS.colours) == list(range(35))
    assert LABEL_IDS.known == "0 to 34"


def test_synthia_ids_follow_the_field():
    expected = np.full(256, 255)
    for synthia_id, train_id in SYNTHIA_TO_19.items():
        expected[synthia_id] = train_id
    np.testing.assert_array_equal(SYNTHIA_IDS.table(CITYSCAPES_19), expected)
    assert SYNTHIA_IDS.known == "0 to 22"


@pytest.mark.parametrize("values", [LABEL_IDS, SYNTHIA_IDS])
@pytest.mark.parametrize("space", SPACES)
def test_tables_are_inverse(values, space):
    ids = np.arange(space.num_classes)
    table, inverse = values.table(space), values.inverse(space)
    np.testing.assert_array_equal(table[inverse[ids]], ids)
    assert (inverse[space.num_classes :] == 0).all()
    assert space.classes == tuple(values.classes[i] for i in inverse[ids])
    assert sorted(table[table != 255]) == list(ids)


def test_an_encoding_of_ones_own():
    table, inverse = OWN.table(TWO), OWN.inverse(TWO)
    assert {value: int(table[value]) for value in OWN.classes} == {
        7: 0, 9: 1, 12: 255, 30: 255, 200: 0
    }  # fmt: skip
    assert (table == 255).sum() == 256 - 3
    assert inverse[:2].tolist() == [7, 9]
    assert (inverse[2:] == 12).all()
    assert (LabelEncoding({0: "car", 1: "person"}).inverse(TWO)[2:] == 255).all()
    assert OWN.known == "7, 9, 12, 30, 200"


def test_a_class_that_no_value_means():
    space = LabelSpace("three", ("car", "cat", "cow"), np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError) as error:
        OWN.table(space)
    assert str(error.value) == (
        "label space 'three': 'cat', 'cow' found, expected classes that own values mean: car, dog, "
        "person; use another label space, declare which value means it, or map the "
        "classes by name"
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": {256: "car"}}, "label values: 256 found, expected values and colours of 0"),
        ({"classes": {0: "car"}, "colours": {0: (0, 0, -1)}}, "label values: -1 found"),
        ({"classes": {0: None}}, "label values: no class found"),
        (
            {"classes": {0: "car"}, "form": "color"},
            "label values: encoding 'color' found, expected one of index, grey, colour, red16; did "
            "you mean 'colour'",
        ),
        (
            {"classes": {0: "car"}, "form": "colour"},
            "label values: encoding 'colour' and no colours found, expected the colour of each",
        ),
    ],
)
def test_bad_declarations(fields, message):
    with pytest.raises(InputError, match=message):
        LabelEncoding(**fields)


def test_an_encoding_can_be_pickled_and_not_changed():
    for values in (LABEL_IDS, SYNTHIA_IDS):
        copy = pickle.loads(pickle.dumps(values))
        assert copy == values
        assert (copy.name, copy.colours) == (values.name, values.colours)
        assert copy.form == values.form
    assert (LABEL_IDS.form, SYNTHIA_IDS.form) == ("index", "red16")
    # Where files hold the values does not change what they mean.
    assert LabelEncoding(LABEL_IDS.classes, form="grey") == LABEL_IDS
    with pytest.raises(TypeError):
        copy.classes[0] = "road"


def test_what_is_kept_beside_records_reads_back(tmp_path):
    assert read_labelling(tmp_path) is None
    labelling = Labelling("two", TWO.classes, OWN)
    write_labelling(tmp_path, labelling)
    assert read_labelling(tmp_path) == labelling
    assert read_labelling(tmp_path).encoding.name == "own values"
    assert [path.name for path in tmp_path.iterdir()] == ["labelling.json"]


def test_damage_of_what_is_kept(tmp_path):
    write_labelling(tmp_path, Labelling("two", TWO.classes, OWN))
    path = encoding.labelling_path(tmp_path)
    whole = json.loads(path.read_text())
    spoilt = [json.dumps({**whole, "values": values}) for values in ({"x": "car"}, {}, None)]
    for text in ("", "[]", "{}", "\xff", *spoilt):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(ValueError, match=r".+") as error:
            read_labelling(tmp_path)
        assert not isinstance(error.value, InputError)  # which would not name the folder


OURS = Labelling("two", TWO.classes, OWN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": "three"}, "label space 'two' found, expected 'three'"),
        (
            {"classes": ("person", "car")},
            "label space 'two' with classes car, person found, expected person, car",
        ),
        (
            {"encoding": LabelEncoding({**OWN.classes, 9: None})},
            "label value 9 as 'person' found, expected 'void'",
        ),
        (
            {"encoding": LabelEncoding({**OWN.classes, 13: "cat"})},
            "label value 13 as nothing found, expected 'cat'",
        ),
    ],
)
def test_differences_are_named(tmp_path, changes, message):
    encoding.check_labelling(tmp_path, OURS, OURS._replace(encoding=LabelEncoding(OWN.classes)))
    with pytest.raises(InputError) as error:
        encoding.check_labelling(tmp_path, OURS, OURS._replace(**changes))
    assert str(error.value).startswith(f"{tmp_path}: labels of {message}; use the label space")
