import pytest

from cbda_jax.data.datasets.patterns import Pattern
from cbda_jax.data.datasets.trees import Tree
from cbda_jax.errors import InputError


def paths(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("text", "path", "parts"),
    [
        ("train/{id}.jpg", "a b.jpg", {"id": "a b"}),
        ("train/{id}.jpg", "a.JPG", {"id": "a"}),
        ("train/{id}.jpg", "a.png", None),
        ("train/{id}.jpg", "b/a.jpg", None),
        ("train/{id}.{jpg|jpeg|png}", "a.Jpeg", {"id": "a"}),
        ("train/{id}.{jpg|jpeg|png}", "a.jpegs", None),
        ("rgb/{cond}/train/{seq}/{id}_rgb.png", "fog/train/s1/7_rgb.png", {"cond": "fog"}),
        ("rgb/{cond}/train/{seq}/{id}_rgb.png", "fog/val/s1/7_rgb.png", None),
        ("images/**/{id}.png", "a.png", {"id": "a"}),
        ("images/**/{id}.png", "x/y/a.png", {"id": "a"}),
        ("gtFine/train/*/{id}_labelIds.png", "ulm/ulm_1_labelIds.png", {"id": "ulm_1"}),
        ("gtFine/train/*/{id}_labelIds.png", "ulm_1_labelIds.png", None),
        ("{id}.v2/{name}", "a.v2/b.png", {"id": "a", "name": "b.png"}),
        ("a(1)/{id}.png", "x.png", {"id": "x"}),
    ],
)
def test_what_matches(text, path, parts):
    found = Pattern(text).match(path)
    if parts is None:
        assert found is None
    else:
        assert found is not None
        assert found.items() >= parts.items()


@pytest.mark.parametrize(
    ("text", "folder", "parts"),
    [
        ("train/{id}.jpg", "train", ("id",)),
        ("{id}.jpg", "", ("id",)),
        ("a/b/{c}x/{id}.png", "a/b", ("c", "id")),
        ("images/**/{id}.png", "images", ("id",)),
        ("a/b*/{id}.png", "a", ("id",)),
    ],
)
def test_the_folder_that_is_looked_through(text, folder, parts):
    pattern = Pattern(text)
    assert (pattern.folder, pattern.parts) == (folder, parts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train/a.jpg", "one named part such as {id} at least"),
        ("{id}/{id}.jpg", "none twice"),
        ("train/{id.jpg", "every { closed"),
        ("train/{a b}.jpg", "names of letters"),
        ("/data/{id}.jpg", "a path below the data set's folder"),
        ("../{id}.jpg", "a path below the data set's folder"),
    ],
)
def test_what_is_no_pattern(text, expected):
    with pytest.raises(InputError) as error:
        Pattern(text, "images")
    assert str(error.value).startswith(f"images: {text!r} found, expected ")
    assert expected in str(error.value)


def test_files_of_a_tree(tmp_path):
    paths(tmp_path, "train/1.jpg", "train/2.JPG", "train/deep/3.jpg", "train/x.txt", "val/1.jpg")
    tree = Tree(tmp_path, "a layout")
    assert list(Pattern("train/{id}.jpg").find(tree)) == ["1.jpg", "2.JPG"]
    assert list(Pattern("{split}/{id}.jpg").find(tree)) == [
        *("train/1.jpg", "train/2.JPG", "val/1.jpg")
    ]
    assert list(Pattern("train/{id}.jpg").find(Tree(tmp_path.parent, ""), ("", tmp_path.name))) == [
        *("1.jpg", "2.JPG")
    ]
    pattern = Pattern("train/{id}.png")
    assert pattern.find(tree) == {}
    assert f"{tmp_path / 'train'}: no file like {{id}}.png found, expected a layout" in str(
        pattern.missing(tree)
    )
    assert "none: nothing found, nor in a .zip" in str(Pattern("none/{id}.png").missing(tree))
