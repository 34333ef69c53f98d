import io
import stat
import tarfile
import warnings
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbda_jax.data.datasets.pairs import Pair, match, read_list, select
from cbda_jax.data.datasets.trees import File, Tree

FUZZ = settings.get_profile("fuzz")
MEMBERS = {
    f"{folder}/{number}.png": bytes([number]) * 700
    for folder in ("images", "labels")
    for number in range(3)
}
# What an attacker, a careless packer or another system may call a member.
PARTS = st.sampled_from(
    (
        *("images", "labels", "0.png", "1.png", ".png", "._0.png", "__MACOSX", "x" * 90 + ".png"),
        *("..", ".", "", "~", "C:", "\\", "é.png", "a\n.png", "\udcff.png"),
    )
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def zipped(members, **how) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **how) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, how.get("compression"))
    return stream.getvalue()


def tarred(members) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


ARCHIVES = {
    "stored.zip": zipped(MEMBERS),
    "deflated.zip": zipped(MEMBERS, compression=zipfile.ZIP_DEFLATED),
    "plain.tar": tarred(MEMBERS),
}


def read_all(root):
    tree = Tree(root, "images/*.png and labels/*.png")
    pairs = match(tree.find("images", ".png"), tree.find("labels", ".png"), ".png", ".png")
    return {pair.image_id: (pair.image.read(), pair.label.read()) for pair in pairs}


EXPECTED = {str(n): 2 * (bytes([n]) * 700,) for n in range(3)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("archives")


def put(root, name, content):
    """Makes this the only file of a folder."""
    for path in root.iterdir():
        path.unlink()
    (root / name).write_bytes(content)


@pytest.mark.parametrize("name", ARCHIVES)
def test_whole_archives_read(name, root):
    put(root, name, ARCHIVES[name])
    assert read_all(root) == EXPECTED


@pytest.mark.parametrize("name", ARCHIVES)
@FUZZ
@given(data=st.data())
def test_damaged_archives(name, attempt, mutate, root, data):
    put(root, name, mutate(data.draw, ARCHIVES[name]))
    found = attempt(read_all, root)
    if found is not None:
        # All of it, and of a zip file, which has checksums, the same bytes.
        assert found.keys() == EXPECTED.keys()
        assert found == EXPECTED or name == "plain.tar"


@FUZZ
@given(names=st.lists(NAMES, max_size=5), whole=st.booleans(), data=st.data())
def test_members_of_any_name_in_a_zip(attempt, root, names, whole, data):
    stream, contents = io.BytesIO(), set()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that are there twice
        for number, name in enumerate([*names, *(MEMBERS if whole else ())]):
            contents.add(content := f"member {number}".encode())
            info = zipfile.ZipInfo(name.replace("\udcff", "ÿ") or "x")
            if number < len(names):
                info.external_attr = data.draw(st.sampled_from([0, stat.S_IFLNK << 16]))
            archive.writestr(info, content)
    put(root, "all.zip", stream.getvalue())
    for pair in (attempt(read_all, root) or {}).values():
        assert contents.issuperset(pair)


@FUZZ
@given(names=st.lists(NAMES, max_size=5), whole=st.booleans(), data=st.data())
def test_members_of_any_name_and_kind_in_a_tar(attempt, root, names, whole, data):
    stream, contents = io.BytesIO(), set()
    with tarfile.open(fileobj=stream, mode="w", errors="surrogateescape") as archive:
        for number, name in enumerate([*names, *(MEMBERS if whole else ())]):
            contents.add(content := f"member {number}".encode())
            info = tarfile.TarInfo(name)
            if number < len(names):
                kinds = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
                info.type = data.draw(st.sampled_from(kinds))
                info.linkname = "/etc/passwd"
            info.size = len(content) * info.isreg()
            archive.addfile(info, io.BytesIO(content))
    put(root, "all.tar", stream.getvalue())
    for pair in (attempt(read_all, root) or {}).values():
        assert contents.issuperset(pair)


@FUZZ
@given(content=st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode()))
def test_lists_of_images(attempt, root, content):
    (root / "list.txt").write_bytes(content)
    names = attempt(read_list, root / "list.txt")
    if names is not None:
        assert names == sorted(set(names))
        file = File("x.png", lambda: b"")
        known = [Pair(name, file, file) for name in [*names, "other than these"]]
        chosen = attempt(select, {"train": known}, root / "list.txt")
        # A line may be the end of another: "a" of "b/a".
        assert chosen is None or {pair.image_id for pair in chosen["train"]} <= {*names}
