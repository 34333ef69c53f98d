import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.datasets.folders import MOST_SIZES
from cbda_jax.data.index import index_path
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError
from cbda_jax.files import read_npz, write_npz
from cbda_jax.label_space import CITYSCAPES_19, SYNTHIA_16

FRAMES = {
    "train": ("zurich_000001_000019", "aachen_000002_000019", "aachen_000001_000019"),
    "val": ("lindau_000000_000019",),
}


@pytest.fixture
def files(tmp_path):
    root = tmp_path / "cityscapes"
    rng = np.random.default_rng(0)
    written = {}
    for split, frames in FRAMES.items():
        for frame in frames:
            city = frame.split("_")[0]
            images = root / "leftImg8bit" / split / city
            targets = root / "gtFine" / split / city
            images.mkdir(parents=True, exist_ok=True)
            targets.mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 256, (32, 64, 3), np.uint8)
            ids = rng.integers(0, 34, (32, 64), np.uint8)
            Image.fromarray(image).save(images / f"{frame}_leftImg8bit.png")
            Image.fromarray(ids).save(targets / f"{frame}_gtFine_labelIds.png")
            # The companions that must not be taken for labels.
            Image.fromarray(ids).save(targets / f"{frame}_gtFine_instanceIds.png")
            (targets / f"{frame}_gtFine_polygons.json").write_text("{}")
            written[frame] = image, ids
    # The test split's labels are withheld: dummies, or nothing.
    (root / "leftImg8bit" / "test" / "berlin").mkdir(parents=True)
    return root, written


def opened(root, tmp_path, split="train", **options):
    name = f"cityscapes/{split}"
    return open_records(name, data_dir=tmp_path / "data", root=root, size=(20, 40), **options)


@pytest.mark.parametrize("split", ["train", "val"])
def test_images_are_resized_and_labels_native(files, tmp_path, split):
    root, written = files
    records = opened(root, tmp_path, split)
    assert records.ids == tuple(sorted(FRAMES[split]))
    for i, frame in enumerate(records.ids):
        image, ids = written[frame]
        resized = Image.fromarray(image).resize((40, 20), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(records[i]["image"], np.asarray(resized))
        label = LABEL_IDS.table(CITYSCAPES_19)[ids]
        np.testing.assert_array_equal(records[i]["label"], label)
        assert records.class_pixels[i].tolist() == [int((label == c).sum()) for c in range(19)]


def test_sixteen_classes(files, tmp_path):
    root, written = files
    records = opened(root, tmp_path, "val", label_space="synthia_16")
    ids = written[FRAMES["val"][0]][1]
    np.testing.assert_array_equal(records.label(0), LABEL_IDS.table(SYNTHIA_16)[ids])


def test_archives(files, tmp_path):
    root, _ = files
    packed = tmp_path / "packed"
    packed.mkdir()
    for folder in ("leftImg8bit", "gtFine"):
        with zipfile.ZipFile(packed / f"{folder}_trainvaltest.zip", "w") as archive:
            archive.writestr("license.txt", "...")
            for path in (root / folder).rglob("*"):
                archive.write(path, path.relative_to(root))
    for split in FRAMES:
        ours, theirs = opened(packed, tmp_path, split), opened(root, tmp_path, split)
        assert ours.ids == theirs.ids
        for i in range(len(ours)):
            np.testing.assert_array_equal(ours.image(i), theirs.image(i))
            np.testing.assert_array_equal(ours.label(i), theirs.label(i))


def test_errors(files, tmp_path):
    root, _ = files
    label = root / "gtFine" / "val" / "lindau" / "lindau_000000_000019_gtFine_labelIds.png"
    Image.fromarray(np.full((32, 64), 255, np.uint8)).save(label)
    with pytest.raises(
        InputError, match=r"labelIds\.png: label values 255 \(2,048 pixels\) .* train ids"
    ):
        opened(root, tmp_path)
    label.unlink()
    with pytest.raises(InputError, match=r"gtFine/val: no file like \S*_gtFine_labelIds\.png"):
        opened(root, tmp_path)
    shutil.rmtree(root / "gtFine" / "val")
    with pytest.raises(
        InputError, match=r"gtFine/val: nothing found, nor .* expected leftImg8bit/"
    ):
        opened(root, tmp_path)


def test_a_list_leaves_images_out(files, tmp_path):
    root, _ = files
    (tmp_path / "list.txt").write_text("train/aachen/aachen_000001_000019_leftImg8bit.png\n")
    train = opened(root, tmp_path, files=tmp_path / "list.txt")
    assert train.ids == ("aachen_000001_000019",)
    # It names none of "val", which stays whole.
    assert len(opened(root, tmp_path, "val", files=tmp_path / "list.txt")) == 1


def test_the_test_split_has_no_labels(files, tmp_path):
    root, _ = files
    image = np.full((32, 64, 3), 90, np.uint8)
    Image.fromarray(image).save(root / "leftImg8bit/test/berlin/berlin_0_1_leftImg8bit.png")
    test, val = opened(root, tmp_path, "test"), opened(root, tmp_path, "val")
    assert (test.ids, test.labelled, val.labelled) == (("berlin_0_1",), False, True)
    assert (test.label(0) == 255).all()
    assert test.label(0).shape == (32, 64)
    assert not test.class_pixels.any()


def test_unknown_split(files, tmp_path):
    with pytest.raises(InputError, match="a split 'none' found, expected one of train, val"):
        opened(files[0], tmp_path, "none")


def add(root, city, height, width):
    """A frame of another size."""
    ids = np.random.default_rng(height * width).integers(0, 34, (height, width), np.uint8)
    for folder, ending, array in (
        ("leftImg8bit", "leftImg8bit", np.stack(3 * [ids], -1)),
        ("gtFine", "gtFine_labelIds", ids),
    ):
        path = root / folder / "train" / city / f"{city}_000001_000019_{ending}.png"
        path.parent.mkdir()
        Image.fromarray(array).save(path)
    return LABEL_IDS.table(CITYSCAPES_19)[ids]


def test_labels_of_several_sizes(files, tmp_path):
    root, _ = files
    added = {c: add(root, c, *s) for c, s in (("bonn", (16, 32)), ("hanau", (33, 20)))}
    records = opened(root, tmp_path)
    assert [image_id.split("_")[0] for image_id in records.ids] == [
        *("aachen", "aachen", "bonn", "hanau", "zurich"),
    ]
    expected = [(32, 64), (32, 64), (16, 32), (33, 20), (32, 64)]
    np.testing.assert_array_equal(records.sizes, np.array(expected, np.int32), strict=True)
    for index, city in ((2, "bonn"), (3, "hanau")):
        np.testing.assert_array_equal(records.label(index), added[city])
    # The network sees one size.
    assert {records.image(i).shape for i in range(5)} == {(20, 40, 3)}
    assert opened(root, tmp_path, "val").sizes.tolist() == [[32, 64]]


def test_an_index_of_before_is_given_sizes(files, tmp_path):
    root, _ = files
    add(root, "bonn", 16, 32)
    records = opened(root, tmp_path)
    path = index_path(records.directory, "train")
    whole = read_npz(path)
    write_npz(path, **{name: array for name, array in whole.items() if name != "sizes"})
    again = opened(root, tmp_path)
    np.testing.assert_array_equal(again.sizes, records.sizes, strict=True)
    assert again.ids == records.ids
    np.testing.assert_array_equal(again.class_pixels, records.class_pixels, strict=True)
    for name, array in read_npz(path).items():
        np.testing.assert_array_equal(array, whole[name], strict=True)


def test_more_sizes_than_programs_are_made_for(files, tmp_path):
    root, _ = files
    for number in range(MOST_SIZES - 1):
        add(root, f"b{number}", 16 + number, 32)
    assert len(np.unique(opened(root, tmp_path / "eight").sizes, axis=0)) == MOST_SIZES == 8
    add(root, "c", 32, 60)
    with pytest.raises(InputError) as error:
        opened(root, tmp_path)
    text = str(error.value)
    assert text.splitlines() == [text]
    assert f"{root}/gtFine/train/c/c_000001_000019_gtFine_labelIds.png: 60 x 32 pixels" in text
    assert "aachen_000001_000019_gtFine_labelIds.png has 64 x 32, 9 different sizes in" in text
    # Of two of Aachen, seven, this one, and one of Zurich.
    assert "in the first 10 of 11 labels of 'train', expected at most 8, as each has" in text
    assert "; set label_size to a common (height, width) for labels, or " in text
    assert not list((tmp_path / "data").glob("cityscapes/*/1.0.0"))
