import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from cbda_jax.data.records import open_records
from cbda_jax.data.trees import Tree
from cbda_jax.errors import InputError

NAMES = ("00001.png", "00002.png", "00003.png")


def png_bytes(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def members():
    rng = np.random.default_rng(0)
    files = {}
    for name in NAMES:
        files[f"images/{name}"] = png_bytes(rng.integers(0, 256, (24, 40, 3), np.uint8))
        files[f"labels/{name}"] = png_bytes(rng.integers(7, 9, (24, 40), np.uint8))
    return files


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def part(members, start):
    return {name: data for name, data in members.items() if name.startswith(start)}


def contents(root, tmp_path):
    records = open_records("gtav", data_dir=tmp_path / "data", root=root, size=(12, 20))
    return {r["image_id"]: (r["image"].tolist(), r["label"].tolist()) for r in records}


@pytest.fixture
def extracted(members, tmp_path):
    root = tmp_path / "extracted"
    for name, data in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return contents(root, tmp_path)


def as_published(root, members):
    for number, name in enumerate(NAMES, start=1):
        write_zip(root / f"{number:02d}_images.zip", part(members, f"images/{name}"))
        write_zip(root / f"{number:02d}_labels.zip", part(members, f"labels/{name}"))


def one_tar(root, members):
    write_tar(root / "all.tar", {f"./GTAV/{name}": data for name, data in members.items()})


def labels_in_zip(root, members):
    for name, data in part(members, "images").items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    junk = {"__MACOSX/labels/._00001.png": b"x", "labels/._00001.png": b"x", "labels/readme": b"x"}
    write_zip(root / "labels.zip", part(members, "labels") | junk)


@pytest.mark.parametrize("pack", [as_published, one_tar, labels_in_zip])
def test_archives_read_as_extracted(extracted, members, tmp_path, pack):
    root = tmp_path / "packed"
    root.mkdir()
    pack(root, members)
    before = sorted(root.rglob("*"))
    assert contents(root, tmp_path) == extracted
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../labels/evil.png", "/labels/evil.png", "a\\..\\evil.png", "C:/e"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_outside_of_the_archive_are_refused(members, tmp_path, name, kind):
    write = write_zip if kind == "zip" else write_tar
    write(tmp_path / f"all.{kind}", {**members, name: b"x"})
    with pytest.raises(InputError, match=r"all\.\w+: its member .* outside of the folder"):
        Tree(tmp_path, "files").find("labels", ".png")


@pytest.mark.parametrize("name", ["SYNTHIA.rar", "gtav.tar.gz", "gtav.7z"])
def test_archives_that_cannot_be_read_are_to_be_extracted(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"labels: not there.*Extract {name} first\."):
        Tree(tmp_path, "labels/*.png").find("labels", ".png")


def test_links_in_a_tar_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        link = tarfile.TarInfo("labels/00001.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    with pytest.raises(InputError, match="labels: not there"):
        Tree(tmp_path, "labels/*.png").find("labels", ".png")


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


def test_damaged_archives(members, tmp_path):
    write_zip(tmp_path / "all.zip", members)
    cut(tmp_path / "all.zip", 2000)
    with pytest.raises(InputError, match=r"all\.zip: a damaged archive"):
        Tree(tmp_path, "labels/*.png").find("labels", ".png")
    (tmp_path / "all.zip").unlink()
    (tmp_path / "all.tar").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"all\.tar: a damaged archive"):
        Tree(tmp_path, "labels/*.png").find("labels", ".png")


def test_a_damaged_member_is_named(members, tmp_path):
    path = tmp_path / "all.zip"
    write_zip(path, members)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("labels/00002.png")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + 20] ^= 255
    path.write_bytes(data)
    files = Tree(tmp_path, "labels/*.png").find("labels", ".png")
    assert files["00001.png"].read() == members["labels/00001.png"]
    with pytest.raises(InputError, match=r"all\.zip:labels/00002\.png: a damaged archive"):
        files["00002.png"].read()


def test_truncated_tar_is_noticed(members, tmp_path):
    write_tar(tmp_path / "all.tar", members)
    cut(tmp_path / "all.tar", 3 * 1024)
    with pytest.raises(InputError, match=r"all\.tar"):
        [file.read() for file in Tree(tmp_path, "*.png").find("images", ".png").values()]
