import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import prepare
from cbda_jax.data.datasets.declared import builder_of
from cbda_jax.data.declaration import declare
from cbda_jax.data.index import index_path
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, LabelSpace

YARD = {
    "classes": ["grass", "path", "shed"],
    "values": {"grass": 10, "path": 20, "shed": [30, 31]},
    "void": [0],
    "splits": {
        "train": {"images": "rgb/{cond}/{id}.png", "labels": "ids/{cond}/{id}_ids.png"},
        "pool": {"images": "more/{id}.png"},
        "val": {"images": "val/{id}.png", "labels": "val/{id}_ids.png"},
    },
}
IDS = np.array([[0, 10, 20], [30, 31, 10]], np.uint8).repeat(4, 0).repeat(4, 1)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "yard"
    image = np.full((8, 12, 3), 50, np.uint8)
    for cond in ("sun", "rain"):
        save(root / "rgb" / cond / "1.png", image)
        save(root / "ids" / cond / "1_ids.png", IDS)
        save(root / "rgb" / cond / "1 (1).png", image)
    save(root / "more" / "7.png", image)
    return root


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def opened(root, split="train", declaration=None, **options):
    chosen = declaration or declare("yard", **YARD)
    where = {"data_dir": root.parent / "data", "root": root, "size": (4, 6), **options}
    return open_records(f"yard/{split}", dataset=chosen, **where)


def test_images_labels_and_ids(root, capsys):
    train = opened(root)
    assert train.ids == ("rain/1", "sun/1")
    assert (train.label_space, train.classes) == ("yard", ("grass", "path", "shed"))
    assert train.image(0).shape == (4, 6, 3)
    # Labels are native; void is 255.
    np.testing.assert_array_equal(train.label(0)[::4, ::4], [[255, 0, 1], [2, 2, 0]])
    assert train.class_pixels[0].tolist() == [32, 16, 32]
    text = capsys.readouterr().out
    assert "note: yard: train: 2 files (" in text
    assert "sun/1 (1).png) without label, left out" in text


def test_images_without_labels(root):
    pool = opened(root, "pool")
    assert not pool.labelled
    assert opened(root).labelled
    assert (pool.label(0) == 255).all()
    assert pool.label(0).shape == (8, 12)


def test_a_split_without_images_is_not_there(root):
    builder = prepare.create_builder(declare("yard", **YARD), data_dir=root, root=root)
    assert prepare.find_splits(builder) == ("train", "pool")
    assert builder.about_split("val") == ", or images like val/{id}.png in its folder"
    assert builder.about_split("vall") == ""


def test_labels_of_a_source_follow_its_images(root):
    train = opened(root, native_labels=False)
    assert train.label(0).shape == (4, 6)
    assert "_fit" in train.directory


def test_labels_of_one_declared_size(root):
    declaration = declare("yard", **YARD, label_size=(4, 6))
    train = opened(root, declaration=declaration, size=(2, 3))
    assert train.label(0).shape == (4, 6)
    np.testing.assert_array_equal(train.label(0)[::2, ::2], [[255, 0, 1], [2, 2, 0]])
    assert train.sizes.tolist() == 2 * [[4, 6]]
    assert train.native_sizes.tolist() == 2 * [[8, 12]]
    # Of an index that was lost, too; and those of before are as they were.
    index_path(train.directory, "train").unlink()
    again = opened(root, declaration=declaration, size=(2, 3))
    assert again.native_sizes.tolist() == 2 * [[8, 12]]
    assert opened(root).native_sizes.tolist() == opened(root).sizes.tolist() == 2 * [[8, 12]]


def test_more_sizes_than_programs_are_made_for_have_one_for_their_labels(root):
    for number in range(10):
        image = np.full((8 + number, 12, 3), 50, np.uint8)
        save(root / "rgb" / "many" / f"{number}.png", image)
        save(root / "ids" / "many" / f"{number}_ids.png", np.full(image.shape[:2], 10, np.uint8))
    with pytest.raises(InputError, match="set label_size to a common"):
        opened(root)
    train = opened(root, declaration=declare("yard", **YARD, label_size=(4, 6)))
    assert train.native_sizes.tolist() == [*([8 + n, 12] for n in range(10)), [8, 12], [8, 12]]


def test_other_classes_meet_by_name(root):
    space = LabelSpace("two", ("ground", "house"), np.zeros((2, 3), np.uint8))
    mapping = {"grass": "ground", "path": "ground", "shed": None}
    train = opened(root, label_space=space, mapping=mapping)
    np.testing.assert_array_equal(train.label(0)[::4, ::4], [[255, 0, 0], [255, 255, 0]])
    # What is written of a class without a value is void.
    assert train.encoding.inverse(space)[:2].tolist() == [10, 0]
    assert opened(root).directory != train.directory


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"gras": "ground"}, "class mapping: 'gras' found, .*; did you mean 'grass'"),
        ({"grass": "grund"}, "class mapping: 'grund' for 'grass' .*; did you mean 'ground'"),
        ({"grass": "ground"}, "class mapping: nothing for 'path', 'shed' found, expected a class"),
    ],
)
def test_mappings_that_do_not_fit(root, mapping, message):
    space = LabelSpace("two", ("ground", "house"), np.zeros((2, 3), np.uint8))
    with pytest.raises(InputError, match=message):
        opened(root, label_space=space, mapping=mapping)


def test_classes_that_do_not_meet(root):
    with pytest.raises(InputError, match=r"or map the classes by name$"):
        opened(root, label_space=CITYSCAPES_19)


def test_lists_of_a_split_and_of_the_data_set(root):
    (root / "train.txt").write_text("sun/1\n")
    splits = {**YARD["splits"], "train": {**YARD["splits"]["train"], "files": "train.txt"}}
    declaration = declare("yard", **{**YARD, "splits": splits})
    assert opened(root, declaration=declaration).ids == ("sun/1",)
    (root / "mine.txt").write_text("rain/1\n")
    (root / "rgb" / "rain" / "2.png").write_bytes(b"")  # has no label, and is not listed
    assert opened(root, files=root / "mine.txt").ids == ("rain/1",)


def test_what_is_missing_is_told_by_its_pattern(root):
    (root / "ids" / "sun" / "1_ids.png").unlink()
    with pytest.raises(InputError, match=r"sun/1\.png: image without .* its label sun/1 \(ids/\{"):
        opened(root)
    for path in root.rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match=r"rgb: no file like \{cond\}/\{id\}\.png found, expected"):
        opened(root)


def test_a_declaration_has_one_builder():
    declaration = declare("yard", **YARD)
    assert builder_of(declaration) is builder_of(declaration)
    assert builder_of(declaration).name == "yard"
