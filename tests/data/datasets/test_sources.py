"""Prepared copies know what they were made of."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import prepare
from cbda_jax.data.datasets import sources
from cbda_jax.data.declaration import declare
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError

YARD = declare(
    "yard",
    classes=["grass", "path"],
    splits=["train", "val"],
    images="{split}/{id}.png",
    labels="{split}_labels/{id}.png",
)


def write(root, split="train", name="a", value=0):
    for folder, array in (
        (split, np.full((8, 12, 3), 7 * value, np.uint8)),
        (f"{split}_labels", np.full((8, 12), value % 2, np.uint8)),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / folder / f"{name}.png")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "yard"
    for name in "abc":
        write(root, name=name)
    return root


def opened(root, **options):
    return open_records(
        "yard", dataset=YARD, data_dir=root.parent / "data", root=root, size=(8, 12), **options
    )


def differs(root):
    with pytest.raises(InputError) as error:
        opened(root)
    text = str(error.value)
    assert text.startswith(f"{root.parent / 'data'}")
    assert "a copy prepared from other files found" in text
    assert "remove this folder to have it prepared again" in text
    return text


def test_the_same_files_open_again(root):
    assert opened(root).ids == opened(root).ids == ("a", "b", "c")
    assert sources.sources_path(opened(root).directory, "train").exists()


def test_a_changed_file(root):
    opened(root)
    write(root, name="b", value=1)
    assert "since then 2 changed (train/b.png, train_labels/b.png)" in differs(root)
    builder = prepare.create_builder(YARD, data_dir=root.parent / "data", root=root, size=(8, 12))
    with pytest.raises(InputError, match="2 changed"):
        prepare.find_splits(builder)


def test_files_that_came_and_went(root):
    opened(root)
    write(root, name="d")
    for folder in ("train", "train_labels"):
        (root / folder / "a.png").unlink()
    found = differs(root)
    assert "2 new (train/d.png, train_labels/d.png); 2 gone (train/a.png" in found


def test_a_split_that_came(root):
    opened(root)
    write(root, "val")
    assert "1 new (the split 'val')" in differs(root)


def test_of_a_file_whose_time_alone_differs_the_content_counts(root):
    kept = sources.sources_path(opened(root).directory, "train")
    before = kept.read_bytes()
    path = root / "train_labels" / "b.png"
    os.utime(path, ns=(10**18, 10**18))
    assert len(opened(root)) == 3
    # The new time is kept, so that it is read once.
    assert kept.read_bytes() != before
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert "1 changed (train_labels/b.png)" in differs(root)


def test_files_that_are_not_there_any_more_are_not_needed(root):
    ids = opened(root).ids
    shutil.rmtree(root)
    assert opened(root).ids == ids
    root.mkdir()
    assert opened(root).ids == ids


def test_half_of_the_files_are_not_the_files(root):
    opened(root)
    shutil.rmtree(root / "train_labels")
    assert "since then not the files of it" in differs(root)


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"a": 3}', b'{"a": [1]}'])
def test_a_copy_that_does_not_say_is_taken_as_it_is(root, content):
    path = sources.sources_path(opened(root).directory, "train")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    write(root, name="b", value=1)
    assert len(opened(root)) == 3


def test_members_of_archives_go_by_their_archive(root):
    for folder in ("train", "train_labels"):
        shutil.make_archive(str(root / folder), "zip", root, folder)
        shutil.rmtree(root / folder)
    assert len(opened(root)) == 3
    assert len(opened(root)) == 3
    write(root, name="d")
    (root / "train.zip").unlink()
    shutil.make_archive(str(root / "train"), "zip", root, "train")
    shutil.rmtree(root / "train")
    shutil.rmtree(root / "train_labels")
    assert "not the files of it" in differs(root)
