"""Files that tools give back, spoilt: refused in one line, or imported as they were answered."""

import io
import json
import runpy
import zipfile

import numpy as np
import pytest
import waiting
from hypothesis import given, settings
from hypothesis import strategies as st

from cbda_jax.annotation import Queries
from cbda_jax.annotation.exchange import Sheet, cvat, label_studio, masks
from cbda_jax.data import images
from cbda_jax.label_space import LabelSpace

FUZZ = settings.get_profile("fuzz")
# So far from each other that no few faults make one of another.
CLASSES = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc")
SIZES = {"k/0": (8, 9), "m": (7, 12)}


@pytest.fixture(scope="module")
def sheet():
    image = np.repeat(np.arange(2, dtype=np.int32), 3)
    return Sheet(
        Queries(
            round=1,
            step=10,
            image_ids=tuple(SIZES),
            image=image,
            row=np.array([0, 3, 6] * 2, np.int32),
            col=np.array([0, 4, 8, 11, 5, 1], np.int32),
            score=np.ones(6, np.float32),
            predicted=np.array([0, 1, 2] * 2, np.uint8),
            radius=1,
            about={},
        ),
        LabelSpace("far", CLASSES, np.zeros((3, 3), np.uint8)),
        SIZES,
    )


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(waiting.ROOT / "scripts" / "exchange_round.py"))


@pytest.fixture(scope="module")
def label_studio_file(sheet):
    tasks = json.loads(label_studio.files(sheet, "")["tasks.json"])
    for task in tasks:
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
        task["predictions"] = []
    return json.dumps(tasks).encode()


@pytest.fixture(scope="module")
def cvat_file(sheet):
    content = cvat.annotations(sheet)
    for place in range(6):
        head, _, tail = content.rpartition(sheet.query_id(place).encode())
        before, _, after = head.rpartition(b'"unanswered"')
        content = b"".join(
            (
                before,
                f'"{sheet.guess(place)}"'.encode(),
                after,
                sheet.query_id(place).encode(),
                tail,
            )
        )
    return content


@pytest.fixture(scope="module")
def guesses(sheet):
    return np.stack(
        [sheet.square(place, int(sheet.queries.predicted[place])) for place in range(6)]
    )


def checked(sheet, guesses, found):
    """What was taken is what was answered; some answers may be missing."""
    if found is not None:
        # A damaged name of a field hides what stands in it, which is no answer then.
        np.testing.assert_array_equal(found.patches[found.answered], guesses[found.answered])
        assert (found.patches[~found.answered] == 254).all()


def whole(read, content, sheet):
    found = read(content, sheet, "the file")
    found.check("the file")
    return found


@pytest.mark.parametrize("kind", ["label_studio", "cvat"])
def test_whole_files_read(kind, sheet, guesses, request):
    read = {"label_studio": label_studio.read, "cvat": cvat.read}[kind]
    found = whole(read, request.getfixturevalue(f"{kind}_file"), sheet)
    np.testing.assert_array_equal(found.patches, guesses)


@FUZZ
@given(data=st.data())
def test_damaged_exports_of_label_studio(sheet, guesses, label_studio_file, attempt, mutate, data):
    spoilt = mutate(data.draw, label_studio_file)
    checked(sheet, guesses, attempt(whole, label_studio.read, spoilt, sheet))


@FUZZ
@given(data=st.data())
def test_damaged_exports_of_cvat(sheet, guesses, cvat_file, attempt, mutate, data):
    checked(sheet, guesses, attempt(whole, cvat.read, mutate(data.draw, cvat_file), sheet))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(("r01-q000001", "k/0", *CLASSES, "\ud800", "keypointlabels"))
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def _holders(value):
    """All objects and lists of a JSON value that hold something."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


@FUZZ
@given(data=st.data())
def test_other_values_in_exports_of_label_studio(sheet, guesses, label_studio_file, attempt, data):
    tasks = json.loads(label_studio_file)
    for _ in range(data.draw(st.integers(1, 3))):
        holder = data.draw(st.sampled_from([*_holders(tasks)] or [tasks]))
        keys = [*holder] if isinstance(holder, dict) else [*range(len(holder))]
        if keys:
            holder[data.draw(st.sampled_from(keys))] = data.draw(VALUES)
    found = attempt(whole, label_studio.read, json.dumps(tasks).encode(), sheet)
    if found is not None:
        # Another class is another answer.
        for patch in found.patches[found.answered]:
            assert {*np.unique(patch)} <= {0, 1, 2, 254, 255}
            assert len({*np.unique(patch)} - {254}) == 1


@FUZZ
@given(data=st.data())
def test_damaged_zip_files_of_cvat(
    sheet, guesses, cvat_file, script, attempt, mutate, tmp_path_factory, data
):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", cvat_file)
    path = tmp_path_factory.getbasetemp() / "task.zip"
    path.write_bytes(mutate(data.draw, stream.getvalue()))

    def read():
        found, _ = script["read"](sheet, "cvat", path)
        found.check("the file")
        return found

    found = attempt(read)
    if found is not None:
        np.testing.assert_array_equal(found.patches, guesses)


@FUZZ
@given(data=st.data())
def test_damaged_masks(sheet, guesses, script, attempt, mutate, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "masks"
    content = {image_id: images.encode(drawn["guesses"]) for image_id, drawn in masks.draw(sheet)}
    content["m"] = mutate(data.draw, content["m"])
    for name, mask in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(mask)

    def read():
        found, _ = script["read"](sheet, "masks", folder)
        found.check("the masks")
        return found

    found = attempt(read)
    if found is not None:
        np.testing.assert_array_equal(found.patches, guesses)


@FUZZ
@given(content=st.binary(max_size=60))
def test_any_bytes(sheet, attempt, content):
    for read in (label_studio.read, cvat.read):
        found = attempt(whole, read, content, sheet)
        assert found is None or not found.answered.any()
