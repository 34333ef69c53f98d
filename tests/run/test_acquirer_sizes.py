"""Target images of three native sizes: one pool, with a program for each size."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx
from sequential import greedy
from tiny import Tiny
from union import best

from cbda_jax import models, sharding, training
from cbda_jax.acquisition import UNBALANCED, RoundBalance, Scoring
from cbda_jax.run.acquirer import Acquirer, Target
from cbda_jax.run.request import Request, Share

INPUT = (24, 40)
# The largest, the network's own, and a tall one.
LARGE, SAME, TALL = (36, 60), (24, 40), (40, 22)
# 5, 3 and 3 images: no batch of four is full of one size alone.
OF = [LARGE, TALL, SAME, LARGE, LARGE, SAME, TALL, LARGE, SAME, TALL, LARGE]
SIZES = np.array(OF, np.int32)
COUNT = len(OF)
REGIONS = Scoring()
# In proportion to the pixels, about. Images of a global allocation are first asked for twice as
# many, so that the same programs serve both.
PICKS = {
    "per_image": {LARGE: 12, SAME: 6, TALL: 4},
    "global": {LARGE: 6, SAME: 3, TALL: 2},
}
BUDGET = {"per_image": 5 * 12 + 3 * 6 + 3 * 4, "global": 5 * 6 + 3 * 3 + 3 * 2}
PREVIOUS = {1: ([39, 5], [21, 3]), 3: ([5, 20], [7, 33]), 8: ([0], [39])}


@functools.cache
def network():
    optimizer = training.create_optimizer(
        "sgd", lambda _: np.float32(0.1), head_multiplier=1.0, is_head=models.is_head
    )
    return training.create_state(lambda: Tiny(rngs=nnx.Rngs(5)), optimizer)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, size=(COUNT, 6, 10, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def previous(index):
    row, col = PREVIOUS.get(index, ([], []))
    return np.array(row, np.int32), np.array(col, np.int32)


@functools.cache  # what one test has compiled serves the others
def acquirer_of(devices, batch, scoring):
    graphdef, state = network()
    mesh = sharding.make_mesh(jax.devices()[:devices])
    return Acquirer(graphdef, mesh, scoring, INPUT, batch=batch), sharding.replicate(mesh, state)


def target_of(images, truth=None):
    return Target(SIZES, images.__getitem__, previous, truth)


def choose(
    images,
    allocation,
    *,
    most=None,
    balance=UNBALANCED,
    truth=None,
    scoring=REGIONS,
    devices=2,
    batch=4,
    **told,
):
    acquirer, state = acquirer_of(devices, batch, scoring)
    shares = {size: Share(n, most and most[size]) for size, n in PICKS[allocation].items()}
    request = Request(2, shares, allocation)
    return acquirer.choose(state, target_of(images, truth), request, balance=balance, **told)


def sequences(images, *, balance=UNBALANCED, truth=None, scoring=REGIONS, limit=None):
    """All picks of each image and the classes predicted there, by the loop on the host."""
    acquirer, state = acquirer_of(1, 1, scoring)
    radius = scoring.squares.block_radius
    for index, size in enumerate(OF):
        target = target_of(images, truth)
        maps = acquirer.maps(state, target, index, number=2, balance=balance)
        assert maps.score.shape == maps.prediction.shape == size
        blocked = np.zeros(size, bool)
        for r, c in zip(*previous(index), strict=True):
            blocked[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1] = True
        most = size[0] * size[1] if limit is None else limit[size]
        found, _ = greedy(maps.score, most, radius, blocked)
        yield [(*pick, maps.prediction[pick[:2]]) for pick in found]


def expected(images, allocation, *, most=None, balance=UNBALANCED, **setting):
    """(image, row, col) of what is to be picked, image by image."""
    limit = PICKS["per_image"] if allocation == "per_image" else most
    found = list(sequences(images, balance=balance, limit=limit, **setting))
    longest = max(map(len, found))
    score = np.full((COUNT, longest), -np.inf, np.float32)
    predicted = np.zeros((COUNT, longest), np.uint8)
    for i, picks in enumerate(found):
        score[i, : len(picks)] = [s for _, _, s, _ in picks]
        predicted[i, : len(picks)] = [c for _, _, _, c in picks]
    count = np.array([len(picks) for picks in found])
    chosen = best(score, count, predicted, BUDGET[allocation], balance.counts)
    return [(i, *found[i][place][:2]) for i, place in chosen]


def places(chosen):
    columns = (chosen.image, chosen.row, chosen.col)
    return list(zip(*(column.tolist() for column in columns), strict=True))


WEIGHTS = np.linspace(0.5, 1.5, 19, dtype=np.float32)


@pytest.mark.parametrize("allocation", ["per_image", "global"])
def test_picks_are_those_of_the_sequential_loop(images, allocation):
    balance, handed = RoundBalance(WEIGHTS), []
    chosen, report = choose(images, allocation, balance=balance, done=handed.append)
    assert places(chosen) == expected(images, allocation, balance=balance)
    assert report.budget == report.taken == len(chosen.image) == BUDGET[allocation]
    assert (chosen.row < SIZES[chosen.image, 0]).all()
    assert (chosen.col < SIZES[chosen.image, 1]).all()
    # Each image once, in two, one and one batches.
    assert handed == [4, 1, 3, 3]
    if allocation == "per_image":
        of_image = np.bincount(chosen.image, minlength=COUNT)
        assert of_image.tolist() == [PICKS[allocation][size] for size in OF]


@pytest.mark.parametrize("allocation", ["per_image", "global"])
def test_devices_and_batches_make_no_difference(images, allocation):
    reference = choose(images, allocation)[0]
    other = choose(images, allocation, devices=8, batch=8)[0]
    assert places(other) == places(reference)
    np.testing.assert_array_equal(other.predicted, reference.predicted)
    # Convolutions round differently in batches of other sizes, so scores agree to that.
    np.testing.assert_allclose(other.score, reference.score, rtol=1e-5)


def test_images_that_hold_most_of_the_best_are_asked_again(images):
    """Of two sizes; those of the third keep what they were asked for."""
    flat = np.repeat(images[:1, :1, :1], COUNT, axis=0).repeat(24, axis=1).repeat(40, axis=2)
    rich = [1, 2]
    flat[rich] = images[rich]
    chosen, report = choose(flat, "global")
    assert places(chosen) == expected(flat, "global")
    number = np.bincount(chosen.image, minlength=COUNT)
    assert all(number[i] > 2 * PICKS["global"][OF[i]] for i in rich)
    assert report.taken == BUDGET["global"]


def test_caps_are_of_each_size(images):
    """Two sizes are at theirs from the first, of the third an image is asked again."""
    flat = np.repeat(images[:1, :1, :1], COUNT, axis=0).repeat(24, axis=1).repeat(40, axis=2)
    flat[[1, 2, 4]] = images[[1, 2, 4]]
    most = {LARGE: 20, SAME: 5, TALL: 4}
    chosen, report = choose(flat, "global", most=most)
    assert places(chosen) == expected(flat, "global", most=most)
    number = np.bincount(chosen.image, minlength=COUNT)
    assert all(number[i] == most[OF[i]] for i in (1, 2, 4))
    assert report.taken == BUDGET["global"]


def test_quota(images):
    plain = choose(images, "global")[0]
    common = np.bincount(plain.predicted, minlength=19)
    balance = RoundBalance(counts=9 * 100 * (common == common.max()))
    chosen, report = choose(images, "global", balance=balance)
    # In picks, as the pool counts.
    picks = balance._replace(counts=balance.counts // 9)
    assert places(chosen) == expected(images, "global", balance=picks)
    assert places(chosen) != places(plain)
    np.testing.assert_array_equal(report.quota, np.bincount(chosen.predicted, minlength=19))


TRUTH = [
    np.random.default_rng(i).integers(0, 19, size).astype(np.uint8) for i, size in enumerate(OF)
]


def test_scores_that_look_at_true_classes_and_at_what_was_asked(images):
    setting = {
        "scoring": Scoring(unit="pixel", radius=0, score="pixelpick", class_evidence="true"),
        "truth": TRUTH.__getitem__,
        "balance": RoundBalance(WEIGHTS),
    }
    assert places(choose(images, "per_image", **setting)[0]) == expected(
        images, "per_image", **setting
    )


def test_a_size_is_a_program(images):
    acquirer, state = acquirer_of.__wrapped__(2, 4, REGIONS)
    shares = {size: Share(n) for size, n in PICKS["per_image"].items()}
    before = Acquirer.program.cache_info().misses
    for number in (1, 2):
        acquirer.choose(state, target_of(images), Request(number, shares, "per_image"))
        assert Acquirer.program.cache_info().misses - before == len(shares) == 3
    for size, share in shares.items():
        assert acquirer.program(share.picks, size)._cache_size() == 1
