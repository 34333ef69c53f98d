"""Where a pixel's class comes from, and how windows of one class are ranked."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from cbda_jax.acquisition import BANDS, RoundBalance, Scoring, budget
from cbda_jax.acquisition.scoring import impurity
from cbda_jax.acquisition.scoring import maps as scores
from cbda_jax.resize import bilinear

score_maps = jax.jit(scores.score_maps, static_argnames=("scoring", "size", "via"))

WEIGHT = np.array([0.5, 1.0, 3.0, 0.1, 2.0], np.float32)
WEIGHTED = RoundBalance(jnp.asarray(WEIGHT))
EXPECTED = Scoring(class_evidence="expected")
SIZES = [
    {},
    {"size": (33, 40)},
    {"size": (33, 40), "via": (20, 21)},
]


def made(height=9, width=11, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(height, width, classes), scale=2), jnp.float32)


def halves(classes=5):
    """Sure of class 1 on the left and of class 3 on the right, more or less so."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(12, 16, classes), scale=0.1)
    logits[:, :8, 1] += 5
    logits[:, 8:, 3] += 5
    return jnp.asarray(logits, jnp.float32)


@pytest.mark.parametrize("sizes", SIZES)
def test_expected_weight_is_the_mean_under_the_softmax(sizes):
    logits = made()
    full = logits
    if sizes:
        full = bilinear(bilinear(logits, sizes.get("via", sizes["size"])), sizes["size"])
    powers = np.exp(np.asarray(full, np.float64))
    expected = powers @ WEIGHT / powers.sum(-1)
    plain = score_maps(logits, Scoring(), **sizes)
    maps = score_maps(logits, EXPECTED, balance=WEIGHTED, **sizes)
    np.testing.assert_allclose(maps.score, plain.score * expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(maps.prediction, plain.prediction)
    equal = score_maps(logits, EXPECTED, balance=RoundBalance(jnp.ones(5)), **sizes)
    np.testing.assert_array_equal(equal.score, plain.score)


def test_expected_weight_over_a_mesh():
    batch = jnp.stack([made(seed=i) for i in range(8)])

    def score(logits, weight):
        balance = RoundBalance(weight)
        return scores.score_maps(logits, EXPECTED, size=(20, 21), balance=balance).score

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.shard_map(
        jax.vmap(score, in_axes=(0, None)),
        mesh=mesh,
        in_specs=(P("data"), P()),
        out_specs=P("data"),
    )
    alone = np.stack([score(logits, jnp.asarray(WEIGHT)) for logits in batch])
    np.testing.assert_allclose(jax.jit(spread)(batch, WEIGHT), alone, rtol=0, atol=1e-6)


def test_true_weight_and_void():
    logits = made()
    true = np.random.default_rng(3).integers(0, 5, (9, 11)).astype(np.uint8)
    true[2:4] = 255
    plain = score_maps(logits, Scoring())
    scoring = Scoring(class_evidence="true")
    maps = score_maps(logits, scoring, balance=WEIGHTED, true_class=jnp.asarray(true))
    counted = np.where(true == 255, plain.prediction, true)
    np.testing.assert_allclose(maps.score, np.asarray(plain.score) * WEIGHT[counted], rtol=1e-6)


@pytest.mark.parametrize("score", ["ripu", "impurity"])
def test_impurity_floor(score):
    logits = halves()
    plain = score_maps(logits, Scoring())
    maps = score_maps(logits, Scoring(score=score, impurity_floor=0.01))
    expected = np.maximum(plain.impurity, 0) + np.float32(0.01)
    if score == "ripu":
        expected = expected * np.asarray(plain.uncertainty)
    np.testing.assert_allclose(maps.score, expected, rtol=1e-5)
    assert (np.asarray(maps.score) > 0).all()


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_windows_of_one_class(radius):
    prediction = np.random.default_rng(0).integers(0, 255, (17, 23)).astype(np.uint8)
    prediction[:, :14] = 0
    prediction[9:, 8:] = 254
    found = impurity.one_class(jnp.asarray(prediction), radius=radius)
    for i, j in np.ndindex(*prediction.shape):
        rows, columns = (slice(max(k - radius, 0), k + radius + 1) for k in (i, j))
        assert found[i, j] == (len(np.unique(prediction[rows, columns])) == 1)


@pytest.mark.parametrize("score", ["ripu", "impurity"])
def test_ties_rank_below_the_others_at_random(score):
    logits = halves()
    plain = score_maps(logits, Scoring(score=score))
    tied = Scoring(score=score, ties="random")
    pure = np.asarray(impurity.one_class(plain.prediction, radius=1))
    assert 0 < pure.sum() < pure.size
    one, again, other = (
        np.asarray(score_maps(logits, tied, key=jax.random.key(seed)).score) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one[~pure], np.asarray(plain.score)[~pure])
    assert one[~pure].min() >= 0 > one[pure].max()
    assert one.min() > -1
    assert len(np.unique(one[pure])) == pure.sum()
    assert (one[pure] != other[pure]).all()


def test_class_balanced_ties_are_drawn_by_weight():
    """Order of u^(1/w): the first of all ties is of a class with its share of the weight."""
    logits = halves()
    prediction = np.asarray(score_maps(logits, Scoring()).prediction)
    pure = np.asarray(impurity.one_class(jnp.asarray(prediction), radius=1))
    weight = jnp.asarray([1.0, 1.0, 1.0, 4.0, 1.0])
    balanced_ties, balance = Scoring(ties="class_balanced"), RoundBalance(tie_weights=weight)

    def draw(key):
        return scores.score_maps(logits, balanced_ties, balance=balance, key=key).score

    drawn = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 400))
    first = np.where(pure[None], drawn, -np.inf).reshape(400, -1).argmax(axis=1)
    mass = np.asarray(weight)[prediction[pure]]
    share = mass[prediction[pure] == 3].sum() / mass.sum()
    # Four standard deviations of 400 draws.
    assert abs((prediction.ravel()[first] == 3).mean() - share) < 4 * np.sqrt(
        share * (1 - share) / 400
    )
    # The same numbers as without weights, in another order across classes, not within one.
    key = jax.random.key(5)
    equal = np.asarray(score_maps(logits, Scoring(ties="random"), key=key).score)
    balanced = score_maps(logits, balanced_ties, balance=balance, key=key).score
    for c in (1, 3):
        at = pure & (prediction == c)
        order = np.argsort(equal[at])
        assert (np.diff(np.asarray(balanced)[at][order]) > 0).all()


BALANCED_TIES = Scoring(ties="balanced_uncertainty")


@pytest.mark.parametrize("evidence", ["argmax", "expected", "corrected_by_score"])
def test_ties_by_uncertainty_rank_by_uncertainty_and_weight_below_the_others(evidence):
    logits = halves()
    weight = np.tile(WEIGHT, (2, 1)) * np.array([[7], [1]]) if "score" in evidence else WEIGHT
    balance = RoundBalance(jnp.asarray(weight, jnp.float32))
    scoring = dataclasses.replace(BALANCED_TIES, class_evidence=evidence)
    plain = score_maps(logits, dataclasses.replace(scoring, ties="reference"), balance=balance)
    maps = score_maps(logits, scoring, balance=balance)
    pure = np.asarray(impurity.one_class(plain.prediction, radius=1))
    score = np.asarray(maps.score)
    np.testing.assert_array_equal(score[~pure], np.asarray(plain.score)[~pure])
    assert score[~pure].min() > 0 > score[pure].max()
    assert score.min() >= -1
    of_class = WEIGHT[np.asarray(plain.prediction)]
    if evidence == "expected":
        of_class = np.asarray(jax.nn.softmax(logits)) @ WEIGHT
    wanted = np.asarray(plain.uncertainty) * of_class
    order = np.argsort(score[pure])
    assert (np.diff(wanted[pure][order]) >= -1e-7 * wanted.max()).all()
    np.testing.assert_allclose(score[pure], -1 / (1 + 2**20 * wanted[pure]), rtol=1e-5)


def test_a_window_of_the_rarer_class_comes_first_and_not_last_as_in_the_reference():
    """Windows of one class that are equally uncertain: on the left of 1, on the right of 3."""
    logits = np.zeros((12, 16, 5), np.float32)
    logits[:, :8, 1] = logits[:, 8:, 3] = 5
    rarer = RoundBalance(jnp.asarray([1.0, 1.0, 1.0, 4.0, 1.0]))
    pure = (slice(None), [*range(7), *range(9, 16)])
    first = {}
    for ties in ("reference", "balanced_uncertainty"):
        maps = score_maps(jnp.asarray(logits), Scoring(ties=ties), balance=rarer)
        score = np.full((12, 16), -np.inf)
        score[pure] = np.asarray(maps.score)[pure]
        first[ties] = np.asarray(maps.prediction)[score == score.max()]
    assert set(first["balanced_uncertainty"].tolist()) == {3}
    assert set(first["reference"].tolist()) == {1}


def test_ties_by_uncertainty_keep_the_digits_of_the_sure():
    logits = halves() * jnp.float32(3.4)  # of entropies down to 1e-6
    maps = score_maps(logits, BALANCED_TIES)
    pure = np.asarray(impurity.one_class(maps.prediction, radius=1))
    uncertainty = np.asarray(maps.uncertainty)[pure]
    assert uncertainty.min() < 1e-5
    assert len(np.unique(np.asarray(maps.score)[pure])) > 0.9 * len(np.unique(uncertainty))


@pytest.mark.parametrize("sizes", SIZES)
def test_the_class_under_the_frequencies_of_the_target(sizes):
    logits = made()
    ratio = np.log(np.array([0.2, 5.0, 1.0, 1.0, 0.5], np.float32))
    full = np.asarray(logits, np.float64)
    if sizes:
        full = np.asarray(
            bilinear(bilinear(logits, sizes.get("via", sizes["size"])), sizes["size"])
        )
    softmax = np.exp(full) / np.exp(full).sum(-1, keepdims=True)
    moved = softmax * np.exp(ratio)
    counted = moved.argmax(-1)
    scoring = Scoring(class_evidence="prior_corrected")
    plain = score_maps(logits, Scoring(), **sizes)
    balance = WEIGHTED._replace(log_ratio=jnp.asarray(ratio))
    maps = score_maps(logits, scoring, balance=balance, **sizes)
    np.testing.assert_array_equal(maps.prediction, plain.prediction)
    assert (counted != np.asarray(plain.prediction)).any()
    # But for pixels where two classes are as likely.
    clear = np.diff(np.sort(moved, -1)[..., -2:])[..., 0] > 1e-5
    wanted = np.asarray(plain.score) * WEIGHT[counted]
    np.testing.assert_allclose(np.asarray(maps.score)[clear], wanted[clear], rtol=1e-5)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_class_of_the_nearest_prototype(sizes):
    logits = made()
    rng = np.random.default_rng(6)
    means = np.asarray(jax.nn.softmax(rng.normal(size=(5, 5)) + 2 * np.eye(5))).astype(np.float32)
    softmax = jax.nn.softmax(logits)
    if sizes:
        softmax = bilinear(bilinear(softmax, sizes.get("via", sizes["size"])), sizes["size"])
    distance = ((np.asarray(softmax, np.float64)[:, :, None] - means) ** 2).sum(-1)
    counted = distance.argmin(-1)
    balance = WEIGHTED._replace(prototypes=jnp.asarray(means))
    scoring = Scoring(class_evidence="nearest")
    plain = score_maps(logits, Scoring(), **sizes)
    maps = score_maps(logits, scoring, balance=balance, **sizes)
    assert (counted != np.asarray(plain.prediction)).any()
    # But for pixels that are as near to two.
    clear = np.diff(np.sort(distance, -1)[..., :2])[..., 0] > 1e-5
    wanted = np.asarray(plain.score) * WEIGHT[counted]
    np.testing.assert_allclose(np.asarray(maps.score)[clear], wanted[clear], rtol=1e-5)


VOID = np.random.default_rng(5).uniform(0, 0.9, (2, BANDS, 5)).astype(np.float32)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("weights", [None, WEIGHT])
def test_void_lowers_scores_of_either_sign(weights, platform):
    logits = halves() + made(12, 16) / 2
    balance = RoundBalance(None if weights is None else jnp.asarray(weights))
    plain = scores.score_maps(logits, Scoring(), balance=balance, platform=platform)
    maps = scores.score_maps(
        logits, Scoring(), balance=balance._replace(void=jnp.asarray(VOID)), platform=platform
    )
    prediction, score = np.asarray(plain.prediction), np.asarray(plain.score)
    assert (score < 0).any()
    for i, j in np.ndindex(*score.shape):
        left = 1 - VOID[int(score[i, j] <= 0), i * BANDS // 12, prediction[i, j]]
        wanted = score[i, j] * left if score[i, j] > 0 else score[i, j] / left
        assert maps.score[i, j] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("ties", ["random", "class_balanced", "balanced_uncertainty"])
def test_void_comes_later_in_ties_too(ties):
    logits = np.zeros((12, 16, 5), np.float32)
    logits[:, :8, 1] = logits[:, 8:, 3] = 5
    void = np.zeros((2, BANDS, 5), np.float32)
    void[1, :, 1] = 0.999
    key = jax.random.key(1)
    balance = RoundBalance(tie_weights=jnp.ones(5))
    scoring = Scoring(ties=ties)
    plain = np.asarray(score_maps(jnp.asarray(logits), scoring, balance=balance, key=key).score)
    balance = balance._replace(void=jnp.asarray(void))
    found = np.asarray(score_maps(jnp.asarray(logits), scoring, balance=balance, key=key).score)
    assert (found[:, :7] < plain[:, :7]).all()
    np.testing.assert_array_equal(found[:, 7:], plain[:, 7:])


@pytest.mark.parametrize("ties", ["random", "balanced_uncertainty"])
def test_a_diverged_network_is_seen_behind_ties(ties):
    logits = halves().at[3, 3, 0].set(jnp.nan)
    maps = score_maps(logits, Scoring(ties=ties), key=jax.random.key(0))
    assert np.isnan(maps.score).any()


def test_cap_of_an_image():
    assert budget.capped(10, 0.0) is None
    assert [budget.capped(10, cap) for cap in (1, 1.1, 1.11, 2.5)] == [10, 11, 12, 25]
    assert budget.capped(1, 1.5) == 2


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        (Scoring(class_evidence="true"), "needs the true classes"),
        (Scoring(class_evidence="prior_corrected"), "needs the ratio of the priors"),
        (Scoring(class_evidence="nearest"), "needs the prototypes"),
        (Scoring(ties="random"), "needs a key"),
        (Scoring(ties="class_balanced"), "needs their weights"),
    ],
)
def test_what_is_missing_is_named(scoring, message):
    with pytest.raises(ValueError, match=message):
        scores.score_maps(made(), scoring, balance=WEIGHTED)
