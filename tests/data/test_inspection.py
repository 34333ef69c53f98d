import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import inspection, prepare
from cbda_jax.data.declaration import declare
from cbda_jax.errors import InputError

YARD = declare(
    "yard",
    classes=["grass", "path", "shed"],
    void=[255],
    splits={
        "train": {"images": "train/{id}.png", "labels": "labels/{id}.png"},
        "pool": {"images": "pool/{id}.png"},
    },
)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def builder(tmp_path):
    root = tmp_path / "yard"
    label = np.zeros((8, 12), np.uint8)
    label[:2], label[2] = 1, 255
    for name in "abcde":
        save(root / "train" / f"{name}.png", np.full((8, 12, 3), 9, np.uint8))
        save(root / "labels" / f"{name}.png", label)
    save(root / "train" / "e.png", np.full((6, 700, 3), 9, np.uint8))
    save(root / "labels" / "e.png", np.zeros((6, 700), np.uint8))
    save(root / "labels" / "b.png", np.full((8, 12), 255, np.uint8))
    save(root / "labels" / "c.png", np.full((8, 12), 7, np.uint8))
    (root / "train" / "d.png").write_bytes(b"GIF89a" + bytes(9))
    save(root / "pool" / "1.png", np.full((8, 12, 3), 9, np.uint8))
    return prepare.create_builder(YARD, data_dir=tmp_path / "data", root=root)


def test_all_that_is_there_and_all_that_is_wrong(builder, tmp_path):
    seen = []
    train, pool = inspection.inspect(builder, done=lambda *told: seen.append(told))
    assert seen[-2:] == [("train", 5, 5), ("pool", 1, 1)]
    assert train.ids == ["a", "b", "e"]
    assert train.sizes == {(8, 12): 2, (6, 700): 1}
    assert train.class_pixels.tolist() == [[60, 24, 0], [0, 0, 0], [4200, 0, 0]]
    assert train.void.tolist() == [12, 96, 0]
    assert train.empty == ["b"]
    wrong_label, wrong_image = train.unreadable
    assert "labels/c.png: " in wrong_label
    assert "7 (96 pixels)" in wrong_label
    assert "train/d.png: a GIF file found" in wrong_image
    assert [sample.image_id for sample in train.samples] == ["a", "b", "e"]
    assert train.samples[2].image.shape == (4, 480, 3)
    assert train.samples[2].label.shape == (4, 480)
    assert not pool.labelled
    assert pool.empty == []
    # Nothing was written.
    assert not (tmp_path / "data").exists()


def test_the_table(builder):
    lines = inspection.table(inspection.inspect(builder), YARD.space.classes).splitlines()
    assert lines[0] == "  train           3 images of 12 x 8 (2), 700 x 6 (1)"
    assert [line.split() for line in lines[1:4]] == [
        *(["2", "cannot", "be", "used"], ["1", "without", "a", "labelled", "pixel"]),
        ["pool", "1", "images", "of", "12", "x", "8,", "without", "labels"],
    ]
    table = {line.split()[0]: line.split()[1:] for line in lines if line and line[2] != " "}
    # Of 60 + 24 + 12 + 96 + 4,200 pixels.
    assert table["grass"] == ["96.995", "%", "2"]
    assert table["path"] == ["0.546", "%", "1"]
    assert table["shed"] == ["0.000", "%", "0", "nowhere"]
    assert table["(void)"] == ["2.459", "%", "2"]


def test_a_few_samples_spread_over_a_split(builder):
    train, _ = inspection.inspect(builder, samples=2)
    assert [sample.image_id for sample in train.samples] == ["a", "e"]


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"set data\.root"):
        inspection.inspect(prepare.create_builder(YARD, data_dir=tmp_path))
