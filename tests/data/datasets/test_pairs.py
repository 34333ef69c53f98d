import pytest

from cbda_jax.data.datasets.pairs import Pair, match, read_list, select
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
    assert read_list(path) == ["1", "2"]
    pairs = match(files("1.png", "2.png", "3.png"), files("1.png", "2.png", "3.png"), "g", "g")
    assert select(pairs, None) == pairs


def test_a_list_selects(tmp_path):
    (tmp_path / "list.txt").write_text("3\n1\n")
    (tmp_path / "more.txt").write_text("3\n4\n5\n")
    found = files("1.png", "2.png", "3.png")
    pairs = match(found, found, ".png", ".png")
    assert [p.image_id for p in select(pairs, tmp_path / "list.txt")] == ["1", "3"]
    with pytest.raises(InputError, match=r"2 of 3 listed images that are not there, such as '4'"):
        select(pairs, tmp_path / "more.txt")
