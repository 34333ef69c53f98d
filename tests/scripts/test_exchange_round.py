import contextlib
import io
import json
import runpy
import zipfile

import numpy as np
import own_data
import pytest
import waiting
from PIL import Image

from cbda_jax.annotation import AnswerLog, Queries, QueryLog
from cbda_jax.annotation.people import Asked, Ledger, ledger_path, read_round, write_asked
from cbda_jax.config import flat
from cbda_jax.run.workdir import write_json

CLASSES = ("path", "grass", "shed")  # not in the order of the alphabet
IDS = ("day_0/0", "day_0/2", "day_1/1")
SIZES = dict.fromkeys(IDS, (own_data.HEIGHT, own_data.WIDTH))


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(waiting.ROOT / "scripts" / "exchange_round.py"))


@pytest.fixture
def run(script, capsys):
    """`run(*arguments)`: (what it printed, what went wrong)."""

    def call(*arguments):
        with contextlib.suppress(SystemExit):
            script["main"]([*map(str, arguments)])
        return capsys.readouterr()

    return call


@pytest.fixture
def asks(tmp_path):
    """A workdir in which people are asked about a round of 40 squares, those of two images."""
    config = own_data.config_of(tmp_path)
    workdir = tmp_path / "run"
    write_json(workdir / "config.json", {**json.loads(json.dumps(flat(config))), "contents": {}})
    rng = np.random.default_rng(0)
    places = rng.permutation(2 * 10 * 16)[:40]
    queries = Queries(
        round=1,
        step=2,
        image_ids=IDS,
        image=(2 * (places // 160)).astype(np.int32),
        row=(3 * (places % 160 // 16)).astype(np.int32),
        col=(3 * (places % 16)).astype(np.int32),
        score=np.linspace(2, 1, 40, dtype=np.float32),
        predicted=rng.integers(0, 3, 40, np.uint8),
        radius=1,
        about={},
    )
    QueryLog(workdir / "queries").append(queries)
    asked = Asked(1, queries.checksum, CLASSES, SIZES, redundancy=0.0, hidden=0.25, seed=3)
    write_asked(workdir / "answers", asked)
    return workdir


def export(run, workdir, kind, out, *more):
    images = () if more else ("--images=none",)
    said = run(
        "export", f"--workdir={workdir}", "--round=1", f"--format={kind}", f"--out={out}",
        *images, *more,
    )  # fmt: skip
    assert said.err == ""
    # Opening a data set may say that it is prepared.
    assert said.out.endswith(f"40 queries of round 1 in 2 images: {out}\n")


def take(run, workdir, kind, file, *more):
    return run("import", f"--workdir={workdir}", "--round=1", f"--format={kind}", file, *more)


def answer(kind, out, places):
    """Has people answer some queries with "shed" in a tool; the file that it exports."""
    ids = [f"r01-q{place:06d}" for place in places]
    if kind == "label_studio":
        tasks = json.loads((out / "tasks.json").read_text())
        for task in tasks:
            regions = [one for one in task["predictions"][0]["result"] if one["id"] in ids]
            for region in regions:
                region["value"]["keypointlabels"] = ["shed"]
            task["annotations"] = [{"completed_by": 1, "result": regions}]
        path = out / "project.json"
        path.write_text(json.dumps(tasks))
    elif kind == "cvat":
        path, text = out / "annotations.xml", ""
        for part in (path.read_text()).split("</points>"):
            mine = any(one in part for one in ids)
            text += (part.replace('"unanswered"', '"shed"') if mine else part) + "</points>"
        path.write_text(text.removesuffix("</points>"))
    else:
        path = out / "masks"
        workdir = out.parent / "run"
        queries = QueryLog(workdir / "queries").rounds[0]
        for image_id, own in queries.places.items():
            mask = np.asarray(Image.open(path / f"{image_id}.png")).copy()
            for place in own:
                if place in places:
                    row, col = queries.row[place], queries.col[place]
                    mask[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2] = 2
            Image.fromarray(mask).save(path / f"{image_id}.png")
    return path


def progress(workdir):
    (queries,) = QueryLog(workdir / "queries").rounds
    with read_round(ledger_path(workdir), queries, sizes=SIZES) as found:
        return None if found is None else (found.progress(), found.answers())


@pytest.mark.parametrize("kind", ["label_studio", "cvat", "masks"])
def test_a_round_out_and_back(run, asks, tmp_path, kind):
    export(run, asks, kind, tmp_path / "out")
    file = answer(kind, tmp_path / "out", range(7))
    said = take(run, asks, kind, file)
    assert said.err == ""
    assert said.out == (
        f"{file}: answers to 7 of 40 queries of round 1 by {kind}, 0 of them known; 33 wait for "
        "an answer\n"
    )
    state, events = progress(asks)
    assert state.answered == 7
    assert {event.person for event in events} == {kind}
    assert [event.query for event in events] == [*range(7)]
    assert {*b"".join(event.patch for event in events)} <= {2, 254}
    # The same file once more, as often as one likes.
    assert "7 of them known" in take(run, asks, kind, file).out
    assert len(progress(asks)[1]) == 7
    # Of another person it is another one's answer.
    assert "by ann, 0 of them known" in take(run, asks, kind, file, "--person=ann").out


@pytest.mark.parametrize("kind", ["label_studio", "cvat", "masks"])
def test_what_was_not_touched_answers_nothing(run, asks, tmp_path, kind):
    export(run, asks, kind, tmp_path / "out")
    name = {"label_studio": "tasks.json", "cvat": "annotations.xml", "masks": "masks"}[kind]
    said = take(run, asks, kind, tmp_path / "out" / name)
    assert "answers to 0 of 40 queries" in said.out
    assert progress(asks)[1] == []


def test_a_round_that_is_answered_is_closed(run, asks, tmp_path):
    export(run, asks, "cvat", tmp_path / "out")
    file = answer("cvat", tmp_path / "out", range(40))
    said = take(run, asks, "cvat", file)
    frozen = asks / "answers" / "round_01.npz"
    assert said.out.endswith(
        f"0 wait for an answer; the round is closed, its answers are {frozen}: start the run "
        "again\n"
    )
    log = AnswerLog(asks / "answers", QueryLog(asks / "queries"), classes=CLASSES, sizes=SIZES)
    (answers,) = log.rounds
    assert answers.answered.all()
    assert {*np.unique(answers.patches)} <= {2, 254}
    again = take(run, asks, "cvat", file)
    assert again.err.startswith(f"error: {asks}: round 1 is closed, expected one that people may")


def test_a_round_that_is_closed_early(run, asks, tmp_path):
    export(run, asks, "masks", tmp_path / "out")
    file = answer("masks", tmp_path / "out", [4])
    assert (
        "39 wait for an answer; the round is closed"
        in take(run, asks, "masks", file, "--close").out
    )
    assert (asks / "answers" / "round_01.npz").exists()


def test_guesses_that_nobody_is_to_see(run, asks, tmp_path, script):
    sheet = script["open_sheet"](asks, 1)
    assert sheet.hidden.sum() == 10
    assert sheet.colours["path"] == own_data.CLASSES["path"]
    export(run, asks, "label_studio", tmp_path / "ls")
    export(run, asks, "cvat", tmp_path / "cvat")
    export(run, asks, "masks", tmp_path / "masks")
    tasks = json.loads((tmp_path / "ls" / "tasks.json").read_text())
    for task in tasks:
        for region in task["predictions"][0]["result"]:
            hidden = sheet.hidden[sheet.place(region["id"])]
            assert (region["value"]["keypointlabels"] == ["unanswered"]) == hidden
    text = (tmp_path / "cvat" / "annotations.xml").read_text()
    assert text.count('<attribute name="guess" />') == 10
    for place in range(40):
        image_id, row, col = sheet.centre(place)
        drawn = np.asarray(Image.open(tmp_path / "masks" / "guesses" / f"{image_id}.png"))
        expected = 255 if sheet.hidden[place] else sheet.queries.predicted[place]
        assert drawn[row, col] == expected
    file = answer("cvat", tmp_path / "cvat", range(40))
    take(run, asks, "cvat", file)
    shown = [event.guess_shown for event in progress(asks)[1]]
    assert shown == (~sheet.hidden).tolist()


def test_images_are_those_of_the_files(run, asks, tmp_path):
    own_data.write(tmp_path / "files" / "yard", splits=["train"])
    out = tmp_path / "out"
    export(run, asks, "label_studio", out, "--images=copy")
    assert sorted(path.name for path in out.iterdir()) == ["config.xml", "images", "tasks.json"]
    for image_id in ("day_0/0", "day_1/1"):
        with Image.open(tmp_path / "files" / "yard" / "train" / f"{image_id}.JPG") as photograph:
            np.testing.assert_array_equal(
                np.asarray(Image.open(out / "images" / f"{image_id}.png")), np.asarray(photograph)
            )
    assert not (out / "images" / "day_0" / "2.png").exists()
    tasks = json.loads((out / "tasks.json").read_text())
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=out/images/day_0/0.png"


def test_all_that_is_wrong_is_listed_and_nothing_is_taken(run, asks, tmp_path):
    export(run, asks, "cvat", tmp_path / "out")
    file = answer("cvat", tmp_path / "out", range(40))
    file.write_text(file.read_text().replace("r01-q0000", "r01-q9000").replace(">road<", ">x<"))
    said = take(run, asks, "cvat", file)
    assert said.err.startswith(f"error: {file}: 40 problems found, unknown ids (40): 'r01-q9000")
    listing = tmp_path / "out" / "annotations.xml.problems.txt"
    assert said.err.endswith(f"nothing of it was taken; all of them are in {listing}\n")
    assert len(listing.read_text().splitlines()) == 40
    assert not ledger_path(asks).exists()


def test_a_zip_file_of_cvat(run, asks, tmp_path):
    export(run, asks, "cvat", tmp_path / "out")
    content = answer("cvat", tmp_path / "out", range(3)).read_bytes()
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/day_0/0.png", b"")
        archive.writestr("annotations.xml", content)
    assert "answers to 3 of 40" in take(run, asks, "cvat", path).out
    # Zipped or not, it is the same file.
    assert "3 of them known" in take(run, asks, "cvat", tmp_path / "out/annotations.xml").out
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("other.xml", content)
    path.write_bytes(stream.getvalue())
    said = take(run, asks, "cvat", path)
    assert "expected a zip file with annotations.xml" in said.err


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"round": "--round=2"}, "error: --round: 2 found, expected 1 to 1, as "),
        ({"round": "--round=0"}, "error: --round: 0 found, expected 1 to 1, as "),
        ({"file": "nowhere.xml"}, "nowhere.xml: cannot be read (No such file or directory)"),
        ({"format": "--format=masks"}, "nowhere: nothing found, expected the folder of painted"),
        ({"workdir": "--workdir=nowhere"}, "nowhere: no run found (no config.json)"),
    ],
)
def test_what_is_not_there(run, asks, change, text):
    given = {"workdir": f"--workdir={asks}", "round": "--round=1", "format": "--format=cvat"}
    given |= {"file": "nowhere", **change}
    assert text in run("import", *given.values()).err


def test_masks_that_cannot_be_read(run, asks, tmp_path):
    folder = tmp_path / "painted"
    folder.mkdir()
    assert "painted: no mask found, expected ID.png" in take(run, asks, "masks", folder).err
    (folder / "day_0").mkdir()
    Image.new("RGB", (48, 32), (1, 2, 3)).save(folder / "day_0" / "0.png")
    (folder / "day_0" / "2.png").write_bytes(b"GIF89a")
    said = take(run, asks, "masks", folder)
    assert f"error: {folder}: 2 problems found, files that cannot be read (2): " in said.err


def test_a_round_that_people_are_not_asked_about(run, asks):
    (asks / "answers" / "people_01.json").unlink()
    said = take(run, asks, "cvat", "x.xml")
    assert "round 1 asked of others found, expected one that people are asked about" in said.err


def test_nothing_is_taken_while_the_server_runs(run, asks, tmp_path):
    export(run, asks, "cvat", tmp_path / "out")
    file = answer("cvat", tmp_path / "out", range(3))
    with Ledger(ledger_path(asks)):
        said = take(run, asks, "cvat", file)
    assert "in use by process" in said.err
    assert "answers to 3 of 40" in take(run, asks, "cvat", file).out


def test_folders_with_files_are_left_alone(run, asks, tmp_path):
    (tmp_path / "x").touch()
    said = run(
        "export", f"--workdir={asks}", "--round=1", "--format=cvat", f"--out={tmp_path}",
        "--images=none",
    )  # fmt: skip
    assert said.err.startswith(f"error: {tmp_path}: files found, expected a new or an empty folder")
