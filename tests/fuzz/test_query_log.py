import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbda_jax.annotation import Queries, QueryLog

FUZZ = settings.get_profile("fuzz")
COLUMNS = ("image", "row", "col", "score", "predicted")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log of one round."""
    folder = tmp_path_factory.mktemp("log")
    rng = np.random.default_rng(0)
    places = rng.permutation(3 * 20 * 30)[:60]
    queries = Queries(
        round=1,
        step=10,
        image_ids=("a/0", "a/1", "b/0"),
        image=(places // 600).astype(np.int32),
        row=(places % 600 // 30).astype(np.int32),
        col=(places % 30).astype(np.int32),
        score=np.sort(rng.random(60, np.float32))[::-1],
        predicted=rng.integers(0, 19, 60, np.uint8),
        radius=1,
        about={"method": "ripu", "requested": 60},
    )
    QueryLog(folder).append(queries)
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    return (folder / "round_01.npz").read_bytes()


def read(folder):
    (queries,) = QueryLog(folder).rounds
    about = (queries.round, queries.step, queries.radius, queries.image_ids, queries.about)
    return about, [getattr(queries, name).tobytes() for name in COLUMNS]


@FUZZ
@given(data=st.data())
def test_damage_is_noticed(folder, whole, attempt, mutate, data):
    path = folder / "round_01.npz"
    path.write_bytes(whole)
    expected = read(folder)
    spoilt = mutate(data.draw, whole)
    path.write_bytes(spoilt)
    assert attempt(read, folder) in (None, expected)
    assert path.read_bytes() == spoilt


def test_every_flipped_byte_is_noticed(folder, whole, attempt):
    path = folder / "round_01.npz"
    path.write_bytes(whole)
    expected = read(folder)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        assert attempt(read, folder) in (None, expected)


ARRAYS = st.sampled_from(
    [
        np.zeros(0, np.int32),
        np.array([-1, 5], np.int32),
        np.array([0, 0], np.int32),
        np.array([2**31 - 1, 0], np.int32),
        np.zeros((2, 2), np.int32),
        np.array(3, np.int32),
        np.zeros(2, np.float32),
        np.zeros(2, np.uint8),
        np.zeros(2, np.int64),
        np.array(["b", "a"]),
        np.array([b"a"]),
        np.array("[1]"),
        np.array('{"version": 1}'),
    ]
)


@FUZZ
@given(data=st.data())
def test_forged_files_with_right_checksums(folder, whole, attempt, forge, data):
    (folder / "round_01.npz").write_bytes(forge(data.draw, whole, ARRAYS))
    found = attempt(QueryLog, folder)
    if found is not None:
        (queries,) = found.rounds
        assert type(queries.step) is int
        assert len({len(getattr(queries, name)) for name in COLUMNS}) == 1
        centres = list(zip(queries.image, queries.row, queries.col, strict=True))
        assert len(set(centres)) == len(centres)
        assert all(0 <= image < len(queries.image_ids) for image in queries.image)
        attempt(found.check_pool, dict.fromkeys(("a/0", "a/1", "b/0"), (20, 30)))
