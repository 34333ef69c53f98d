import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import labels
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.prepare import create_builder, prepare_builder
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19

COLOURS = np.array(list(LABEL_IDS.colours.values()), np.uint8)
SIZE = (20, 38)  # stored; the files are 52 x 96


def write_label(path: Path, ids: np.ndarray, kind: str = "palette") -> None:
    if kind == "colour":
        Image.fromarray(COLOURS[ids]).save(path)
        return
    image = Image.fromarray(ids)
    if kind == "palette":
        image.putpalette(COLOURS.ravel().tolist())
    image.save(path)


@pytest.fixture
def files(tmp_path):
    """Five images and labels; returns the root and what was written."""
    root = tmp_path / "gtav"
    rng = np.random.default_rng(0)
    written = {}
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in (3, 1, 10, 2, 21):
        image = rng.integers(0, 256, (52, 96, 3), np.uint8)
        ids = rng.integers(0, 35, (13, 24), np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(image).save(root / "images" / f"{number:05d}.png")
        write_label(root / "labels" / f"{number:05d}.png", ids)
        written[f"{number:05d}"] = image, ids
    return root, written


def opened(root, tmp_path, **options):
    return open_records(
        "gtav", data_dir=tmp_path / "data", **{"root": root, "size": SIZE, **options}
    )


def test_records_are_resized_files_with_train_ids(files, tmp_path):
    root, written = files
    records = opened(root, tmp_path)
    assert records.ids == ("00001", "00002", "00003", "00010", "00021")
    assert len(records) == 5
    for i, image_id in enumerate(records.ids):
        image, ids = written[image_id]
        record = records[i]
        assert record["image_id"] == image_id
        resized = Image.fromarray(image).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(record["image"], np.asarray(resized))
        nearest = Image.fromarray(ids).resize(SIZE[::-1], Image.Resampling.NEAREST)
        expected = LABEL_IDS.table(CITYSCAPES_19)[np.asarray(nearest)]
        assert record["label"].dtype == np.uint8
        np.testing.assert_array_equal(record["label"], expected)
        counts = [(expected == c).sum() for c in range(19)]
        np.testing.assert_array_equal(records.class_pixels[i], counts)
    assert records.class_pixels.dtype == np.int64
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("kind", ["grey", "palette", "colour"])
def test_all_kinds_of_label_files_read_alike(tmp_path, kind):
    # Without 18 and 34, whose colours are those of 17 and 26; 0 to 4 are all black.
    ids = np.array([[7, 11, 26, 33, 23], [17, 19, 20, 0, 5]], np.uint8)
    write_label(tmp_path / "label.png", ids, kind)
    data = (tmp_path / "label.png").read_bytes()
    read = labels.read_values(data, "label.png", LABEL_IDS)
    np.testing.assert_array_equal(read, ids)


def test_preparing_again_changes_nothing_and_another_size_is_another_folder(
    files, tmp_path, capsys
):
    root, _ = files
    first = opened(root, tmp_path)
    assert "preparing gtav/h20_w38_c19_" in capsys.readouterr().out
    state = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in Path(first.directory).iterdir()}
    again = opened(root, tmp_path)
    assert capsys.readouterr().out == ""
    assert again.directory == first.directory
    assert {
        p: (p.stat().st_mtime_ns, p.read_bytes()) for p in Path(first.directory).iterdir()
    } == state
    assert opened(root / ".." / "gtav", tmp_path).directory == first.directory
    (tmp_path / "other").symlink_to(root)
    for options in (
        {"size": (21, 38)},
        {"label_space": "synthia_16"},
        {"root": tmp_path / "other"},
    ):
        assert (
            opened(**{"root": root, "tmp_path": tmp_path, **options}).directory != first.directory
        )
    assert opened(root, tmp_path, label_space="synthia_16").num_classes == 16


def test_a_list_selects_images(files, tmp_path):
    root, _ = files
    (tmp_path / "train.txt").write_text("images/00010.png\n00002\n\n")
    records = opened(root, tmp_path, files=tmp_path / "train.txt")
    assert records.ids == ("00002", "00010")
    assert records.directory != opened(root, tmp_path).directory


def test_published_pairs_of_different_size_are_stretched(files, tmp_path):
    root, _ = files
    Image.new("RGB", (96, 52)).save(root / "images" / "15188.png")
    write_label(root / "labels" / "15188.png", np.zeros((40, 70), np.uint8))
    records = opened(root, tmp_path)
    assert records.ids == ("00001", "00002", "00003", "00010", "00021", "15188")
    assert records[5]["image"].shape[:2] == records[5]["label"].shape == SIZE


def test_manual_dir_stands_for_the_root(files, tmp_path):
    root, _ = files
    builder = create_builder("gtav", data_dir=tmp_path / "data", size=SIZE)
    with pytest.raises(InputError, match="gtav: no folder of files found, expected root="):
        prepare_builder(builder)
    prepare_builder(builder, manual_dir=root)
    assert builder.info.splits["train"].num_examples == 5


def no_root(root):
    (root / "images").rename(root.parent / "images")
    (root / "labels").rename(root.parent / "labels")
    root.rmdir()


def no_labels(root):
    (root / "labels").rename(root / "annotations")


def no_png(root):
    for path in (root / "images").iterdir():
        path.rename(path.with_suffix(".jpg"))


def no_label(root):
    (root / "labels" / "00002.png").unlink()


def no_image(root):
    (root / "images" / "00002.png").unlink()


def truncated_image(root):
    path = root / "images" / "00010.png"
    path.write_bytes(path.read_bytes()[:-2000])


def truncated_label(root):
    path = root / "labels" / "00010.png"
    path.write_bytes(path.read_bytes()[:-40])


def truncated_header(root):
    path = root / "labels" / "00010.png"
    path.write_bytes(path.read_bytes()[:20])


def empty_file(root):
    (root / "labels" / "00010.png").write_bytes(b"")


def empty_image(root):
    (root / "images" / "00010.png").write_bytes(b"")


def text(root):
    (root / "labels" / "00010.png").write_text("<html>404 Not Found</html>" * 9)


def one_flipped_bit(root):
    path = root / "labels" / "00010.png"
    data = bytearray(path.read_bytes())
    data[-30] ^= 4
    path.write_bytes(data)


def four_bits(root):
    Image.fromarray(np.zeros((52, 96), np.uint8)).save(root / "labels" / "00010.png", bits=4)


def same_name(root):
    (root / "images" / "again").mkdir()
    (root / "images" / "again" / "00010.png").write_bytes(b"x")


def not_a_png(root):
    Image.new("RGB", (96, 52)).save(root / "images" / "00010.png", "TIFF")


def other_size(root):
    write_label(root / "labels" / "00010.png", np.zeros((52, 95), np.uint8))


def unknown_ids(root):
    ids = np.zeros((52, 96), np.uint8)
    ids[0, :2] = 77, 255
    write_label(root / "labels" / "00010.png", ids, "grey")


def unknown_colours(root):
    Image.new("RGB", (96, 52), (1, 2, 3)).save(root / "labels" / "00010.png")


def sixteen_bits(root):
    Image.fromarray(np.full((52, 96), 256, np.uint16)).save(root / "labels" / "00010.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            no_root,
            r"gtav: nothing found, expected a folder with images/\*\*/\{id\}\.png and",
        ),
        (no_labels, r"gtav/labels: nothing found, nor in a \.zip or \.tar .* expected images/"),
        (no_png, r"gtav/images: no file like \*\*/\{id\}\.png found, expected images/"),
        (
            no_label,
            r"images/00002\.png: image without label \(1 such images\) found, expected its",
        ),
        (
            no_image,
            r"labels/00002\.png: label without image \(1 such labels\) found, expected its",
        ),
        (truncated_image, r"images/00010\.png: a damaged PNG \(.*truncated"),
        (truncated_label, r"labels/00010\.png: a damaged PNG \("),
        (
            truncated_header,
            r"labels/00010\.png: a damaged PNG \(truncated after 20 bytes\) found",
        ),
        (empty_file, r"labels/00010\.png: an empty file found, expected a PNG"),
        (empty_image, r"images/00010\.png: an empty file found, expected a PNG or JPEG; copy it"),
        (text, r"labels/00010\.png: an HTML page found, expected a PNG; copy or download it"),
        (one_flipped_bit, r"labels/00010\.png: a damaged PNG \(the checksum of its part b'IDAT'"),
        (
            four_bits,
            r"labels/00010\.png: a 4-bit grey PNG found, expected an 8-bit grey or a palette PNG",
        ),
        (
            same_name,
            r"images/again/00010\.png: the same name as .*images/00010\.png found,",
        ),
        (not_a_png, r"images/00010\.png: a TIFF file found, expected a PNG or JPEG; convert"),
        (
            other_size,
            r"labels/00010\.png: 95 x 52 pixels found, expected 96 x 52, as its image",
        ),
        (
            unknown_ids,
            r"labels/00010\.png: label values 77 \(1 pixel\), 255 .* 0 to 34; .* train ids",
        ),
        (
            unknown_colours,
            r"labels/00010\.png: .* 1 colours that no class has, \(1, 2, 3\) \(4,992 pixels\)",
        ),
        (
            sixteen_bits,
            r"labels/00010\.png: a 16-bit grey PNG with values up to 256 found, expected",
        ),
    ],
)
def test_bad_files_are_one_line_and_leave_nothing(files, tmp_path, spoil, message):
    root, _ = files
    folder = Path(opened(root, tmp_path, size=(5, 9)).directory)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    spoil(root)
    with pytest.raises(InputError, match=message) as raised:
        opened(root, tmp_path)
    assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    rest = {path for path in (tmp_path / "data" / "gtav").rglob("*") if path.is_file()}
    assert {path.name for path in rest - before.keys()} == {".1.0.0.lock", "metadata.json"}
    with pytest.raises(InputError, match="expected a prepared data set"):
        opened(root, tmp_path, prepare=False)


def test_mended_files_prepare(files, tmp_path):
    root, _ = files
    whole = (root / "images" / "00010.png").read_bytes()
    truncated_image(root)
    with pytest.raises(InputError, match="damaged"):
        opened(root, tmp_path)
    (root / "images" / "00010.png").write_bytes(whole)
    assert len(opened(root, tmp_path)) == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "list.txt: a list that cannot be read"),
        ("\n", "list.txt: no image found, expected one image name a line"),
        (
            "00001.png\n00009.png\n",
            "list.txt: 1 of 2 listed images that are not there, such as '00009',",
        ),
    ],
)
def test_bad_lists(files, tmp_path, content, message):
    root, _ = files
    if content is not None:
        (tmp_path / "list.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        opened(root, tmp_path, files=tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 38)}, r"size: \(0, 38\) found, expected \(height, width\)"),
        ({"size": (720,)}, r"size: \(720,\) found, expected"),
        ({"label_space": "cityscapes_20"}, "label_space: 'cityscapes_20' found, expected one of"),
    ],
)
def test_bad_options(files, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        opened(files[0], tmp_path, **options)
