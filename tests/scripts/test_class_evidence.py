"""How often a class is known: of a small run, against what its network and labels say."""

import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import waiting
from flax import nnx

import cbda_jax
from cbda_jax.errors import InputError
from cbda_jax.resize import bilinear
from cbda_jax.run import assembly, experiment


@pytest.fixture
def class_evidence(monkeypatch):
    # It imports the module beside it.
    monkeypatch.syspath_prepend(waiting.ROOT / "scripts")
    return importlib.import_module("class_evidence")


def test_features_are_what_the_classifier_reads(class_evidence):
    model = tiny.Tiny(rngs=nnx.Rngs(0))
    images = jax.random.normal(jax.random.key(0), (2, 8, 12, 3))
    features = class_evidence.without_classifier(model)(images)
    np.testing.assert_array_equal(model.head(features), model(images))
    with pytest.raises(InputError, match="Linear found, expected one with a linear classifier"):
        class_evidence.without_classifier(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))


def test_neighbours_are_those_of_the_largest_products(class_evidence):
    rng = np.random.default_rng(0)
    known, some = (rng.normal(size=(n, 4)).astype(np.float32) for n in (40, 7))
    answer = rng.integers(0, 3, 40)
    found = class_evidence.neighbours(some, class_evidence.Answered(answer, known, known, known))
    for feature, got in zip(some, found, strict=True):
        nearest = np.argsort(-(known @ feature))[: class_evidence.NEIGHBOURS]
        assert got == np.bincount(answer[nearest]).argmax()


def test_shares_that_are_right(class_evidence):
    counts = np.array([[6, 2, 0], [1, 1, 0], [0, 0, 0]])
    assert class_evidence.right(counts) == pytest.approx((0.7, (0.75 + 0.5) / 2))
    assert np.isnan(class_evidence.right(np.zeros((3, 3), int))).all()
    nothing = np.zeros((3, 3), int)
    *_, line = class_evidence.table({"argmax": np.stack([counts, nothing, counts])})
    assert line == "| argmax | 70.0 | 62.5 |  |  | 70.0 | 62.5 |"


def test_a_temperature_is_that_of_the_likeliest_answers(class_evidence):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)) * 3
    softmax = np.asarray(jax.nn.softmax(logits.astype(np.float32)))
    told = np.asarray(jax.nn.softmax(logits / 2.5)).cumsum(axis=1)
    answer = (rng.random((4000, 1)) > told).sum(axis=1).clip(0, 4)
    found = class_evidence.temperature(softmax, answer)
    assert found == pytest.approx(2.5, rel=0.1)  # by which they were drawn

    def likelihood(at):
        return np.log(class_evidence.sharpened(np.log(softmax), at)[np.arange(4000), answer]).mean()

    assert likelihood(found) > max(likelihood(found * 1.01), likelihood(found / 1.01))
    assert class_evidence.temperature(softmax[:0], answer[:0]) == 1


@pytest.mark.slow
def test_a_run_is_looked_at(tmp_path, monkeypatch, capsys, class_evidence):
    tiny.use(monkeypatch)
    config = tiny.scenes("method=ripu,steps=4,budget=0.2", tmp_path / "data", native=2)
    config.acquisition.rounds = (1, 2)
    experiment.run(config, tmp_path / "run")
    study = class_evidence.Study(tmp_path / "run", images=2, share=0.02)
    run = cbda_jax.open_run(tmp_path / "run")
    answers = [a.patches[:, 1, 1] for a in run.answers()]
    assert study.answers == sum((centre < 19).sum() for centre in answers)
    counts = study.counts()
    assert counts.keys() == set(class_evidence.WAYS)
    # All ways are asked about the same pixels.
    parts = {way: counts[way] for way in ("softmax", "softmax, temperature")}
    truths = {tuple(own.sum(axis=2).ravel()) for way, own in counts.items() if way not in parts}
    assert len(truths) == 1
    for own in parts.values():
        np.testing.assert_allclose(own.sum(axis=2).ravel(), *truths)
    # The random pixels, drawn again in the same order.
    rng, picks = np.random.default_rng(0), math.ceil(0.02 * 64 * 128 / 9)
    rng.permutation(study.answers)
    expected = np.zeros((19, 19), np.int64)
    pool = assembly.open_records(config, "target")
    for index in range(2):
        row, col = rng.integers(0, [[64], [128]], (2, picks))
        truth = pool.label(index)[row, col]
        logits = run.network(cbda_jax.models.normalize(jnp.asarray(pool.image(index)[None])))
        prediction = np.asarray(_enlarged(logits))[0].argmax(-1)[row, col]
        np.add.at(expected, (truth[truth < 19], prediction[truth < 19]), 1)
    random = counts["argmax"][class_evidence.PLACES.index("random")]
    assert np.abs(random - expected).sum() <= 2  # a tie may go either way
    class_evidence.main([str(tmp_path / "run"), "--images", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| ")][2:] == [
        *class_evidence.WAYS
    ]
    with pytest.raises(SystemExit):
        class_evidence.main([str(tmp_path / "nothing")])
    assert "no run found" in capsys.readouterr().err


def _enlarged(logits):
    return bilinear(bilinear(logits, (32, 64)), (64, 128))
