import base64
import io

import numpy as np
import pytest
from PIL import Image
from reported import IDS, NAMES, PALETTE, Page, evaluation, run

from cbda_jax.annotation import GroundTruthOracle, analyse
from cbda_jax.annotation.query_log import QueryLog
from cbda_jax.errors import InputError
from cbda_jax.reporting import MetricWriter, gallery
from cbda_jax.reporting.mistakes import LastEvaluation, Worst, write_last, write_worst
from cbda_jax.reporting.report import write_report


class Pool:
    """Labels of 32 x 64: roads above, cars below, and one image without a class."""

    ids = IDS

    def label(self, index):
        label = np.zeros((32, 64), np.uint8)
        label[7:] = 1
        return np.full_like(label, 255) if index == 2 else label


def analysis(workdir):
    oracle = GroundTruthOracle(Pool(), len(NAMES))
    answers = [oracle.ask(queries) for queries in QueryLog(workdir / "queries").rounds]
    return analyse(answers, NAMES, dict.fromkeys(IDS, (32, 64)), pool_pixels={"road": 9, "car": 1})


def report(workdir, **more):
    path = write_report(
        workdir,
        class_names=NAMES,
        palette=PALETTE,
        title="cbda on <city>",
        config_text="training.steps = 30\nname: '<x>'",
        radius=1,
        **more,
    )
    assert path == workdir / "report" / "index.html"
    return Page(path)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    workdir = run(tmp_path_factory.mktemp("full"))
    versions = {"jax": "0.10.2", "device": "8 x cpu"}
    return report(workdir, dataset_note="A small city.", budget=0.025, versions=versions), workdir


def test_page_needs_nothing_beside_it(full):
    page, _ = full
    assert "script" not in page.tags
    assert [link for link in page.links if not link.startswith(("data:image/", "#"))] == []


def test_headline_is_of_the_final_test_split(full):
    text = full[0].text
    assert "mIoU 65.0 % over 3 classes lowest class 32.5 % car" in text.replace("\u00a0", " ")
    assert "labelled 2.00 % 36 pixels, budget 2.50 %" in text.replace("\u00a0", " ")
    assert "3 training steps a second" in text
    assert "not finished" not in text


def test_rounds_and_their_sum_are_in_the_table(full):
    assert "1 10 3 2 1 2 18 1 1.00 1 800 1.25 0.2" in full[0].text
    assert "2 20 3 2 1 2 18 1 2.00 1 800 1.25 0.2" in full[0].text
    assert "all - 6 4 2 - 36 2 2.00 3 600 2.50 0.5" in full[0].text
    paid = "3 600 answers, 2.50 hours (900 of the answers measured, the others estimated at 2.5 s"
    assert paid in full[0].text.replace("\u00a0", " ")


def test_text_is_escaped(full):
    page, workdir = full
    assert "cbda on <city>" in page.text
    assert "name: '<x>'" in page.text
    assert "0.10.2" in page.text
    assert "A small city." in page.text
    assert "city" not in page.tags
    assert (workdir / "report" / "index.html").stat().st_size < 3_000_000


def test_pictures_and_charts_are_there(full):
    page, _ = full
    assert page.tags.count("svg") == 5
    links = [link for link in page.links if link.startswith("data:image/")]
    # Image, score, prediction and ground truth of the second round; the score of the first.
    assert len(links) == 5
    for link in links:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2]))))
        assert picture.shape[1] == 2 * picture.shape[0]
        assert picture.std() > 10
    assert "round 1 round 2" in page.text


def test_what_was_labelled_has_a_section(tmp_path):
    run(tmp_path)
    page = report(tmp_path, analysis=analysis(tmp_path))
    text = page.text.replace("\u00a0", " ")
    assert "What was labelled 36 pixels in 4 regions." in text
    assert "Never labelled: train." in text
    # Regions at rows 3 and 6 of the first image; all void ones in the last.
    assert "1 2 50.0 0.0 0.0 0.0 50.0 50.0 0.000 0.000 0 / 1 / 1 33.3" in text
    assert "2 2 50.0 0.0 50.0 0.0 50.0 50.0 0.579 0.410 0 / 1 / 1 33.3" in text
    assert "all 4 50.0 0.0 25.0 0.0 50.0 50.0 0.410 0.410 0 / 2 / 2 33.3" in text
    assert page.tags.count("svg") == 9
    assert [link for link in page.links if not link.startswith(("data:image/", "#"))] == []


def test_run_without_an_analysis_still_shows_its_classes(full):
    text = full[0].text
    assert "What was labelled Classes of the labelled pixels" in text
    assert "two classes" not in text


def test_report_of_a_run_that_asks_nothing(tmp_path):
    with MetricWriter(tmp_path, resume_step=-1) as writer:
        writer.write("evaluation", 30, **evaluation(0.5, 0.0, final=True))
    page = report(tmp_path)
    assert "mIoU 50.0" in page.text.replace("\u00a0", " ")
    assert "What was asked" not in page.text
    assert "Images of the target" not in page.text
    assert page.tags.count("svg") == 1


def test_report_of_an_empty_folder(tmp_path):
    page = report(tmp_path / "nothing")
    assert "Nothing has been evaluated yet." in page.text
    assert "svg" not in page.tags


def test_unfinished_run_says_so(tmp_path):
    page = report(run(tmp_path, final=False))
    assert "val at step 20, the run is not finished" in page.text.replace("\u00a0", " ")


def test_repeated_records_count_once(tmp_path):
    run(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    repeated = [line for line in lines if '"kind": "round"' in line][:1]
    (tmp_path / "metrics.jsonl").write_text("".join(lines + repeated))
    assert "36 pixels" in report(tmp_path).text.replace("\u00a0", " ")


def test_unknown_ground_truth_is_not_shown(tmp_path):
    run(tmp_path)
    for path in (tmp_path / "gallery").iterdir():
        with np.load(path) as arrays:
            kept = dict(arrays)
        kept["label"][:] = 255
        np.savez_compressed(path, **kept)
    assert "ground truth" not in report(tmp_path).text


def test_gallery_that_is_too_large_is_cut(tmp_path, monkeypatch):
    run(tmp_path)
    for number in (1, 2):
        source = tmp_path / "gallery" / f"round_{number:02d}_jena_a.npz"
        with np.load(source) as arrays:
            np.savez_compressed(
                source.with_name(source.name.replace("jena_a", "ulm_c")),
                **{**arrays, "image_id": "ulm/c"},
            )
    assert "ulm/c" in report(tmp_path).text
    monkeypatch.setattr(gallery, "_BYTES", 10)
    page = report(tmp_path)
    assert "ulm/c" not in page.text
    assert "in the folder gallery/: 1." in page.text


def test_broken_picture_is_named_and_the_old_report_stays(tmp_path):
    run(tmp_path)
    report(tmp_path)
    before = (tmp_path / "report" / "index.html").read_bytes()
    broken = tmp_path / "gallery" / "round_02_jena_a.npz"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(InputError, match=r"round_02_jena_a\.npz: not a picture of the gallery"):
        report(tmp_path)
    assert (tmp_path / "report" / "index.html").read_bytes() == before


def test_three_questions_are_answered_at_the_top(full):
    text = full[0].text.replace("\u00a0", " ")
    assert (
        "What did it ask? 4 picks in 2 rounds: 36 pixels, 2.00 % of the target (budget 2.50 %); "
        "3 600 answers, 2.50 hours"
    ) in text
    assert (
        "What did it learn? mIoU on val from 30.0 % (before round 1) to 70.0 %; most gained: "
        "road +40.0, car +20.0. Where is it still wrong? Lowest: car 32.5 %, road 65.0 %."
    ) in text


def test_every_class_by_round(full):
    text = full[0].text
    assert "before round 1 step 10 after round 1 step 20 after round 2 step 30" in text
    assert "car 15.0 30.0 +15.0 35.0 +5.0 +20.0 16" in text
    assert "train - - - 0" in text


def test_links_of_the_contents_lead_somewhere(full):
    page, workdir = full
    content = (workdir / "report" / "index.html").read_text()
    # Charts have links of their own, to their glyphs.
    places = [link[1:] for link in page.links if link[0] == "#" and link[1:].isalpha()]
    assert places == ["asked", "picks", "labelled", "learned", "config"]
    for place in places:
        assert f'id="{place}"' in content


def test_what_is_still_wrong_has_a_section(tmp_path):
    run(tmp_path)
    confusion = np.array([[60, 40, 0], [10, 20, 0], [0, 0, 0]])
    last = LastEvaluation(30, confusion, ["x"], np.array([130]), np.array([80]), [0])
    write_last(tmp_path, "test", last)
    label = np.zeros((8, 16), np.uint8)
    image = np.zeros((8, 16, 3), np.uint8)
    write_worst(tmp_path, "test", 0, Worst("hanover/z", image, label, label + 1))
    page = report(tmp_path)
    text = page.text.replace("\u00a0", " ")
    assert "Where it is still wrong Wrong pixels of an image, over 1 images: median 38.5 %" in text
    assert "car 23.08 28.6 66.7 33.3 road 33.3 road 66.7" in text
    assert "hanover/z 100.0 % of its pixels are wrong: road taken for car, 100.0 %." in text
    assert page.links.count("#wrong") == 1
    assert len([link for link in page.links if link.startswith("data:image/")]) == 9
