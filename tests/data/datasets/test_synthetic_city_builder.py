import io
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from cbda_jax.data import images
from cbda_jax.data.datasets.synthetic_city import builder as synthetic_city
from cbda_jax.data.datasets.synthetic_city import draw_scene
from cbda_jax.data.prepare import create_builder, prepare_builder
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19

SMALL = {
    "height": 40,
    "width": 72,
    "source_train": 3,
    "target_train": 4,
    "target_val": 1,
    "target_test": 2,
}


def _prepare(data_dir, **values):
    builder = create_builder("synthetic_city", data_dir=data_dir, **values)
    prepare_builder(builder)
    return builder


def _raw(builder, split):
    skip = tfds.decode.SkipDecoding()
    return builder.as_data_source(split, decoders={"image": skip, "label": skip})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return _prepare(tmp_path_factory.mktemp("tfds"), **SMALL)


@pytest.mark.parametrize("split", synthetic_city.SPLITS)
def test_records_are_the_drawn_scenes_in_order(prepared, split):
    records = _raw(prepared, split)
    assert len(records) == SMALL[split]
    for index in range(len(records)):
        record = records[index]
        assert record["image_id"] == f"{split}_{index:05d}".encode()
        seed = prepared.builder_config.scene_seed(split, index)
        image, label = draw_scene(split.split("_")[0], seed, 40, 72)
        stored = Image.open(io.BytesIO(record["label"]))
        assert stored.mode == "L"
        np.testing.assert_array_equal(np.asarray(stored), label)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(record["image"]))), image)
        assert record["class_pixels"].dtype == np.int64
        np.testing.assert_array_equal(record["class_pixels"], CITYSCAPES_19.class_pixels(label))


@pytest.mark.parametrize("native", [2, 3])
def test_scenes_drawn_larger_are_seen_smaller(native, tmp_path):
    builder = _prepare(tmp_path, **SMALL, native=native)
    assert builder.builder_config.name.endswith(f"_seed0_native{native}")
    size, drawn = (40, 72), (40 * native, 72 * native)
    for split in ("source_train", "target_val"):
        record = _raw(builder, split)[0]
        seed = builder.builder_config.scene_seed(split, 0)
        image, label = draw_scene(split.split("_")[0], seed, *drawn)
        found = np.asarray(Image.open(io.BytesIO(record["image"])))
        np.testing.assert_array_equal(found, images.resize_image(image, size))
        # The source is trained on as it is seen; the target is asked about as it was drawn.
        expected = images.resize_label(label, size) if split == "source_train" else label
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(record["label"]))), expected)
        counted = CITYSCAPES_19.class_pixels(expected)
        np.testing.assert_array_equal(record["class_pixels"], counted)


def test_splits_hold_different_scenes(prepared):
    found = [
        _raw(prepared, split)[index]["image"]
        for split in synthetic_city.SPLITS
        for index in range(SMALL[split])
    ]
    assert len(set(found)) == len(found)


def test_prepared_once(prepared):
    folder = Path(prepared.data_dir)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    _prepare(folder.parents[2], **SMALL)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_smaller_split_is_the_beginning_of_a_larger_one(prepared, tmp_path):
    fewer = _prepare(tmp_path, **SMALL | {"target_train": 2})
    assert fewer.builder_config.name != prepared.builder_config.name
    for index in range(2):
        ours, theirs = _raw(fewer, "target_train")[index], _raw(prepared, "target_train")[index]
        assert ours["image"] == theirs["image"]
        assert ours["label"] == theirs["label"]


def test_interrupted_preparation_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
    def fail(domain, seed, height, width):
        if domain == "target":
            raise KeyboardInterrupt
        return draw_scene(domain, seed, height, width)

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_city, "draw_scene", fail)
        with pytest.raises(KeyboardInterrupt):
            _prepare(tmp_path, **SMALL)
    builder = _prepare(tmp_path, **SMALL)
    assert len(_raw(builder, "target_test")) == SMALL["target_test"]


def test_needs_no_tensorflow(prepared):
    assert "tensorflow" not in sys.modules


def test_default_config_by_any_road(tmp_path):
    name = synthetic_city.SyntheticCityConfig().name
    roads = [
        synthetic_city.SyntheticCity(data_dir=tmp_path),
        create_builder("synthetic_city", data_dir=tmp_path),
        create_builder("synthetic_city", data_dir=tmp_path, height=96),
    ]
    assert {builder.builder_config.name for builder in roads} == {name}


def test_builder_survives_pickling(prepared):
    again = pickle.loads(pickle.dumps(prepared))
    assert again.data_dir == prepared.data_dir
    assert len(_raw(again, "target_train")) == SMALL["target_train"]


def test_scene_seeds_never_meet():
    configs = [synthetic_city.SyntheticCityConfig(seed=seed) for seed in range(3)]
    seeds = {
        config.scene_seed(split, index)
        for config in configs
        for split in synthetic_city.SPLITS
        for index in (0, 1, 999_999)
    }
    assert len(seeds) == 3 * 4 * 3


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"height": 8}, "size: scenes of 8 x 192 pixels found, expected at least 32 x 32"),
        ({"target_val": 0}, "target_val: 0 found, expected 1 to"),
        ({"native": 0}, "native: 0 found, expected 1 to 8"),
        ({"native": 9}, "native: 9 found, expected 1 to 8"),
        ({"seed": -1}, "seed: -1 found, expected 0 to 2000"),
        ({"label_space": "cityscape_19"}, "did you mean 'cityscapes_19'"),
    ],
)
def test_bad_values(values, found):
    with pytest.raises(InputError, match=found):
        synthetic_city.SyntheticCityConfig(**values)
