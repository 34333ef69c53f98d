import shutil

import asked_rounds
import numpy as np
import own_data
import pytest
from PIL import Image

from cbda_jax.annotate.photographs import open_target
from cbda_jax.errors import InputError
from cbda_jax.run import assembly, workdir

HALF = (own_data.HEIGHT // 2, own_data.WIDTH // 2)


@pytest.fixture
def run(tmp_path):
    """A run over JPEGs, whose network sees them at half their size."""
    own_data.write(tmp_path / "files" / "yard")
    config = own_data.config_of(tmp_path)
    config.data.target_size = HALF
    assembly.open_records(config, "target")
    workdir.claim(tmp_path / "run", config, write=True)
    return tmp_path / "run"


def test_the_files_as_they_came(run, tmp_path):
    target = open_target(run)
    assert target.space.classes == tuple(own_data.CLASSES)
    for image_id, size in target.sizes.items():
        assert size == (own_data.HEIGHT, own_data.WIDTH)
        path = next((tmp_path / "files" / "yard" / "train").rglob(f"{image_id[-1]}.JPG"))
        np.testing.assert_array_equal(target.read(image_id), np.asarray(Image.open(path)))


def test_without_the_files_what_is_prepared(run, tmp_path):
    target = open_target(run)
    first, *_ = target.sizes
    shutil.move(tmp_path / "files", tmp_path / "moved")
    assert target.read(first).shape == (*HALF, 3)
    again = open_target(run)
    np.testing.assert_array_equal(again.read(first), target.read(first))


def test_drawn_images(make_run):
    run = make_run()
    target = open_target(run)
    assert len(target.space.classes) == 19
    for image_id, size in target.sizes.items():
        assert target.read(image_id).shape == (*size, 3)


def test_prepared_data_that_was_moved(tmp_path):
    asked_rounds.make_run(tmp_path / "run", count=2, images=1)
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    target = open_target(tmp_path / "run", tmp_path / "elsewhere")
    (only,) = target.sizes
    assert target.read(only).shape == (48, 96, 3)
    assert not (tmp_path / "data").exists()


def test_no_run(tmp_path):
    with pytest.raises(InputError, match="no run found"):
        open_target(tmp_path / "nothing")
