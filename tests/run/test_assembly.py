"""What is looked for before a run starts, in which mode; nothing of it is made."""

import pytest

from cbda_jax.config import FIELDS
from cbda_jax.errors import InputError
from cbda_jax.methods import Method, get_method
from cbda_jax.run import assembly, experiment, workdir
from configs import synthetic


@pytest.fixture
def config(tmp_path):
    config = synthetic.get_config()
    config.data.dir = str(tmp_path / "data")
    return config


RIPU = get_method("ripu")


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        ("train", ("source", "target", "val", "test")),
        ("evaluate", ("target", "test")),
        ("acquire", ("target",)),
    ],
)
def test_every_named_split_that_a_mode_needs_is_looked_for(config, mode, fields, tmp_path):
    assembly.check_files(config, RIPU, mode)
    for field in ("source", "target", "val", "test"):
        config.data[field], right = "synthetic_city/typo", config.data[field]
        if field in fields:
            with pytest.raises(InputError, match=f"data.{field}: 'synthetic_city/typo' found, "):
                assembly.check_files(config, RIPU, mode)
        else:
            assembly.check_files(config, RIPU, mode)
        config.data[field] = right
    assert not (tmp_path / "data").exists()


def test_a_source_that_is_not_trained_on_is_not_looked_for(config):
    config.data.source = "gtav"
    assembly.check_files(config, Method(source=False), "train")
    with pytest.raises(InputError, match=r"data\.source: 'gtav' found, but"):
        assembly.check_files(config, RIPU, "train")


@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_weights_that_are_not_there_are_told_first(config, mode, tmp_path):
    config.pretrained = str(tmp_path / "none.pth")
    with pytest.raises(InputError, match=r"pretrained: .*none.pth not found"):
        assembly.check_files(config, RIPU, mode)


@pytest.mark.parametrize("field", ["source", "target", "val", "test"])
def test_a_misspelt_split_leaves_no_trace(config, field, tmp_path):
    config.data[field] = "synthetic_city/target_tset"
    with pytest.raises(InputError, match=rf"^data.{field}: .*; did you mean 'target_test'\?$"):
        experiment.run(config, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_misspelt_split_of_an_evaluation_changes_nothing(config, tmp_path):
    folder = tmp_path / "run"
    workdir.claim(folder, config, write=True)
    config.data.test = "synthetic_city/target_tset"
    with pytest.raises(InputError, match=r"^data.test: .*; did you mean 'target_test'\?$"):
        experiment.run(config, folder, mode="evaluate")
    assert [path.name for path in folder.iterdir()] == ["config.json"]


@pytest.fixture
def images(config):
    """Two drawn scenes, prepared when they are opened."""
    scenes = {"source_train": 2, "target_train": 1, "target_val": 1, "target_test": 1}
    config.data.synthetic_city.update(scenes)
    config.data.source_size = (32, 64)
    return assembly.open_records(config, "source")


def test_data_is_opened_with_the_size_and_scenes_of_the_config(images):
    assert len(images) == 2
    assert images.image(0).shape == (32, 64, 3)


@pytest.mark.parametrize("order", FIELDS["data.source_order"].rule.known)
def test_every_order_draws(config, images, order):
    config.data.source_order = order
    label = images.label
    streams = assembly.training_streams(config, RIPU, images, images, label)
    assert streams.keys() == {"source", "target"}
    assert assembly.training_streams(config, RIPU, None, images, label).keys() == {"target"}


def test_rounds_are_held_where_something_is_acquired(config):
    config.acquisition.rounds = (3, 5)
    assert assembly.round_steps(config, RIPU) == (3, 5)
    assert assembly.round_steps(config, get_method("source_only")) == ()
