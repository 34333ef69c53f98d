import functools

import jax
import numpy as np
import pytest
from flax import nnx
from sequential import greedy
from tiny import Tiny

from cbda_jax import models, sharding, training
from cbda_jax.acquisition import UNBALANCED, RoundBalance, Scoring, class_quota
from cbda_jax.run.acquirer import Acquirer, Target
from cbda_jax.run.request import Request, Share

INPUT, NATIVE = (24, 40), (36, 60)
COUNT = 11
REGIONS = Scoring()
# Of a global allocation images are first asked for twice as many: the same programs serve both.
PICKS = {"per_image": 12, "global": 6}
PREVIOUS = {3: ([5, 20], [7, 33]), 9: ([0], [59])}


@functools.cache
def _network():
    optimizer = training.create_optimizer(
        "sgd", lambda _: np.float32(0.1), head_multiplier=1.0, is_head=models.is_head
    )
    return training.create_state(lambda: Tiny(rngs=nnx.Rngs(5)), optimizer)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, size=(COUNT, 6, 10, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def _previous(index):
    row, col = PREVIOUS.get(index, ([], []))
    return np.array(row, np.int32), np.array(col, np.int32)


@functools.cache  # what one test has compiled serves the others
def _acquirer(*, devices=8, batch=8, scoring=REGIONS, quota=False):
    graphdef, state = _network()
    mesh = sharding.make_mesh(jax.devices()[:devices])
    acquirer = Acquirer(graphdef, mesh, scoring, INPUT, batch=batch, quota=quota)
    return acquirer, sharding.replicate(mesh, state)


def _target(images, truth=None):
    sizes = np.tile(np.array(NATIVE, np.int32), (COUNT, 1))
    return Target(sizes, images.__getitem__, _previous, truth)


def _request(number, picks, allocation, most=None):
    return Request(number, {NATIVE: Share(picks, most)}, allocation)


def _choose(
    images,
    *,
    allocation,
    picks=6,
    most=None,
    balance=UNBALANCED,
    truth=None,
    **setting,
):
    acquirer, state = _acquirer(**setting)
    request = _request(2, picks, allocation, most)
    return acquirer.choose(state, _target(images, truth), request, balance=balance)


def _expected(
    images,
    *,
    allocation,
    picks=6,
    most=None,
    balance=UNBALANCED,
    truth=None,
    scoring=REGIONS,
):
    """By the sequential loop on the host, from the score maps of single images."""
    acquirer, state = _acquirer(devices=1, batch=1, scoring=scoring)
    radius = acquirer._squares.block_radius
    found, predicted = [], {}
    for index in range(COUNT):
        maps = acquirer.maps(state, _target(images, truth), index, number=2, balance=balance)
        blocked = np.zeros(NATIVE, bool)
        for r, c in zip(*_previous(index), strict=True):
            blocked[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1] = True
        limit = picks if allocation == "per_image" else most or NATIVE[0] * NATIVE[1]
        sequence, _ = greedy(maps.score, limit, radius, blocked)
        found += [(-s, index, place, r, c) for place, (r, c, s) in enumerate(sequence)]
        predicted |= {(index, r, c): maps.prediction[r, c] for r, c, _ in sequence}
    found.sort()
    if balance.counts is not None:
        of = [predicted[index, r, c] for _, index, _, r, c in found]
        offered = np.bincount(of, minlength=19)
        left = class_quota(balance.counts // 9, offered, picks * COUNT)
        rank = [of[:i].count(c) for i, c in enumerate(of)]
        found = [pick for pick, c, k in zip(found, of, rank, strict=True) if k < left[c]]
    elif allocation == "global":
        found = found[: picks * COUNT]
    return [(index, r, c) for _, index, _, r, c in sorted(found, key=lambda pick: pick[1:3])]


def _listed(chosen):
    columns = (chosen.image, chosen.row, chosen.col, chosen.score, chosen.predicted)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("allocation", ["per_image", "global"])
@pytest.mark.parametrize("score", ["ripu", "random"])
def test_picks_are_those_of_the_sequential_loop(images, allocation, score):
    balance = RoundBalance(np.linspace(0.5, 1.5, 19, dtype=np.float32))
    picks = PICKS[allocation]
    setting = {"allocation": allocation, "picks": picks, "balance": balance}
    setting["scoring"] = Scoring(score=score)
    expected = _expected(images, **setting)
    found = _listed(_choose(images, **setting)[0])
    assert len(expected) == picks * COUNT
    assert [pick[:3] for pick in found] == expected


@pytest.mark.parametrize("allocation", ["per_image", "global"])
def test_devices_and_batches_make_no_difference(images, allocation):
    setting = {"allocation": allocation, "picks": PICKS[allocation]}
    reference = _listed(_choose(images, **setting)[0])
    for devices, batch in ((1, 1), (1, 4), (2, 4)):
        other, _ = _choose(images, devices=devices, batch=batch, **setting)
        # Convolutions round differently in batches of other sizes, so scores agree to that.
        for ours, theirs in zip(_listed(other), reference, strict=True):
            assert ours[:3] == theirs[:3]
            assert ours[3] == pytest.approx(theirs[3], rel=1e-5)
            assert ours[4] == theirs[4]


def test_of_all_images_together_any_number_may_be_asked(images):
    request = _request(2, 1, "global")._replace(picks=COUNT - 3)
    acquirer, state = _acquirer()
    chosen, report = acquirer.choose(state, _target(images), request)
    assert (report.budget, len(chosen.image)) == (COUNT - 3, COUNT - 3)
    # The best of those that one pick an image finds.
    more = _listed(_choose(images, allocation="global", picks=1)[0])
    best = sorted(more, key=lambda pick: -pick[3])[: COUNT - 3]
    assert sorted(pick[:3] for pick in _listed(chosen)) == sorted(pick[:3] for pick in best)


def test_an_image_that_holds_most_of_the_best_is_asked_again(images):
    """One image scores far above the rest, so its first selection is too short."""
    flat = np.repeat(images[:1, :1, :1], COUNT, axis=0).repeat(24, axis=1).repeat(40, axis=2)
    flat[4] = images[4]
    chosen, _ = _choose(flat, allocation="global", picks=2)
    expected = _expected(flat, allocation="global", picks=2)
    assert [pick[:3] for pick in _listed(chosen)] == expected
    assert np.bincount(chosen.image, minlength=COUNT)[4] > 2 * 2


WEIGHTS = np.linspace(0.05, 2, 19, dtype=np.float32)
TRUTH = np.random.default_rng(7).integers(0, 19, (COUNT, *NATIVE)).astype(np.uint8)
TRUTH[:, :9] = 255


@pytest.mark.parametrize(
    "option",
    [
        {"balance": RoundBalance(WEIGHTS), "scoring": Scoring(class_evidence="expected")},
        {
            "balance": RoundBalance(WEIGHTS),
            "scoring": Scoring(class_evidence="true"),
            "truth": TRUTH.__getitem__,
        },
        {"scoring": Scoring(impurity_floor=0.3)},
        {"scoring": Scoring(ties="random")},
        {
            "scoring": Scoring(ties="class_balanced"),
            "balance": RoundBalance(tie_weights=WEIGHTS),
        },
        {"most": 7},
    ],
    ids=["expected", "true", "floor", "random ties", "balanced ties", "most"],
)
def test_options_change_the_picks_as_the_sequential_loop_says(images, option):
    setting = {"allocation": "global", "picks": 6, **option}
    if option.get("scoring", Scoring()).ties != "reference":
        # Plain images, of which most is inside one class.
        setting["picks"] = 80
        images = images[:, :1, :1].repeat(24, axis=1).repeat(40, axis=2)
    found = _listed(_choose(images, **setting)[0])
    assert [pick[:3] for pick in found] == _expected(images, **setting)
    weights = RoundBalance(setting.get("balance", UNBALANCED).weights)
    without = {"allocation": "global", "picks": setting["picks"], "balance": weights}
    plain = _listed(_choose(images, **without)[0])
    assert len(plain) == len(found)
    assert [pick[:3] for pick in plain] != [pick[:3] for pick in found]


def test_capped_images_leave_the_budget_to_others(images):
    flat = np.repeat(images[:1, :1, :1], COUNT, axis=0).repeat(24, axis=1).repeat(40, axis=2)
    flat[4] = images[4]
    setting = {"allocation": "global", "picks": 6}
    free, _ = _choose(flat, **setting)
    assert np.bincount(free.image, minlength=COUNT).max() > 7
    capped, report = _choose(flat, most=7, **setting)
    assert np.bincount(capped.image, minlength=COUNT).max() == 7
    assert report.taken == 6 * COUNT


def test_quota_over_corrected_classes_keeps_the_prediction(images):
    plain, _ = _choose(images, allocation="global", picks=6)
    group_of = np.zeros(19, np.uint8)  # all were class 0 in truth
    balance = RoundBalance(counts=np.zeros(19, np.int64), group_of=group_of)
    setting = {"allocation": "global", "picks": 6, "balance": balance}
    chosen, report = _choose(images, quota=True, **setting)
    # A single group: the quota has nothing to divide.
    assert _listed(chosen) == _listed(plain)
    assert report.quota.tolist() == [6 * COUNT] + 18 * [0]


def test_quota_spends_the_budget_where_labels_are_few(images):
    plain, _ = _choose(images, allocation="global", picks=6)
    common = np.bincount(plain.predicted, minlength=19)
    counts = 9 * 1000 * (common == common.max())
    balance = RoundBalance(counts=counts)
    chosen, report = _choose(images, allocation="global", picks=6, balance=balance, quota=True)
    balanced = np.bincount(chosen.predicted, minlength=19)
    assert len(chosen.image) == len(plain.image)
    assert balanced[common.argmax()] < common.max()
    np.testing.assert_array_equal(balanced, report.quota)
    # Few images offer a rare class at once: those that hold it are asked again.
    expected = _expected(images, allocation="global", picks=6, balance=balance)
    assert [pick[:3] for pick in _listed(chosen)] == expected
    blind, _ = _choose(images, allocation="global", picks=6, balance=balance)
    assert _listed(blind) == _listed(chosen)
    assert set(chosen.predicted.tolist()) - set(plain.predicted.tolist())


def test_nothing_the_size_of_an_image_comes_back(images):
    acquirer, state = _acquirer.__wrapped__()
    acquirer.choose(state, _target(images), _request(1, 6, "per_image"))  # compiles
    step = acquirer.program(6, NATIVE)
    assert step._cache_size() == 1
    outputs = jax.tree.leaves(step.lower(*_abstract(state, acquirer)).out_info)
    assert max(np.prod(leaf.shape) for leaf in outputs) <= 8 * 6


def _abstract(state, acquirer):
    def shape(size, dtype):
        return jax.ShapeDtypeStruct(size, dtype)

    return (
        state.params,
        state.frozen,
        shape((8, *INPUT, 3), np.uint8),
        shape((8,), np.int32),
        shape((8, *NATIVE), np.bool_),
        UNBALANCED,
        shape((), np.int32),
        shape((), np.float32),
    )


def test_rounds_before_and_after_the_balance_begins_are_one_program(images):
    acquirer, state = _acquirer.__wrapped__()
    for number, weights in ((1, np.ones(19, np.float32)), (2, WEIGHTS)):
        request, balance = _request(number, 6, "per_image"), RoundBalance(weights)
        acquirer.choose(state, _target(images), request, balance=balance)
    assert acquirer.program(6, NATIVE)._cache_size() == 1


@pytest.mark.parametrize("allocation", ["per_image", "global"])
@pytest.mark.parametrize("score", ["margin", "pixelpick"])
def test_scores_of_single_pixels(images, allocation, score):
    scoring = Scoring(unit="pixel", radius=0, score=score)
    setting = {"allocation": allocation, "scoring": scoring, "picks": 3 * PICKS[allocation]}
    found = [pick[:3] for pick in _listed(_choose(images, **setting)[0])]
    assert found == _expected(images, **setting)
    asked = {(i, r, c) for i, (row, col) in PREVIOUS.items() for r, c in zip(row, col, strict=True)}
    assert not asked & set(found)


def test_pixelpick_draws_among_the_least_margins_that_were_not_asked_before(images):
    target, scoring = _target(images), Scoring(unit="pixel", radius=0, score="pixelpick")
    acquirer, state = _acquirer(scoring=scoring)
    chosen, _ = acquirer.choose(state, target, _request(2, 20, "per_image"))
    of_margin, _ = _acquirer(scoring=Scoring(unit="pixel", radius=0, score="margin"))
    rank = int(0.05 * np.prod(NATIVE))
    for index in range(COUNT):
        score = np.array(of_margin.maps(state, target, index, number=2).score)
        score[_previous(index)] = -1
        least = np.sort(score, axis=None)[-rank]
        mine = chosen.image == index
        assert mine.sum() == 20
        assert (score[chosen.row[mine], chosen.col[mine]] >= least).all()
    again, _ = acquirer.choose(state, target, _request(3, 20, "per_image"))
    assert _listed(again) != _listed(chosen)
