import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbda_jax.annotation import AnswerLog, GroundTruthOracle, Queries, QueryLog, known_label

FUZZ = settings.get_profile("fuzz")
CLASSES, SHAPE = ("road", "car", "train"), (20, 30)


class Labels:
    ids = ("a/0", "a/1")

    def label(self, index):
        return np.random.default_rng(index).integers(0, 4, SHAPE).astype(np.uint8)


SIZES = dict.fromkeys(Labels.ids, SHAPE)


@functools.cache
def asked(folder):
    return QueryLog(folder / "queries")


def read(folder):
    log = asked(folder)
    (answers,) = AnswerLog(folder / "answers", log, classes=CLASSES, sizes=SIZES).rounds
    return answers.patches.tobytes(), answers.patches.shape, answers.about


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Queries of one round, and the answers to them."""
    folder = tmp_path_factory.mktemp("run")
    row, col = (np.mgrid[0:20:3, 0:30:3].reshape(2, -1)).astype(np.int32)
    queries = Queries(
        round=1,
        step=10,
        image_ids=Labels.ids,
        image=np.arange(len(row), dtype=np.int32) % 2,
        row=row,
        col=col,
        score=np.ones(len(row), np.float32),
        predicted=np.zeros(len(row), np.uint8),
        radius=1,
        about={},
    )
    log = QueryLog(folder / "queries")
    found = AnswerLog(folder / "answers", log, classes=CLASSES, sizes=SIZES)
    found.make_folder()
    log.append(queries)
    found.write(GroundTruthOracle(Labels(), 3).ask(queries))
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    return (folder / "answers" / "round_01.npz").read_bytes()


@FUZZ
@given(data=st.data())
def test_damage_is_noticed(folder, whole, attempt, mutate, data):
    path = folder / "answers" / "round_01.npz"
    path.write_bytes(whole)
    expected = read(folder)
    spoilt = mutate(data.draw, whole)
    path.write_bytes(spoilt)
    assert attempt(read, folder) in (None, expected)
    assert path.read_bytes() == spoilt


def test_every_flipped_byte_is_noticed(folder, whole, attempt):
    path = folder / "answers" / "round_01.npz"
    path.write_bytes(whole)
    expected = read(folder)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        assert attempt(read, folder) in (None, expected)


ARRAYS = st.sampled_from(
    [
        np.zeros((0, 3, 3), np.uint8),
        np.zeros((70, 3, 3), np.uint8),
        np.full((70, 3, 3), 200, np.uint8),
        np.zeros((70, 3, 3), np.int32),
        np.zeros((70, 9), np.uint8),
        np.zeros((70, 5, 5), np.uint8),
        np.array(3, np.uint8),
        np.array("[1]"),
        np.array('{"version": 1}'),
    ]
)


@FUZZ
@given(data=st.data())
def test_forged_files_with_right_checksums(folder, whole, attempt, forge, data):
    (folder / "answers" / "round_01.npz").write_bytes(forge(data.draw, whole, ARRAYS))
    if attempt(read, folder) is not None:
        found = AnswerLog(folder / "answers", asked(folder), classes=CLASSES, sizes=SIZES)
        for image_id in Labels.ids:
            label = known_label(found.rounds, image_id, SHAPE)
            assert set(np.unique(label)) <= {0, 1, 2, 255}
