"""What folder data sets share, seen on one of three classes."""

import time
from pathlib import Path
from typing import ClassVar

import image_files
import numpy as np
import pytest
from PIL import Image

from cbda_jax import label_space
from cbda_jax.data import prepare
from cbda_jax.data.datasets.folders import PairBuilder, SourceConfig, parallel_map
from cbda_jax.data.datasets.pairs import match
from cbda_jax.data.datasets.trees import Tree
from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.data.records import Records, open_records
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, LabelSpace, register_label_space


class Pets(PairBuilder):
    """Values are those of the files of `root`."""

    BUILDER_CONFIGS: ClassVar = [SourceConfig(size=(8, 12))]
    # Of 19 names and two more.
    ENCODING = LabelEncoding(
        {0: None, **{7 + i: c for i, c in enumerate((*CITYSCAPES_19.classes, "cat", "dog"))}}
    )

    def find_pairs(self, root):
        tree = Tree(root, "images/*.png and labels/*.png")
        return {
            "train": match(tree.find("images", ".png"), tree.find("labels", ".png"), ".png", ".png")
        }


def space(name, classes):
    palette = np.zeros((len(classes), 3), np.uint8)
    return register_label_space(LabelSpace(name, classes, palette))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(label_space, "_SPACES", dict(label_space._SPACES))
    monkeypatch.setattr(prepare, "_BUILDERS", {**prepare._BUILDERS, "pets": Pets})
    root = tmp_path / "pets"
    rng = np.random.default_rng(0)
    for folder, shape, most in (("images", (8, 12, 3), 256), ("labels", (8, 12), 28)):
        (root / folder).mkdir(parents=True)
        for number in range(2):
            array = rng.integers(7, most, shape, np.uint8)
            Image.fromarray(array).save(root / folder / f"{number}.png")
    return root


def opened(root, tmp_path, name, **options):
    return open_records("pets", data_dir=tmp_path / "data", root=root, label_space=name, **options)


def test_spaces_of_equally_many_classes_do_not_meet(root, tmp_path):
    backwards = space("backwards_19", CITYSCAPES_19.classes[::-1])
    others = space("pets_19", (*CITYSCAPES_19.classes[:17], "cat", "dog"))
    names = ("cityscapes_19", "backwards_19", "pets_19")
    found = {name: opened(root, tmp_path, name) for name in names}
    assert len({records.directory for records in found.values()}) == 3
    for name, records in found.items():
        assert (records.label_space, records.num_classes) == (name, 19)
        again = opened(root, tmp_path, name, prepare=False)
        np.testing.assert_array_equal(again.label(0), records.label(0))
    ids = np.asarray(Image.open(root / "labels" / "0.png"))
    assert (ids > 25).any()
    np.testing.assert_array_equal(found["pets_19"].label(0), Pets.ENCODING.table(others)[ids])
    np.testing.assert_array_equal(
        found["backwards_19"].label(0), Pets.ENCODING.table(backwards)[ids]
    )
    np.testing.assert_array_equal(
        found["cityscapes_19"].class_pixels, found["backwards_19"].class_pixels[:, ::-1]
    )
    with pytest.raises(InputError, match="labels of label space 'pets_19' found, expected 'backw"):
        Records(found["pets_19"].directory, "train", found["backwards_19"].labelling)


def test_a_copy_in_the_place_of_another_is_refused(root, tmp_path):
    space("backwards_19", CITYSCAPES_19.classes[::-1])
    own = Path(opened(root, tmp_path, "backwards_19").directory)
    usual = Path(prepare.create_builder("pets", data_dir=tmp_path / "data", root=root).data_dir)
    usual.parent.mkdir(parents=True)
    own.rename(usual)
    with pytest.raises(InputError) as error:
        opened(root, tmp_path, "cityscapes_19")
    assert str(error.value) == (
        f"{usual}: labels of label space 'backwards_19' found, expected 'cityscapes_19'; use the "
        "label space and the declaration that it was prepared with, or remove this folder to have "
        "it prepared again"
    )


def test_classes_and_values_that_changed_since(root, tmp_path, monkeypatch):
    space("few", ("cat", "dog"))
    opened(root, tmp_path, "few")
    del label_space._SPACES["few"]
    space("few", ("dog", "cat"))
    with pytest.raises(InputError, match="'few' with classes cat, dog found, expected dog, cat;"):
        opened(root, tmp_path, "few")
    del label_space._SPACES["few"]
    space("few", ("cat", "dog"))
    assert len(opened(root, tmp_path, "few")) == 2
    changed = LabelEncoding({**Pets.ENCODING.classes, 26: "dog", 27: "cat"})
    monkeypatch.setattr(Pets, "ENCODING", changed)
    with pytest.raises(InputError, match="label value 26 as 'cat' found, expected 'dog'"):
        opened(root, tmp_path, "few")


def test_a_class_that_no_value_means(root, tmp_path):
    space("zoo", ("cat", "lynx"))
    with pytest.raises(InputError, match="label space 'zoo': 'lynx' found, expected classes that"):
        opened(root, tmp_path, "zoo")
    assert not (tmp_path / "data").exists()


def test_folder_names(tmp_path, monkeypatch):
    monkeypatch.setattr(label_space, "_SPACES", dict(label_space._SPACES))
    space("c16", tuple("abcdefghijklmnop"))
    names = {
        name: SourceConfig(size=(8, 12), label_space=name).name
        for name in ("cityscapes_19", "synthia_16", "synthia_13", "c16")
    }
    # The first three as version 0.1 named them: what it prepared is found.
    assert list(names.values()) == ["h8_w12_c19", "h8_w12_c16", "h8_w12_c13", "h8_w12_s_c16"]
    assert SourceConfig(size=(8, 12), root="x").name.startswith("h8_w12_c19_")


def test_unknown_values_are_told_by_those_declared(root, tmp_path):
    Image.fromarray(np.full((8, 12), 3, np.uint8)).save(root / "labels" / "0.png")
    with pytest.raises(
        InputError, match=r"0\.png: label values 3 \(96 pixels\) .* expected 0, 7,.* as a class or"
    ):
        opened(root, tmp_path, "cityscapes_19")


def test_an_image_that_its_tag_turns(root, tmp_path):
    path = root / "images" / "1.png"
    stored = Image.open(path).copy()
    stored.save(path, exif=image_files.oriented(6))
    with pytest.raises(InputError) as error:
        opened(root, tmp_path, "cityscapes_19")
    assert str(error.value) == (
        f"{root}/labels/1.png: 12 x 8 pixels found, expected 8 x 12, to which its EXIF tag turns "
        f"the image {path}; save the image without the tag, or turn the label too"
    )
    label = root / "labels" / "1.png"
    turned = np.rot90(np.asarray(Image.open(label)), -1)
    Image.fromarray(turned).save(label)
    records = opened(root, tmp_path, "cityscapes_19", size=(12, 8))
    np.testing.assert_array_equal(records.image(1), np.rot90(np.asarray(stored), -1))
    expected = Pets.ENCODING.table(CITYSCAPES_19)[turned]
    np.testing.assert_array_equal(records.label(1), expected)


def test_the_map_keeps_the_order_and_stops_at_an_error():
    def work(item):
        time.sleep(0.02 if item % 7 == 0 else 0)
        return item * item

    items = range(40)
    assert list(parallel_map(work, items)) == [item * item for item in items]
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda item: 1 // (item - 3), items))
