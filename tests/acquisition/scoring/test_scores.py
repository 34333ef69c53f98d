"""The table of scores: those that are here against slow ones, and those of a user."""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition import SCORES, Scoring, register_score, score_maps
from cbda_jax.acquisition.scoring.softmax import softmax_maps
from cbda_jax.errors import InputError

LOGITS = np.random.default_rng(0).normal(size=(12, 17, 4), scale=2).astype(np.float32)


def probabilities():
    p = np.exp(LOGITS.astype(np.float64))
    return np.sort(p / p.sum(-1, keepdims=True))


def window_means(x, radius):
    found = np.empty(x.shape)
    for i, j in np.ndindex(*x.shape):
        rows, columns = (slice(max(k - radius, 0), k + radius + 1) for k in (i, j))
        found[i, j] = x[rows, columns].mean()
    return found


@pytest.mark.parametrize(("unit", "radius"), [("pixel", 0), ("pixel", 3), ("region", 1)])
@pytest.mark.parametrize("score", ["margin", "least_confidence"])
def test_against_textbook_probabilities(score, unit, radius):
    p = probabilities()
    expected = 1 - p[..., -1] + (p[..., -2] if score == "margin" else 0)
    if unit == "region":
        expected = window_means(expected, radius)
    maps = score_maps(jnp.asarray(LOGITS), Scoring(unit=unit, radius=radius, score=score))
    np.testing.assert_allclose(maps.score, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("share", [0.05, 0.3, 1])
def test_pixelpick_is_uniform_among_the_least_margins(share):
    rng = np.random.default_rng(1)
    blocked = rng.random(LOGITS.shape[:2]) < 0.3
    margin = np.asarray(softmax_maps(jnp.asarray(LOGITS), ("margin",))["margin"])
    scoring = Scoring(unit="pixel", radius=0, score="pixelpick", share=share)

    @jax.jit
    def score(key):
        return score_maps(jnp.asarray(LOGITS), scoring, blocked=jnp.asarray(blocked), key=key).score

    found = np.asarray(score(jax.random.key(0)))
    places = np.flatnonzero(~blocked.T)
    best = places[np.argsort(margin.T.ravel()[places], kind="stable")]
    candidate = np.zeros(margin.T.shape, bool)
    candidate.ravel()[best[: int(share * margin.size)]] = True
    candidate = candidate.T
    assert ((found >= 0) == candidate).all()
    np.testing.assert_allclose(found[~candidate], -1 - margin[~candidate], rtol=1e-6)
    # Drawn anew with another key; each candidate is the first as often as any other.
    drawn = np.asarray(jax.vmap(score)(jax.random.split(jax.random.key(1), 600)))
    first = np.bincount(drawn.reshape(600, -1).argmax(axis=1), minlength=margin.size)
    n = candidate.sum()
    assert first[~candidate.ravel()].sum() == 0
    chi_squared = ((first[candidate.ravel()] - 600 / n) ** 2).sum() / (600 / n)
    assert chi_squared < n - 1 + 5 * np.sqrt(2 * (n - 1))


def test_a_diverged_network_is_seen_by_pixelpick():
    logits = jnp.asarray(LOGITS).at[3, 3, 0].set(jnp.nan)
    scoring = Scoring(unit="pixel", radius=0, score="pixelpick", share=1)
    assert np.isnan(score_maps(logits, scoring, key=jax.random.key(0)).score[3, 3])


@pytest.fixture
def module(monkeypatch):
    """A module of a user's."""
    made = types.ModuleType("a_users_scores")
    monkeypatch.setitem(sys.modules, "a_users_scores", made)
    return made


def doubt(margin, uncertainty, prediction, radius):
    return jnp.where(prediction == 1, (1 - margin) * uncertainty, jnp.float32(radius))


def test_a_score_by_import_path_and_by_name(module, monkeypatch):
    module.doubt = doubt
    maps = score_maps(jnp.asarray(LOGITS), Scoring(score="a_users_scores:doubt", radius=2))
    margin = score_maps(jnp.asarray(LOGITS), Scoring(score="margin", radius=2)).score
    expected = np.where(maps.prediction == 1, margin * maps.uncertainty, 2)
    np.testing.assert_allclose(maps.score, expected, rtol=1e-5)
    monkeypatch.delitem(SCORES, "doubt", raising=False)
    assert register_score("doubt")(doubt) is doubt
    try:
        named = score_maps(jnp.asarray(LOGITS), Scoring(score="doubt", radius=2))
        np.testing.assert_array_equal(named.score, maps.score)
        with pytest.raises(InputError, match="score 'doubt': a taken name found"):
            register_score("doubt", lambda margin: margin)
    finally:
        del SCORES["doubt"]


def test_ties_follow_from_naming_the_impurity(module):
    module.mine = lambda impurity, margin: impurity * (1 - margin)
    scoring = Scoring(score="a_users_scores:mine", ties="random")
    assert (score_maps(jnp.zeros((5, 6, 3)), scoring, key=jax.random.key(0)).score < 0).all()
    module.mine = lambda margin: margin
    with pytest.raises(InputError, match=r"ties: 'random' found with score 'a_users_scores:mine'"):
        Scoring(score="a_users_scores:mine", ties="random")


def test_random_numbers_of_score_and_ties_differ(module):
    module.mine = lambda impurity, uniform: impurity + uniform
    key = jax.random.key(0)
    scoring = Scoring(score="a_users_scores:mine", ties="random", radius=1)
    flat = score_maps(jnp.zeros((40, 50, 3)), scoring, key=key).score
    uniform = jax.random.uniform(key, (40, 50))
    assert abs(np.corrcoef(np.ravel(flat), np.ravel(uniform))[0, 1]) < 0.1


def test_the_entropy_is_not_computed_where_nobody_looks():
    def score(logits):
        maps = score_maps(logits, Scoring(score="margin"), platform="tpu")
        return maps.score, maps.prediction

    def logarithms(function):
        text = jax.jit(function).lower(jnp.asarray(LOGITS)).compile().as_text()
        return text.count(" log(")

    assert logarithms(score) == 0
    assert logarithms(lambda x: score_maps(x, Scoring(), platform="tpu").score) > 0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda margn: margn, "parameter 'margn' found.*did you mean 'margin'"),
        (lambda *maps: maps[0], "parameter 'maps' found"),
        (lambda margin: margin.sum(), r"makes float32 \[\] of maps of \[5, 7\], expected float32"),
        (lambda prediction: prediction, "makes uint8"),
        (lambda margin: (margin, margin), "gives a tuple"),
        (lambda margin: margin[:, 99:] @ margin, "fails with"),
        (7, "a int, expected a function"),
    ],
)
def test_a_score_that_does_not_fit_is_one_line(module, function, message):
    module.mine = function
    with pytest.raises(InputError, match=message) as error:
        Scoring(score="a_users_scores:mine")
    assert str(error.value).startswith("acquisition.score: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("no_such_module:score", "No module named 'no_such_module'"),
        ("a_users_scores:nothing", "expected an object of the module a_users_scores"),
        ("margn", "expected one of ripu, .*or an import path.*did you mean 'margin'"),
    ],
)
def test_a_score_that_is_not_there_is_one_line(module, score, message):
    with pytest.raises(InputError, match=message) as error:
        Scoring(score=score)
    assert "\n" not in str(error.value)
