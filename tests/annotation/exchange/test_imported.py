import numpy as np
import pytest
from round_files import message

from cbda_jax.annotation.exchange.imported import Collector


@pytest.fixture
def collector(make_sheet):
    return Collector(make_sheet(n=60))


def test_nothing_read_is_nothing_answered(collector):
    found = collector.done()
    found.check("x")
    assert found.patches.shape == (60, 3, 3)
    assert not found.answered.any()


def test_the_first_of_each_kind_and_how_many(collector, tmp_path):
    listing = tmp_path / "x.problems.txt"
    for number in range(25):
        collector.problem("unknown ids", f"'{number}'")
    collector.problem("unknown images", "'a\nb\udcff'")
    said = message(collector.done().check, "x.json", listing)
    assert said.startswith("x.json: 26 problems found, unknown ids (25): '0', '1', '2',")
    assert ", '19', ...; unknown images (1): 'a\\nb\\udcff'; expected answers" in said
    assert said.endswith(f"nothing of it was taken; all of them are in {listing}")
    lines = listing.read_text().splitlines()
    assert lines[:2] == ["unknown ids: '0'", "unknown ids: '1'"]
    assert len(lines) == 26


def test_few_problems_need_no_file(collector, tmp_path):
    collector.problem("unknown ids", "x" * 1000)
    said = message(collector.done().check, "x.json", tmp_path / "no.txt")
    assert f": {'x' * 200}...; expected" in said
    assert not [*tmp_path.iterdir()]


def test_a_listing_that_cannot_be_written(collector, tmp_path):
    (tmp_path / "file").touch()
    for number in range(25):
        collector.problem("unknown ids", f"'{number}'")
    said = message(collector.done().check, "x.json", tmp_path / "file" / "no.txt")
    assert said.startswith("x.json: 25 problems found")
    assert "nothing of it was taken; cannot write" in said


def test_answers_at_the_border_stay_inside(make_sheet, expect):
    sheet = make_sheet(radius=2, n=60)
    collector = Collector(sheet)
    for place in range(60):
        image_id, row, col = sheet.centre(place)
        collector.point(sheet.query_id(place), image_id, (col + 0.99, row + 0.0), ["void"])
    found = collector.done()
    found.check("x")
    np.testing.assert_array_equal(found.patches, expect(sheet, dict.fromkeys(range(60), 255)))


def test_two_answers_are_a_problem_even_if_they_agree(make_sheet):
    sheet = make_sheet(n=60)
    collector = Collector(sheet)
    image_id, row, col = sheet.centre(7)
    for _ in range(3):
        collector.point("r03-q000007", image_id, (float(col), float(row)), ["sky"])
    assert collector.done().problems == {"ids that are there twice": ("'r03-q000007'",) * 2}
