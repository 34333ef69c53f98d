import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax import evaluation


def test_confusion_counts_label_against_prediction():
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 2, 255], size=(2, 9, 7)).astype(np.uint8)
    prediction = rng.integers(0, 3, size=(2, 9, 7), dtype=np.uint8)
    expected = np.zeros((3, 3), np.int64)
    for a, b in zip(label.ravel(), prediction.ravel(), strict=True):
        if a != 255:
            expected[a, b] += 1
    found = evaluation.confusion_matrix(jnp.asarray(prediction), jnp.asarray(label), 3)
    np.testing.assert_array_equal(found, expected)


def test_figures_of_a_small_confusion():
    # Class 2 occurs nowhere; class 1 is missed altogether; class 3 is predicted and never there.
    confusion = np.array([[6, 0, 0, 2], [4, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    found = evaluation.scores(confusion)
    np.testing.assert_allclose(found.iou, [0.5, 0, np.nan, 0])
    assert found.miou == pytest.approx(0.5 / 3)
    assert found.min_iou == 0
    assert found.pixel_accuracy == pytest.approx(0.5)
    assert found.subset([0, 2]) == pytest.approx(0.5)


def test_worst_five_of_six():
    iou = np.array([0.6, 0.1, 0.5, np.nan, 0.2, 0.4, 0.3])
    found = evaluation.SegmentationScores(iou, 0.0)
    assert found.worst5_iou == pytest.approx(0.3)
    assert found.min_iou == pytest.approx(0.1)


def test_equal_to_the_official_evaluation():
    """cityscapesscripts' own formula on random confusion counts of all its label ids."""
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    labels = pytest.importorskip("cityscapesscripts.helpers.labels")
    rng = np.random.default_rng(0)
    ids = [label.id for label in labels.labels if label.id >= 0]
    counts = np.zeros((max(ids) + 1, max(ids) + 1), np.int64)
    counts[np.ix_(ids, ids)] = rng.integers(0, 1000, size=(len(ids), len(ids)))
    # What is ignored is never predicted.
    evaluated = [label for label in labels.labels if label.id >= 0 and not label.ignoreInEval]
    ignored = [label.id for label in labels.labels if label.id >= 0 and label.ignoreInEval]
    counts[:, ignored] = 0
    official.args.evalLabels = ids
    expected = [
        official.getIouScoreForLabel(label.id, counts, official.args) for label in evaluated
    ]
    order = [label.id for label in sorted(evaluated, key=lambda label: label.trainId)]
    by_id = dict(zip([label.id for label in evaluated], expected, strict=True))
    found = evaluation.scores(counts[np.ix_(order, order)])
    np.testing.assert_allclose(found.iou, [by_id[i] for i in order], rtol=0, atol=1e-9)
