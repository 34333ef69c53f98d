"""What a budget means in picks, by hand and by placing them."""

import numpy as np
import pytest

from cbda_jax.acquisition import budget
from cbda_jax.acquisition.budget import Budget, Geometry
from cbda_jax.errors import InputError


def test_regions_and_pixels():
    assert budget.geometry("region", 1) == Geometry(label_radius=1, block_radius=2)
    assert budget.geometry("pixel", 32) == Geometry(label_radius=0, block_radius=32)
    assert [budget.geometry(unit, 2).pixels for unit in ("region", "pixel")] == [25, 1]


@pytest.mark.parametrize(
    ("fraction", "unit", "radius", "expected"),
    [
        # RIPU: 5 % of 1024 x 2048 in 3 x 3 regions over five rounds, and 2.2 % ("2.2 %").
        (0.05, "region", 1, 2331),
        (0.022, "region", 1, 1026),
        (40 / (1024 * 2048), "pixel", 32, 8),
    ],
)
def test_picks_of_a_round(fraction, unit, radius, expected):
    squares = budget.geometry(unit, radius)
    assert budget.picks_per_image(fraction, (1024, 2048), 5, squares) == expected


@pytest.mark.parametrize(
    ("unit", "amount", "words"),
    [
        ("answers_per_image", 36, "36 answers an image"),
        ("answers_in_all", 7200, "7,200 answers"),
        ("hours", 3.0, "3 hours"),
    ],
)
def test_picks_that_people_are_paid_for(unit, amount, words):
    found = Budget(amount, unit, answers_per_pick=9, seconds_per_answer=1.5)
    assert str(found) == words
    assert found.picks(200) == 800
    assert found.picks(200) * found.price(200) == pytest.approx(amount)
    assert str(Budget(0.022)) == "2.2 % of all pixels"


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("0.05", 0.05, None),
        ("5e-2", 0.05, None),
        (".05", 0.05, None),
        ("45", 45, None),
        ("5%", 0.05, "pixels"),
        ("2.2%", 0.022, "pixels"),
        (" 2.2 % ", 0.022, "pixels"),
        ("40px", 40, "pixels_per_image"),
        ("40 pixels", 40, "pixels_per_image"),
        ("40PX/image", 40, "pixels_per_image"),
        ("1 pixel", 1, "pixels_per_image"),
        ("100answers", 100, "answers_in_all"),
        ("100 answers / image", 100, "answers_per_image"),
        ("3h", 3, "hours"),
        ("2.5 hours", 2.5, "hours"),
    ],
)
def test_budgets_as_people_say_them(text, amount, unit):
    # The same number, bit for bit: what is the same budget is the same config.
    assert budget.read_budget(text) == (amount, unit)


@pytest.mark.parametrize(
    "text", ["much", "", "5%%", "40px/round", "3h/image", "-5%", "px", "1e999", "nan", "5 % px"]
)
def test_what_is_no_budget_is_told_with_examples(text):
    with pytest.raises(InputError, match=r"budget '.*' found, expected one such as 0\.05, 5%"):
        budget.read_budget(text)


def test_which_part_of_all_pixels_a_budget_is():
    sizes = [(1024, 2048)] * 4
    assert Budget(0.05).fraction(sizes, 9) == 0.05
    assert Budget(40, "pixels_per_image").fraction(sizes, 1) == pytest.approx(1.9e-5, rel=0.01)
    assert Budget(16, "answers_in_all").fraction(sizes, 9) == 4 * 9 / 1024 / 2048
    assert Budget(0.05).whole(sizes, 9) == "5 % of all pixels (0.05)"


def test_picks_are_rounded_down_but_not_by_rounding_errors():
    assert Budget(0.015, "hours", 1, 1.5).picks(1) == 36
    assert Budget(0.01499, "hours", 1, 1.5).picks(1) == 35
    assert Budget(17, "answers_in_all", 9).picks(5) == 1
    parts = [budget.of_round(13, number, 5) for number in range(1, 6)]
    assert parts == [2, 3, 2, 3, 3]


@pytest.mark.parametrize(
    ("share", "cap", "expected"), [(10, 1.1, 11), (10, 1.11, 12), (10, 1, 10), (10, 0, None)]
)
def test_a_cap_is_rounded_up_but_not_by_rounding_errors(share, cap, expected):
    assert budget.capped(share, cap) == expected


@pytest.mark.parametrize("shape", [(5, 7), (9, 9), (12, 20)])
@pytest.mark.parametrize("squares", [Geometry(1, 2), Geometry(0, 3)])
def test_no_order_of_picks_leaves_the_bounds(shape, squares):
    always, most = budget.reach(shape, squares)
    rng, r = np.random.default_rng(0), squares.block_radius
    for _ in range(20):
        blocked, picks = np.zeros(shape, bool), 0
        for at in rng.permutation(blocked.size):
            row, col = divmod(int(at), shape[1])
            if not blocked[row, col]:
                blocked[max(row - r, 0) : row + r + 1, max(col - r, 0) : col + r + 1] = True
                picks += 1
        assert picks <= budget.most_picks(shape, squares)
        fraction = picks * squares.pixels / blocked.size
        assert always <= fraction
        assert min(fraction, 1) <= most
