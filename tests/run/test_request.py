import numpy as np
import pytest

from cbda_jax.run.request import Request, Share, part_of

LARGE, SMALL = (12, 16), (6, 9)
SIZES = np.array([LARGE, SMALL, LARGE, LARGE, SMALL], np.int32)
NOTHING = np.zeros(5, np.int64)


@pytest.mark.parametrize("parts", [1, 2, 7, 30])
def test_small_rounds_of_an_allocation_per_image_add_up_to_the_round(parts):
    request = Request(2, {LARGE: Share(7), SMALL: Share(2)}, "per_image")
    found = [part_of(request, place, parts, SIZES, NOTHING) for place in range(1, parts + 1)]
    limits = np.array([part.limits for part in found])
    np.testing.assert_array_equal(limits.sum(axis=0), [7, 2, 7, 7, 2])
    np.testing.assert_array_equal(limits.sum(axis=1), [part.picks for part in found])
    for part, limit in zip(found, limits, strict=True):
        # What a program has room for is the same in all small rounds.
        assert part.shares == {LARGE: Share(-(-7 // parts)), SMALL: Share(-(-2 // parts))}
        assert all(limit <= [part.shares[tuple(size)].picks for size in SIZES.tolist()])
    # As equal as can be.
    assert np.ptp(limits, axis=0).max() <= 1


def test_images_that_get_few_picks_take_turns():
    sizes = np.tile(np.array(LARGE, np.int32), (6, 1))
    request = Request(1, {LARGE: Share(1)}, "per_image")
    found = [part_of(request, place, 3, sizes, np.zeros(6, int)).limits for place in (1, 2, 3)]
    assert [limits.tolist() for limits in found] == [
        [0, 0, 1, 0, 0, 1],
        [0, 1, 0, 0, 1, 0],
        [1, 0, 0, 1, 0, 0],
    ]


def test_small_rounds_of_a_global_allocation_add_up_and_keep_the_most_of_an_image():
    request = Request(1, {LARGE: Share(5, 8), SMALL: Share(1, None)}, "global", picks=16)
    taken = np.array([3, 4, 8, 0, 0])
    found = [part_of(request, place, 3, SIZES, taken) for place in (1, 2, 3)]
    assert [part.total([]) for part in found] == [5, 5, 6]
    assert all(part.shares == request.shares for part in found)
    unlimited = np.iinfo(np.int32).max
    assert found[1].limits.tolist() == [5, unlimited, 0, 8, unlimited]
    assert part_of(request._replace(picks=None), 1, 1, SIZES, taken).picks == 5 * 3 + 2
