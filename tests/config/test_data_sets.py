import numpy as np
import pytest

from cbda_jax import config as config_
from cbda_jax.config import data_sets
from cbda_jax.data.datasets.camvid import CAMVID
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, SYNTHIA_16
from configs import camvid

YARD = {
    "classes": [("path", (150, 130, 110)), ("grass", (0, 128, 0))],
    "splits": ["train"],
    "images": "{split}/{id}.jpg",
    "labels": None,
}


def config_of(**changes):
    config = config_.base()
    config.data.declared.yard = YARD
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    return config


def test_a_declared_data_set_and_its_classes():
    config = config_of(label_space="yard", data__target="yard/train")
    found = data_sets.dataset(config, "yard/train")
    assert found.name == "yard"
    assert found.splits["train"].labels is None
    assert data_sets.dataset(config, "gtav") == "gtav"
    assert data_sets.space(config).classes == ("path", "grass")
    np.testing.assert_array_equal(data_sets.space(config).palette[1], (0, 128, 0))
    config_.check(config)


def test_classes_by_name_of_what_comes_along():
    assert data_sets.space(config_of()) is CITYSCAPES_19
    assert data_sets.space(config_of(label_space="synthia_16")) is SYNTHIA_16
    assert data_sets.space(config_of(label_space="camvid")) is CAMVID.space


def test_mappings_are_of_the_source_or_of_all_else():
    config = camvid.get_config()
    assert data_sets.mapping(config, "source")["rider"] == "bicyclist"
    assert data_sets.mapping(config, "test") is None
    config.data.target_mapping = {"car": None}
    assert data_sets.mapping(config, "val") == {"car": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_space": "yrd"}, "label_space: 'yrd' found, expected .*; did you mean 'yard'"),
        ({"label_space": "synthetic_city"}, "label_space: 'synthetic_city' found, expected"),
        ({"label_space": "yard", "num_classes": 3}, "num_classes: 3 found, expected 2"),
        ({"data__target": "yrd/train"}, "data.target: 'yrd/train' found, .*; did you mean 'yard'"),
        ({"data__declared": {"gtav": YARD}}, "data.declared: 'gtav' found, expected another name"),
        ({"data__declared": {"yard": 3}}, "data.declared.yard: 3 found, expected the fields"),
        ({"data__declared": {"yard": {}}}, "data.declared.yard: classes: None found"),
    ],
)
def test_what_does_not_fit(changes, message):
    config = config_of()
    declared = changes.pop("data__declared", None)
    if declared is not None:
        config.data.declared = declared
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    with pytest.raises(InputError, match=message):
        config_.check(config)


def test_a_declaration_is_recorded_like_any_field():
    found = config_.flat(config_of())
    assert found["data.declared.yard.images"] == "{split}/{id}.jpg"
    assert config_.field_of("data.declared.yard.classes.grass").name == "data.declared"
    assert config_.field_of("data.source_mapping.a.b c").name == "data.source_mapping"
