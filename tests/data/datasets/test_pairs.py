import pytest

from cbda_jax.data.datasets.pairs import Pair, by_parts, join, match, read_list, select
from cbda_jax.data.datasets.patterns import Pattern
from cbda_jax.data.datasets.trees import File
from cbda_jax.errors import InputError


def files(*names, folder="images"):
    return {name: File(f"{folder}/{name}", lambda: b"") for name in names}


def test_pairs_go_by_what_stands_before_the_ending():
    images = files("b/b_1_left.png", "a/a_2_left.png")
    labels = files("x/a_2_ids.png", "x/b_1_ids.png", folder="labels")
    assert match(images, labels, "_left.png", "_ids.png") == [
        Pair("a_2", images["a/a_2_left.png"], labels["x/a_2_ids.png"]),
        Pair("b_1", images["b/b_1_left.png"], labels["x/b_1_ids.png"]),
    ]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (("1.png", "2.png", "3.png"), ("1.png",), r"images/2\.png: image without label \(2 such"),
        (("1.png",), ("1.png", "2.png"), r"labels/2\.png: label without image \(1 such"),
        (("a/1.png", "b/1.png"), ("1.png",), r"images/b/1\.png: the same name as images/a/1\.png"),
        ((".png",), ("1.png",), r"images/\.png: a name that no image can have found"),
    ],
)
def test_files_that_do_not_pair(images, labels, message):
    with pytest.raises(InputError, match=message):
        match(files(*images), files(*labels, folder="labels"), ".png", ".png")


def test_a_list_has_one_name_a_line(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\ufeffimages/2.png\n\n 1 \n2\n", encoding="utf-8")
    assert read_list(path) == ["1", "2", "images/2"]
    pairs = match(files("1.png", "2.png", "3.png"), files("1.png", "2.png", "3.png"), "g", "g")
    assert select({"train": pairs}, None) == {"train": pairs}


def test_a_list_selects(tmp_path):
    (tmp_path / "list.txt").write_text("3\n1\n")
    (tmp_path / "more.txt").write_text("3\n4\n5\n")
    found = files("1.png", "2.png", "3.png")
    pairs = match(found, found, ".png", ".png")
    assert selected({"train": pairs}, tmp_path / "list.txt") == {"train": ["1", "3"]}
    with pytest.raises(InputError, match=r"2 of 3 listed images that are not there, such as '4'"):
        select({"train": pairs}, tmp_path / "more.txt")


def selected(splits, path):
    chosen = select(splits, path)
    return {split: [pair.image_id for pair in pairs] for split, pairs in chosen.items()}


def test_a_list_names_images_by_id_name_or_path_with_any_ending(tmp_path):
    path = tmp_path / "list.txt"
    train = join(files("fog/1", "fog/2", "rain/1", "rain/2", "rain/3"), {}, "", listed=True)
    assert train == []
    found = {
        name: Pair(name, File(f"/data/rgb/{name}_rgb.JPG", lambda: b""), None)
        for name in ("fog/1", "fog/2", "rain/1", "rain/2", "rain/3")
    }
    splits = {"train": [*found.values()][:4], "val": [found["rain/3"]]}
    path.write_text("fog/1\nrgb/fog/2_rgb.jpg\n./rain/2_rgb.JPG labels/rain/2.png\n")
    # A split of which nothing is named stays whole.
    assert selected(splits, path) == {"train": ["fog/1", "fog/2", "rain/2"], "val": ["rain/3"]}
    two = Pair("x/2", File("/data/x/fog/2_rgb.jpg", lambda: b""), None)
    path.write_text("2_rgb\n")
    with pytest.raises(InputError, match=r"'2_rgb' found, which 3 images are called"):
        select({"train": [*found.values(), two]}, path)


def test_files_beside_the_pairs_are_left_out_with_a_word():
    notes = []
    images = files("1.png", "2.png", "2 (1).png", "2 - Copy.png")
    labels = files("1.png", "2.png", "1_labelTrainIds.png", "2.colour.png", folder="labels")
    pairs = match(images, labels, ".png", ".png", notes.append)
    assert [pair.image_id for pair in pairs] == ["1", "2"]
    assert notes == [
        "2 files (images/2 (1).png, images/2 - Copy.png) without label, left out",
        "2 files (labels/1_labelTrainIds.png, labels/2.colour.png) without image, left out",
    ]


def test_what_a_list_leaves_out_needs_no_other_half():
    pairs = match(files("1.png", "2.png"), files("2.png", "3.png"), ".png", ".png", listed=True)
    assert [pair.image_id for pair in pairs] == ["2"]


def test_ids_are_the_named_parts_of_a_path():
    pattern = Pattern("rgb/{cond}/train/{seq}/{id}_rgb.png")
    found = files("fog/train/a/1_rgb.png", "rain/train/a/1_rgb.png", folder="rgb")
    assert [*by_parts(found, pattern, pattern.parts)] == ["fog/a/1", "rain/a/1"]
    assert [*by_parts(found, pattern, ("seq", "id", "cond"))] == ["a/1/fog", "a/1/rain"]
    twice = files("fog/train/a/1_rgb.png", "fog/train/a/1_rgb.PNG", folder="rgb")
    with pytest.raises(InputError, match=r"1_rgb.PNG: the same name as rgb/fog/train/a/1_rgb.png"):
        by_parts(twice, pattern, pattern.parts)
