"""Which classes a run has, and that its data sets have the same."""

import dataclasses

import numpy as np
import pytest

from cbda_jax import label_space
from cbda_jax.config import data_sets
from cbda_jax.data import prepare
from cbda_jax.errors import InputError
from cbda_jax.label_space import (
    CITYSCAPES_19,
    SYNTHIA_16,
    LabelSpace,
    register_label_space,
)
from cbda_jax.methods import get_method
from cbda_jax.run import assembly
from configs import gta2city, synthetic, synthia2city


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(label_space, "_SPACES", dict(label_space._SPACES))


def config_of(experiment, tmp_path, **changes):
    config = experiment.get_config()
    config.data.dir = str(tmp_path)
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    return config


def check_labels(config, method):
    """Makes the builders of all that a run reads, as it does before it starts."""
    for role in assembly.roles(method, "train"):
        prepare.create_builder(**assembly.location(config, role))


def test_classes_by_number_and_by_name(tmp_path):
    assert data_sets.space(config_of(gta2city, tmp_path)) is CITYSCAPES_19
    assert data_sets.space(config_of(synthia2city, tmp_path)) is SYNTHIA_16
    named = config_of(gta2city, tmp_path, label_space="synthia_16", num_classes=16)
    assert data_sets.space(named) is SYNTHIA_16
    assert data_sets.space(config_of(gta2city, tmp_path, label_space="synthia_16")) is SYNTHIA_16
    with pytest.raises(InputError, match="num_classes: 13 found, expected 16, as label_space"):
        data_sets.space(config_of(gta2city, tmp_path, label_space="synthia_16", num_classes=13))


@pytest.mark.parametrize("experiment", [synthetic, gta2city, synthia2city])
def test_experiments_agree_with_their_data_sets(tmp_path, experiment):
    check_labels(config_of(experiment, tmp_path), get_method("ripu"))
    assert list(tmp_path.iterdir()) == []


def test_drawn_scenes_have_any_subset_of_their_classes(tmp_path):
    config = config_of(synthia2city, tmp_path, data__source="synthetic_city/source_train")
    location = assembly.location(config, "source")
    assert prepare.create_builder(**location).space is SYNTHIA_16


def test_what_a_run_does_not_read_may_be_anything(tmp_path):
    config = config_of(synthia2city, tmp_path, data__source="gtav", label_space="synthia_16")
    config.data.source_mapping = {"none": "road"}
    check_labels(config, dataclasses.replace(get_method("ripu"), source=False))
    with pytest.raises(InputError, match="class mapping: 'none' found"):
        check_labels(config, get_method("ripu"))


def test_a_class_that_a_data_set_has_not(tmp_path, registry):
    palette = np.zeros((2, 3), np.uint8)
    register_label_space(LabelSpace("animals", ("person", "horse"), palette))
    config = config_of(gta2city, tmp_path, label_space="animals", num_classes=2)
    with pytest.raises(InputError, match="label space 'animals': 'horse' found, expected classes"):
        check_labels(config, get_method("ripu"))


def test_where_data_sets_are(tmp_path):
    config = config_of(gta2city, tmp_path, data__root="~/data", data__source_files="list.txt")
    source = assembly.location(config, "source")
    assert source["root"].endswith("/data/gtav")
    assert (source["size"], source["label_space"]) == ((720, 1280), CITYSCAPES_19)
    assert source["files"].name == "list.txt"
    assert "native_labels" not in source
    config.data.val = "cbda_jax.data.datasets.cityscapes:CITYSCAPES/val"
    config.data.target_files = "others.txt"
    val, target = assembly.location(config, "val"), assembly.location(config, "target")
    assert val["root"].endswith("/data/cityscapes")
    assert "files" not in val
    assert target["files"].name == "others.txt"
    config.data.test = "synthetic_city/target_val"
    drawn = assembly.location(config, "test")
    assert "root" not in drawn
    assert drawn["target_val"] == config.data.synthetic_city.target_val


def test_labels_of_a_source_follow_its_images_and_those_of_a_target_do_not(tmp_path):
    config = config_of(gta2city, tmp_path, data__source="cityscapes", data__target="gtav")
    assert assembly.location(config, "source")["native_labels"] is False
    assert assembly.location(config, "target")["native_labels"] is True
