"""Which classes a run has, and that its data sets have the same."""

import dataclasses

import numpy as np
import pytest

from cbda_jax import label_space
from cbda_jax.data import prepare
from cbda_jax.errors import InputError
from cbda_jax.label_space import (
    CITYSCAPES_19,
    SYNTHIA_16,
    LabelSpace,
    register_label_space,
    resolve_label_space,
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
    data = config.data
    wanted = [(name, data.target_size) for name in (data.target, data.val, data.test)]
    if method.source:
        wanted.append((data.source, data.source_size))
    for name, size in wanted:
        prepare.create_builder(name.partition("/")[0], **assembly._location(config, name, size))


def space_of(config):
    return resolve_label_space(config.label_space, config.num_classes)


def test_classes_by_number_and_by_name(tmp_path):
    assert space_of(config_of(gta2city, tmp_path)) is CITYSCAPES_19
    assert space_of(config_of(synthia2city, tmp_path)) is SYNTHIA_16
    named = config_of(gta2city, tmp_path, label_space="synthia_16", num_classes=16)
    assert space_of(named) is SYNTHIA_16
    assert space_of(config_of(gta2city, tmp_path, label_space="synthia_16")) is SYNTHIA_16
    with pytest.raises(InputError, match="num_classes: 13 found, expected 16, as label_space"):
        space_of(config_of(gta2city, tmp_path, label_space="synthia_16", num_classes=13))


@pytest.mark.parametrize("experiment", [synthetic, gta2city, synthia2city])
def test_experiments_agree_with_their_data_sets(tmp_path, experiment):
    check_labels(config_of(experiment, tmp_path), get_method("ripu"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("ripu", {"data__source": "synthetic_city/source_train"}),
        ("full_supervision", {"data__val": "synthetic_city/target_val"}),
        ("full_supervision", {"data__test": "synthetic_city/target_test"}),
    ],
)
def test_a_data_set_of_other_classes(tmp_path, method, changes):
    config = config_of(synthia2city, tmp_path, **changes)
    with pytest.raises(
        InputError, match="label_space: 'synthia_16' found, expected 'cityscapes_19"
    ):
        check_labels(config, get_method(method))


def test_what_a_run_does_not_read_may_be_anything(tmp_path):
    config = config_of(synthia2city, tmp_path, data__source="synthetic_city/source_train")
    check_labels(config, dataclasses.replace(get_method("ripu"), source=False))


def test_a_class_that_a_data_set_has_not(tmp_path, registry):
    palette = np.zeros((2, 3), np.uint8)
    register_label_space(LabelSpace("animals", ("person", "horse"), palette))
    config = config_of(gta2city, tmp_path, label_space="animals", num_classes=2)
    with pytest.raises(InputError, match="label space 'animals': 'horse' found, expected classes"):
        check_labels(config, get_method("ripu"))


def test_where_data_sets_are(tmp_path):
    config = config_of(gta2city, tmp_path, data__root="~/data", data__source_files="list.txt")
    source = assembly._location(config, "gtav", (720, 1280))
    assert source["root"].endswith("/data/gtav")
    assert (source["size"], source["label_space"]) == ((720, 1280), "cityscapes_19")
    assert source["files"].name == "list.txt"
    path = "cbda_jax.data.datasets.cityscapes:Cityscapes"
    target = assembly._location(config, f"{path}/val", (640, 1280))
    assert target["root"].endswith("/data/cityscapes")
    assert "files" not in target
    drawn = assembly._location(config, "synthetic_city/target_val", (96, 192))
    assert "root" not in drawn
    assert drawn["target_val"] == config.data.synthetic_city.target_val
