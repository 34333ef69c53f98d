"""From network logits to picks in one go: the reference's picks, from our own score maps."""

import jax
import numpy as np
import pytest

from cbda_jax.acquisition import blocked_mask, greedy_picks, pixel_scores, region_scores

SIZE = (128, 256)


def _unpacked(bits):
    return np.unpackbits(bits)[: SIZE[0] * SIZE[1]].reshape(SIZE).astype(bool)


def _logits(arrays, name):
    return arrays[name].transpose(1, 2, 0)


# Scores of every platform, and each with what selects there.
PLATFORMS = {"cpu": "tournament", "gpu": "local_maxima", "tpu": "vector_memory"}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("number", [1, 2])
def test_region_rounds(golden, number, platform):
    arrays = golden("acquisition")
    expected = arrays[f"ra_round{number}_picks"]
    blocked = np.zeros(SIZE, bool)
    if number == 2:
        blocked = _unpacked(arrays["ra_round1_blocked_after"])

    @jax.jit
    def run(logits, blocked):
        score = region_scores(logits, radius=1, size=SIZE, platform=platform).score
        picks = greedy_picks(
            score,
            len(expected),
            radius=2,
            capacity=len(expected),
            blocked=blocked,
            algorithm=PLATFORMS[platform],
        )
        return picks, blocked | blocked_mask(picks.row, picks.col, SIZE, 2)

    picks, after = run(_logits(arrays, f"ra_round{number}_logits"), blocked)
    np.testing.assert_array_equal(np.stack([picks.row, picks.col], axis=1), expected)
    np.testing.assert_array_equal(after, _unpacked(arrays[f"ra_round{number}_blocked_after"]))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_pixels(golden, platform):
    arrays = golden("acquisition")
    expected = arrays["pa_picks"]

    @jax.jit
    def run(logits):
        score = pixel_scores(logits, radius=4, size=SIZE, platform=platform).score
        return greedy_picks(
            score,
            len(expected),
            radius=4,
            capacity=len(expected),
            algorithm=PLATFORMS[platform],
        )

    picks = run(_logits(arrays, "pa_logits"))
    np.testing.assert_array_equal(np.stack([picks.row, picks.col], axis=1), expected)


def test_labelled_squares(golden):
    from cbda_jax.annotation import queried_mask

    arrays = golden("acquisition")
    for number in (1, 2):
        row, col = arrays[f"ra_round{number}_picks"].astype(np.int32).T
        labelled = _unpacked(arrays[f"ra_round{number}_labelled"])
        np.testing.assert_array_equal(queried_mask(row, col, SIZE, 1), labelled)
