import io

import numpy as np
import pytest
from PIL import Image

from cbda_jax import annotation
from cbda_jax.annotation import GroundTruthOracle, Queries
from cbda_jax.reporting import label_plots, labelled, plots

NAMES = ("road", "car", "train")


class Pool:
    ids = ("a", "b", "c")

    def label(self, index):
        return np.array([[0, 0, 1, 255], [2, 2, 2, 2]], np.uint8)


SIZES = dict.fromkeys(Pool.ids, (2, 4))


def analyse(rounds, **more):
    oracle = GroundTruthOracle(Pool(), len(NAMES))
    return annotation.analyse([oracle.ask(asked) for asked in rounds], NAMES, SIZES, **more)


def queries(number, col, predicted):
    place = np.arange(len(col), dtype=np.int32)
    return Queries(
        round=number,
        step=number,
        image_ids=("a", "b", "c"),
        image=place * 0,
        row=place * 0 + (number - 1),
        col=np.array(col, np.int32),
        score=np.ones(len(col), np.float32),
        predicted=np.array(predicted, np.uint8),
        radius=0,
        about={},
    )


@pytest.fixture(scope="module")
def analysis():
    rounds = [queries(1, (0, 1, 2, 3), (0, 1, 1, 0)), queries(2, (0,), (0,))]
    return analyse(rounds, pool_pixels={"road": 90, "car": 2, "train": 8})


def texts(axes):
    return [text.get_text() for text in axes.texts]


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def test_every_chart_is_a_picture_in_the_page_s_ink(analysis):
    single = analyse([queries(1, (0,), (0,))])
    empty = analyse([queries(1, (), ())])
    for found in (analysis, single, empty):
        for caption, figure in labelled.figures(found):
            drawn = np.asarray(Image.open(io.BytesIO(plots.png(figure, dpi=50))).convert("RGB"))
            assert 0.005 < (drawn != 255).any(axis=2).mean() < 0.9, caption
            text = plots.svg(figure, caption)
            assert "currentColor" in text
            assert plots.INK not in text


def test_shares_of_rounds_stand_beside_the_pool(analysis):
    axes = label_plots.class_shares(analysis).axes[0]
    assert labels(axes.get_yticklabels()) == ["road", "train", "car", "void"]
    assert labels(axes.get_xticklabels()) == ["1", "2", "all", "whole\npool"]
    assert np.reshape(texts(axes), (4, 4)).tolist() == [
        ["50.0", "0", "40.0", "90.0"],
        ["0", "100.0", "20.0", "8.0"],
        ["25.0", "0", "20.0", "2.0"],
        ["25.0", "0", "20.0", ""],
    ]


def test_reliability_says_of_how_many_picks(analysis):
    axes = label_plots.reliability(analysis["total"]).axes[0]
    assert labels(axes.get_yticklabels()) == ["train", "road", "car"]
    # Three picks were predicted as road: a road, a train and a void one, which is left out.
    assert texts(axes) == [
        *("none", "50 % of 2", "50 % of 2"),
        *("0 % of 1", "50 % of 2", "100 % of 1"),
    ]


def test_rows_of_the_confusion_are_what_was_predicted(analysis):
    axes = label_plots.confusion(analysis["total"]).axes[0]
    assert labels(axes.get_yticklabels()) == ["road", "car", "train"]
    assert labels(axes.get_xticklabels()) == ["road", "car", "train", "void"]
    assert np.reshape(texts(axes), (3, 4)).tolist() == [
        ["33", "", "33", "33"],
        ["50", "50", "", ""],
        ["", "", "", ""],
    ]


def test_images_without_a_pick_have_a_bar(analysis):
    axes = label_plots.picks_per_image(analysis["total"]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [2, 0, 0, 0, 0, 1]


def test_the_note_says_what_was_not_answered(analysis):
    assert "Without an answer" not in labelled.note(analysis)
    asked = queries(1, (0, 1, 2), (0, 0, 0))
    patches = np.array([[[0]], [[1]], [[254]]], np.uint8)
    answers = annotation.Answers(asked, patches)
    note = labelled.note(annotation.analyse([answers], NAMES, SIZES))
    assert note.startswith(
        "2 pixels in 2 regions. Without an answer, and not counted: 1 pixels, 1 regions as a whole."
    )
