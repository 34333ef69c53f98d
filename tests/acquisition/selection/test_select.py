"""greedy_picks against the sequential loop: properties, golden values and hard maps."""

from functools import lru_cache, partial

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sequential
from jax.sharding import AxisType, PartitionSpec

from cbda_jax.acquisition import blocked_mask, greedy_picks
from cbda_jax.acquisition.selection import local_maxima, vector_memory
from cbda_jax.acquisition.selection.keys import LOWEST, to_key
from cbda_jax.errors import InputError

ALGORITHMS = ("tournament", "local_maxima", "vector_memory")
CAPACITY = 40


@lru_cache
def compiled(radius, algorithm, capacity=CAPACITY):
    return jax.jit(partial(greedy_picks, radius=radius, capacity=capacity, algorithm=algorithm))


def check(picks, expected, message=""):
    row, col, score, count = map(np.asarray, picks)
    assert count == len(expected), message
    taken = list(
        zip(row[:count].tolist(), col[:count].tolist(), score[:count].tolist(), strict=True)
    )
    assert taken == [(r, c, float(s)) for r, c, s in expected], message
    assert (row[count:] == -1).all()
    assert (col[count:] == -1).all()
    assert (score[count:] == -np.inf).all()
    assert row.dtype == col.dtype == count.dtype == np.int32


@st.composite
def score_maps(draw, shape):
    """Maps with many ties, plateaus, ramps, and pixels that cannot be taken."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = shape
    kind = draw(st.sampled_from(("noise", "plateaus", "ramp", "smooth", "constant")))
    row, col = np.mgrid[:height, :width].astype(np.float32)
    if kind == "noise":
        score = rng.standard_normal(shape)
    elif kind == "plateaus":
        coarse = rng.integers(-2, 3, (height // 4 + 1, width // 5 + 1))
        score = np.kron(coarse, np.ones((4, 5)))[:height, :width]
    elif kind == "ramp":
        score = rng.integers(-1, 2) * row + rng.integers(-1, 2) * col
    elif kind == "smooth":
        score = np.sin(row / 5 + rng.random()) * np.cos(col / 7 + rng.random())
    else:
        score = np.zeros(shape)
    levels = draw(st.sampled_from((None, 1, 3, 20)))
    if levels is not None:
        score = np.round(score * levels) / levels
    score = (score * draw(st.sampled_from((1.0, -3e-7, 1e30)))).astype(np.float32)
    score[rng.random(shape) < draw(st.sampled_from((0.0, 0.1, 0.95)))] = -np.inf
    blocked = None
    share = draw(st.sampled_from((None, 0.2, 0.9)))
    if share is not None:
        blocked = rng.random(shape) < share
    return score, blocked


SHAPES = [
    ((24, 31), 0),
    ((33, 32), 1),
    ((40, 70), 2),
    ((37, 65), 4),
    ((20, 300), 2),
    ((35, 34), 6),
    ((9, 50), 17),
    ((7, 5), 64),
    ((1, 1), 2),
]


@pytest.mark.parametrize(
    ("shape", "radius", "algorithm"),
    [
        (shape, radius, algorithm)
        for algorithm in ALGORITHMS
        for shape, radius in SHAPES
        if algorithm != "vector_memory" or vector_memory.fits(shape, radius)
    ],
)
def test_equals_the_sequential_loop(shape, radius, algorithm):
    # The kernel's operations are interpreted.
    examples = 30 if algorithm == "vector_memory" else 150

    @hypothesis.settings(max_examples=examples, deadline=None, database=None)
    @hypothesis.given(score_maps(shape), st.integers(0, CAPACITY))
    def equal(maps, budget):
        score, blocked = maps
        mask = jnp.zeros(shape, bool) if blocked is None else jnp.asarray(blocked)
        picks = compiled(radius, algorithm)(jnp.asarray(score), budget, blocked=mask)
        check(picks, sequential.greedy(score, budget, radius, blocked)[0])

    equal()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_golden_regions_over_two_rounds(golden, algorithm):
    values = golden("acquisition")
    blocked = jnp.zeros((128, 256), bool)
    for number in (1, 2):
        expected = values[f"ra_round{number}_picks"]
        picks = compiled(2, algorithm, 200)(
            jnp.asarray(values[f"ra_round{number}_score"]), len(expected), blocked=blocked
        )
        taken = np.stack([picks.row, picks.col], axis=1)
        np.testing.assert_array_equal(taken[: len(expected)], expected)
        assert (taken[len(expected) :] == -1).all()
        blocked |= blocked_mask(picks.row, picks.col, (128, 256), 2)
        np.testing.assert_array_equal(
            np.packbits(np.asarray(blocked)), values[f"ra_round{number}_blocked_after"]
        )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_golden_pixels(golden, algorithm):
    values = golden("acquisition")
    picks = compiled(4, algorithm)(jnp.asarray(values["pa_score"]), 40)
    np.testing.assert_array_equal(np.stack([picks.row, picks.col], axis=1), values["pa_picks"])


ROW, COL = np.mgrid[:64, :96].astype(np.float32)
HARD = {
    "constant": np.zeros((64, 96), np.float32),
    "ramp down": -ROW,
    "ramp up": ROW,
    "ramp left": -COL,
    "ramp right": COL,
    "diagonal": ROW + COL,
    "all different": ROW * 96 + COL,
    "checkerboard": (ROW + COL) % 2,
    "stripes": COL % 3,
    "hill": -np.hypot(ROW - 30, COL - 50).astype(np.float32),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", HARD)
def test_chains_until_nothing_is_left(name, algorithm):
    expected, blocked = sequential.greedy(HARD[name], 2000, 2)
    assert blocked.all()
    picks = compiled(2, algorithm, 900)(jnp.asarray(HARD[name]), 900)
    check(picks, expected)


@pytest.mark.parametrize("name", ["ramp right", "diagonal", "all different", "hill"])
def test_bounds_keep_rounds_few(name):
    """A small budget does not wait for the chain through the whole image."""
    key = to_key(jnp.asarray(HARD[name]))
    select = jax.jit(partial(local_maxima.select_counting, radius=2, capacity=900))
    lowest = jnp.int32(LOWEST + 1)
    few, all_ = (int(select(key, jnp.int32(budget), lowest)[4]) for budget in (8, 900))
    assert 2 * few <= all_


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestSpecialValues:
    def test_negative_zero_ties_with_zero(self, algorithm):
        score = np.full((20, 20), -1, np.float32)
        score[3, 9], score[9, 3], score[15, 15] = 0.0, -0.0, 1e-45
        picks = compiled(0, algorithm)(jnp.asarray(score), 3)
        assert picks.col[:3].tolist() == [15, 3, 9]  # the smallest denormal is above zero
        assert not np.signbit(np.asarray(picks.score[1:3])).any()

    def test_infinities(self, algorithm):
        score = np.full((8, 8), -np.inf, np.float32)
        score[2, 2], score[5, 5] = np.inf, -3e38
        picks = compiled(1, algorithm)(jnp.asarray(score), 10)
        assert int(picks.count) == 2
        assert picks.score[:2].tolist() == [np.inf, np.float32(-3e38)]

    def test_nan_is_told(self, algorithm):
        score = np.zeros((8, 8), np.float32)
        score[3, 3] = np.nan
        assert int(compiled(1, algorithm)(jnp.asarray(score), 10).count) == -1

    def test_floor(self, algorithm):
        score = np.arange(400, dtype=np.float32).reshape(20, 20)
        expected = [pick for pick in sequential.greedy(score, 40, 1)[0] if pick[2] >= 333]
        picks = compiled(1, algorithm)(jnp.asarray(score), 40, floor=jnp.float32(333))
        assert 0 < len(expected) < 40
        check(picks, expected)


@pytest.mark.parametrize("algorithm", ["auto", "local_maxima"])
def test_batched_and_sharded(algorithm):
    rng = np.random.default_rng(0)
    score = rng.integers(0, 9, (16, 32, 48)).astype(np.float32)
    blocked = rng.random(score.shape) < 0.2
    budget = rng.integers(0, CAPACITY + 1, 16).astype(np.int32)

    def select(score, budget, blocked):
        return greedy_picks(
            score, budget, radius=1, capacity=CAPACITY, blocked=blocked, algorithm=algorithm
        )

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = PartitionSpec("data")
    sharded = jax.shard_map(jax.vmap(select), mesh=mesh, in_specs=split, out_specs=split)
    for batched in (jax.jit(jax.vmap(select)), jax.jit(sharded)):
        picks = batched(jnp.asarray(score), jnp.asarray(budget), jnp.asarray(blocked))
        for i in range(16):
            expected = sequential.greedy(score[i], budget[i], 1, blocked[i])[0]
            check(jax.tree.map(lambda x, i=i: x[i], picks), expected)


def test_the_default_is_the_same():
    score = np.random.default_rng(1).standard_normal((40, 50)).astype(np.float32)
    check(compiled(2, "auto")(jnp.asarray(score), 30), sequential.greedy(score, 30, 2)[0])


def test_wrong_arguments():
    score = jnp.zeros((4, 4), jnp.float32)
    with pytest.raises(InputError, match="budget of 9 picks"):
        greedy_picks(score, 9, radius=1, capacity=8)
    with pytest.raises(InputError, match="budget of -1 picks"):
        greedy_picks(score, -1, radius=1, capacity=8)
    with pytest.raises(InputError, match="blocking radius -1"):
        greedy_picks(score, 1, radius=-1, capacity=8)
    with pytest.raises(InputError, match="capacity of 0"):
        greedy_picks(score, 0, radius=1, capacity=0)
    with pytest.raises(InputError, match=r"4 x 4 pixels and a blocking radius of 5 found"):
        greedy_picks(score, 1, radius=5, capacity=8, algorithm="vector_memory")
    with pytest.raises(InputError, match="tournament, local_maxima"):
        greedy_picks(score, 1, radius=1, capacity=8, algorithm="bisection")


def test_blocked_mask_clips_and_ignores_padding():
    row, col = jnp.array([0, 6, -1], jnp.int32), jnp.array([9, 4, -1], jnp.int32)
    expected = np.zeros((7, 10), bool)
    expected[:3, 7:] = True
    expected[4:, 2:7] = True
    np.testing.assert_array_equal(
        jax.jit(blocked_mask, static_argnums=(2, 3))(row, col, (7, 10), 2), expected
    )
    assert not np.asarray(blocked_mask(row[2:], col[2:], (7, 10), 2)).any()
