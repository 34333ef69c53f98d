"""Score maps against the golden values and against a slow NumPy formulation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from cbda_jax.acquisition.scoring import maps as scores
from cbda_jax.acquisition.scoring import softmax
from cbda_jax.acquisition.scoring.scoring import Scoring
from cbda_jax.resize import bilinear

STATIC = ("radius", "size", "via", "platform")
region_scores = jax.jit(scores.region_scores, static_argnames=STATIC)
pixel_scores = jax.jit(scores.pixel_scores, static_argnames=STATIC)
score_maps = jax.jit(scores.score_maps, static_argnames=("scoring", *STATIC[1:]))


def textbook(logits, radius, unit):
    """Float64, one window after the other. Full-size logits `[H, W, C]`."""
    height, width, classes = logits.shape
    x = np.asarray(logits, np.float64)
    p = np.exp(x - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    entropy = -(p * np.log(p + 1e-6)).sum(-1)
    prediction = x.argmax(-1)
    impurity, mean = np.empty((height, width)), np.empty((height, width))
    for i, j in np.ndindex(height, width):
        rows, columns = (slice(max(k - radius, 0), k + radius + 1) for k in (i, j))
        q = np.bincount(prediction[rows, columns].ravel(), minlength=classes).astype(float)
        q /= q.sum()
        impurity[i, j] = -(q * np.log(q + 1e-6)).sum()
        mean[i, j] = entropy[rows, columns].mean()
    if unit == "pixel":
        return impurity * entropy, impurity, entropy, prediction
    scale = 1 / np.log(classes)
    return impurity * mean * scale**2, impurity * scale, mean * scale, prediction


def assert_same(maps, expected, tolerance=3e-6):
    for name, got, wanted in zip(maps._fields, maps, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance, err_msg=name)
    assert [x.dtype for x in maps] == [np.float32] * 3 + [np.uint8]


def smooth(height, width, classes=5, seed=0, scale=4.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(height, width, classes), scale=scale).astype(np.float32)


def last(logits):
    return jnp.asarray(logits.transpose(1, 2, 0))


@pytest.mark.parametrize("name", ["ra_round1", "ra_round2"])
def test_golden_regions(golden, name):
    data = golden("acquisition")
    maps = region_scores(last(data[f"{name}_logits"]), size=(128, 256))
    for key in ("score", "impurity", "uncertainty"):
        np.testing.assert_allclose(getattr(maps, key), data[f"{name}_{key}"], rtol=0, atol=1e-6)


def test_golden_pixels(golden):
    data = golden("acquisition")
    maps = pixel_scores(last(data["pa_logits"]), radius=4, size=(128, 256))
    np.testing.assert_allclose(maps.score, data["pa_score"], rtol=0, atol=4e-6)


@pytest.mark.parametrize("unit", ["region", "pixel"])
@pytest.mark.parametrize(
    ("radius", "shape"),
    [
        (0, (5, 4, 3)),
        (1, (17, 31, 19)),
        (1, (1, 9, 2)),
        (1, (66, 3, 5)),
        (2, (17, 31, 19)),
        (5, (9, 11, 5)),
        (40, (66, 3, 5)),
    ],
)
def test_textbook(unit, radius, shape):
    logits = smooth(*shape)
    maps = score_maps(jnp.asarray(logits), Scoring(unit=unit, radius=radius))
    assert_same(maps, textbook(logits, radius, unit), tolerance=1e-5 if unit == "pixel" else 3e-6)


@pytest.mark.parametrize(
    ("low", "size", "via"),
    [
        ((9, 11), (33, 70), None),
        ((9, 11), (33, 70), (20, 41)),
        ((1, 5), (4, 33), None),
        ((20, 40), (10, 13), None),
        ((9, 11), (9, 11), (20, 23)),
        ((2, 2), (1, 1), None),
        ((5, 6), (33, 70), (3, 4)),
    ],
)
def test_upsampling_is_that_of_resize(low, size, via):
    logits = jnp.asarray(smooth(*low))
    full = bilinear(bilinear(logits, via or size), size)
    maps = region_scores(logits, size=size, via=via)
    assert_same(maps, textbook(np.asarray(full), 1, "region"), tolerance=1e-5)


def test_extreme_logits_stay_finite():
    # Neighbours that are sure of different classes, far beyond what float32 exponentials reach.
    logits = np.zeros((6, 6, 3), np.float32)
    logits[::2, :, 0] = 1e4
    logits[1::2, :, 1] = 1e30
    maps = region_scores(jnp.asarray(logits), size=(61, 61), via=(31, 31))
    assert all(np.isfinite(x).all() for x in maps)
    assert 0.1 < maps.uncertainty.max() <= np.log(2) / np.log(3)


def test_minus_infinity_is_never_predicted_and_nan_is_seen():
    logits = smooth(8, 9)
    logits[..., 2] = -np.inf
    maps = region_scores(jnp.asarray(logits), size=(20, 20))
    assert np.isfinite(maps.score).all()
    assert not (maps.prediction == 2).any()
    logits[3, 3, 0] = np.nan
    assert np.isnan(region_scores(jnp.asarray(logits), size=(20, 20)).score).any()


def test_half_precision_logits():
    logits = jnp.asarray(smooth(8, 9)).astype(jnp.bfloat16)
    maps = region_scores(logits, size=(20, 24))
    expected = region_scores(logits.astype(jnp.float32), size=(20, 24))
    for got, wanted in zip(maps, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("radius", [1, 3])
def test_regions_of_one_class(radius):
    logits = smooth(12, 15, classes=4, scale=0.5)
    logits[..., 1] += 8
    maps = region_scores(jnp.asarray(logits), radius=radius)
    # Equal at the border too, or selection would see an order that is not there.
    assert len(np.unique(maps.impurity)) == 1
    np.testing.assert_allclose(maps.impurity, -9.5e-7 / np.log(4), rtol=0.01)
    clamped = score_maps(jnp.asarray(logits), Scoring(radius=radius, clamp_impurity=True))
    np.testing.assert_array_equal(clamped.impurity, 0)
    order = np.argsort(np.asarray(maps.uncertainty), axis=None)
    assert (np.diff(np.asarray(clamped.score).ravel()[order]) >= 0).all()
    assert (np.diff(np.asarray(maps.score).ravel()[order]) <= 0).all()


def test_class_weight_multiplies_by_predicted_class():
    logits = jnp.asarray(smooth(9, 10))
    weight = jnp.asarray([0.5, 1.0, 3.0, 0.0, 2.0])
    plain = region_scores(logits, size=(30, 31))
    weighted = region_scores(logits, size=(30, 31), class_weight=weight)
    expected = np.asarray(plain.score) * np.asarray(weight)[np.asarray(plain.prediction)]
    np.testing.assert_allclose(weighted.score, expected, rtol=1e-6)
    np.testing.assert_array_equal(weighted.impurity, plain.impurity)


@pytest.mark.parametrize("unit", ["region", "pixel"])
def test_other_scores(unit):
    logits = jnp.asarray(smooth(9, 10))

    def maps(score="ripu", **options):
        scoring = Scoring(unit=unit, radius=2, score=score)
        return score_maps(logits, scoring, size=(20, 21), **options)

    ripu = maps()
    np.testing.assert_array_equal(maps(score="entropy").score, ripu.uncertainty)
    np.testing.assert_array_equal(maps(score="impurity").score, ripu.impurity)
    one, two = (maps(score="random", key=jax.random.key(i)) for i in (1, 2))
    assert ((one.score >= 0) & (one.score < 1)).all()
    assert (one.score != two.score).mean() > 0.99
    np.testing.assert_array_equal(one.prediction, ripu.prediction)


def test_under_vmap_and_shard_map():
    batch = jnp.stack([jnp.asarray(smooth(7, 8, seed=i)) for i in range(8)])
    score = functools.partial(region_scores, size=(30, 29), radius=2)
    alone = [score(x) for x in batch]
    alone = jax.tree.map(lambda *x: np.stack(x), *alone)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.shard_map(jax.vmap(score), mesh=mesh, in_specs=P("data"), out_specs=P("data"))
    for together in (jax.jit(jax.vmap(score))(batch), jax.jit(spread)(batch)):
        for got, wanted in zip(together, alone, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)


def temporary(function, *arguments, **options):
    memory = function.lower(*arguments, **options).compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes


@pytest.mark.parametrize("via", [None, (640, 1280)])
@pytest.mark.parametrize(("unit", "radius"), [("region", 1), ("pixel", 32)])
def test_full_size_logits_are_never_in_memory(via, unit, radius):
    logits = jax.ShapeDtypeStruct((160, 320, 19), jnp.float32)
    scoring = Scoring(unit=unit, radius=radius)
    assert temporary(score_maps, logits, scoring, size=(1024, 2048), via=via) < 64e6


def test_full_size_logits_are_not_copied():
    assert temporary(region_scores, jax.ShapeDtypeStruct((1024, 2048, 19), jnp.float32)) < 64e6


@pytest.mark.parametrize(
    ("scoring", "classes", "message"),
    [
        (Scoring(score="random"), 3, "needs a key"),
        (Scoring(), 1, "logits of 1 classes"),
    ],
)
def test_bad_arguments(scoring, classes, message):
    with pytest.raises(ValueError, match=message):
        score_maps(jnp.zeros((4, 5, classes)), scoring)


@pytest.mark.parametrize("rows_at_once", [1, 7, 10**6])
def test_rows_at_once_change_nothing(rows_at_once, monkeypatch):
    logits = jnp.asarray(smooth(9, 11, classes=3))
    cases = [{}, {"size": (33, 40)}, {"size": (33, 40), "via": (20, 21)}]
    expected = [region_scores(logits, **case) for case in cases]
    monkeypatch.setattr(softmax, "ROWS_AT_ONCE", rows_at_once)
    for case, wanted in zip(cases, expected, strict=True):
        got = jax.jit(functools.partial(scores.region_scores, **case))(logits)
        np.testing.assert_allclose(got.score, wanted.score, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(got.prediction, wanted.prediction)


def test_other_platforms_compute_the_same_in_one_block():
    """What differs between platforms is how the work is cut up."""
    logits = jnp.asarray(smooth(90, 11, classes=3))
    here, there = (region_scores(logits, platform=name) for name in ("cpu", "tpu"))
    for got, wanted in zip(there, here, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    loops = [
        str(jax.make_jaxpr(lambda x, name=name: scores.region_scores(x, platform=name))(logits))
        for name in ("cpu", "tpu")
    ]
    # On CPUs two blocks of rows, and the loop that keeps the score.
    assert "length=2" in loops[0]
    assert "scan[" not in loops[1]
