import io
import os
import stat
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from cbda_jax.data.datasets import trees
from cbda_jax.data.datasets.trees import Tree
from cbda_jax.data.records import open_records
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
    with pytest.raises(InputError, match=r"all\.\w+: a member .* found, expected names inside of"):
        Tree(tmp_path, "files").find("labels", ".png")


def test_a_member_without_a_name_is_refused(members, tmp_path):
    write_zip(tmp_path / "all.zip", {**members, "Q.png": b"x"})
    content = (tmp_path / "all.zip").read_bytes()
    # Readers end a name at its first zero.
    (tmp_path / "all.zip").write_bytes(content.replace(b"Q.png", b"\0.png"))
    with pytest.raises(InputError, match=r"all\.zip: a member '' found, expected names inside of"):
        Tree(tmp_path, "files").find("labels", ".png")


@pytest.mark.parametrize("name", ["SYNTHIA.rar", "gtav.tar.gz", "gtav.7z"])
def test_archives_that_cannot_be_read_are_to_be_extracted(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"labels: nothing found, .*; extract {name}$"):
        Tree(tmp_path, "labels/*.png").find("labels", ".png")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_a_tar_are_not_followed(members, tmp_path, kind):
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if name == "labels/00001.png":
                info.type, info.linkname, data = kind, "/etc/hostname", b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(InputError, match=r"all\.tar:labels/00001\.png: a link found, .* not foll"):
        contents(tmp_path, tmp_path)


def test_links_in_a_zip_are_not_followed(members, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            if name == "labels/00001.png":
                info.external_attr, data = stat.S_IFLNK << 16, b"/etc/hostname"
            archive.writestr(info, data)
    with pytest.raises(InputError, match=r"all\.zip:labels/00001\.png: a link found, .* not foll"):
        contents(tmp_path, tmp_path)


def twice_in_a_zip(root, members):
    write_zip(root / "all.zip", members)
    with zipfile.ZipFile(root / "all.zip", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("labels/00002.png", members["labels/00003.png"])


def twice_in_a_tar(root, members):
    write_tar(root / "all.tar", members)
    write_tar(root / "all.tar", {"labels/00002.png": members["labels/00003.png"]}, "a")


def in_two_archives(root, members):
    write_zip(root / "all.zip", members)
    write_tar(root / "labels.tar", {"other/labels/00002.png": members["labels/00003.png"]})


@pytest.mark.parametrize("pack", [twice_in_a_zip, twice_in_a_tar, in_two_archives])
def test_a_file_that_is_there_twice_is_not_chosen(members, tmp_path, pack):
    pack(tmp_path, members)
    with pytest.raises(
        InputError, match=r"labels/00002\.png: the same file as .*/00002\.png found"
    ):
        contents(tmp_path, tmp_path)


def test_the_same_note_in_two_archives_does_no_harm(extracted, members, tmp_path):
    root = tmp_path / "packed"
    root.mkdir()
    for folder in ("images", "labels"):
        write_zip(root / f"{folder}.zip", {**part(members, folder), "license.txt": b"..."})
    assert contents(root, tmp_path) == extracted


@pytest.mark.parametrize("kind", ["zip", "tar", "disk"])
def test_no_more_is_read_than_an_image_can_have(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(trees, "_MOST_BYTES", 2**20)
    content = {"labels/00001.png": bytes(2**20 + 1)}
    if kind == "disk":
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels" / "00001.png").write_bytes(content["labels/00001.png"])
    else:
        (write_zip if kind == "zip" else write_tar)(tmp_path / f"all.{kind}", content)
    (file,) = Tree(tmp_path, "labels/*.png").find("labels", ".png").values()
    with pytest.raises(InputError, match=r"labels/00001\.png: no regular file of at most 1 MiB fo"):
        file.read()


@pytest.mark.parametrize("whole", [1, 4])
def test_a_tar_cut_between_two_members_is_noticed(members, tmp_path, whole):
    write_tar(tmp_path / "all.tar", members)
    with tarfile.open(tmp_path / "all.tar") as archive:
        position = archive.getmembers()[whole].offset
    cut(tmp_path / "all.tar", position)
    with pytest.raises(InputError, match=rf"a damaged archive \(no end mark after {whole} members"):
        Tree(tmp_path, "labels/*.png").find("labels", ".png")


def test_a_damaged_header_in_a_tar_does_not_end_it(members, tmp_path):
    write_tar(tmp_path / "all.tar", members)
    with tarfile.open(tmp_path / "all.tar") as archive:
        position = archive.getmembers()[4].offset
    data = bytearray((tmp_path / "all.tar").read_bytes())
    data[position + 3] ^= 1
    (tmp_path / "all.tar").write_bytes(data)
    with pytest.raises(InputError, match=r"a damaged archive \(no end mark after 4 members"):
        Tree(tmp_path, "labels/*.png").find("labels", ".png")


def test_folders_that_lead_back_and_pipes(members, tmp_path):
    for name, data in members.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    for name in ("a", "b", "c"):
        (tmp_path / "images" / name).symlink_to(tmp_path)
        (tmp_path / "labels" / name).symlink_to(".")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "00004.png").write_bytes(b"x")
    (tmp_path / "images" / "more").symlink_to(elsewhere)
    found = Tree(tmp_path, "*.png").find("images", ".png")
    assert list(found) == [*NAMES, "more/00004.png"]
    os.mkfifo(elsewhere / "00005.png")
    pipe = Tree(tmp_path, "*.png").find("images", ".png")["more/00005.png"]
    with pytest.raises(InputError, match=r"00005\.png: no regular file"):
        pipe.read()


def test_names_that_no_record_can_hold(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / os.fsdecode(b"caf\xe9\n.png")).write_bytes(b"x")
    with pytest.raises(InputError, match="a name that no image can have found") as error:
        contents(tmp_path, tmp_path)
    assert len(str(error.value).splitlines()) == 1
    assert "caf\\udce9\\n.png" in str(error.value)


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
