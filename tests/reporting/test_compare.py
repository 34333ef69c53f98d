import json

import pytest
from reported import Page, run

from cbda_jax.errors import InputError
from cbda_jax.reporting import compare


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs that differ in a field; of the second nothing is final."""
    root = tmp_path_factory.mktemp("runs")
    for name, method, final in (("a", "cbda", True), ("b", "ripu", False)):
        run(root / name, final=final)
        config = {"method": method, "seed": 0, "data.rounds": [1, 2], "data.test": "x/test"}
        beside = {"contents": {name: 1}, "history": [{"step": len(name)}]}
        (root / name / "config.json").write_text(json.dumps({**config, **beside}))
    return root / "a", root / "b"


@pytest.fixture(scope="module")
def page(folders, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "compare.html"
    compare.write_comparison(compare.read_runs(folders), path)
    return Page(path)


def test_page_needs_nothing_beside_it(page):
    assert "script" not in page.tags
    assert [link for link in page.links if not link.startswith(("data:image/", "#"))] == []


def test_figures_with_differences_to_the_first(page):
    assert "mIoU % 65.0 60.0 \u22125.0" in page.text
    assert "lowest class % 32.5 30.0 \u22122.5" in page.text
    assert "car 32.5 30.0 \u22122.5 16 16" in page.text
    assert "train - - 0 0" in page.text


def test_what_keeps_runs_from_being_compared_is_said(page):
    assert "Not finished: b; the last evaluation stands in." in page.text
    assert "evaluated on different splits" in page.text
    assert "of different classes" not in page.text
    assert "One seed each" in page.text


def test_cost_and_config(page):
    assert "picks 4 4" in page.text
    assert "answers of people 3 600 3 600" in page.text
    assert "hours of people 2.50 2.50" in page.text
    assert 'method "cbda" "ripu"' in page.text
    assert "data.rounds" not in page.text
    assert "contents" not in page.text
    assert "history" not in page.text


def test_curves_and_the_picks_of_an_image_side_by_side(page):
    assert page.tags.count("svg") == 2
    assert page.tags.count("img") == 2
    assert "a: 2 questions b: 2 questions" in page.text


def test_a_run_without_any_evaluation(folders, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    runs = compare.read_runs([folders[0], tmp_path])
    compare.write_comparison(runs, tmp_path / "page.html")
    assert "mIoU % 65.0 -" in Page(tmp_path / "page.html").text


def test_folders_of_one_name_are_told_apart(tmp_path):
    for parent in ("x", "y"):
        (tmp_path / parent / "run").mkdir(parents=True)
        (tmp_path / parent / "run" / "config.json").write_text("{}")
    found = compare.read_runs([tmp_path / "x/run", tmp_path / "y/run"])
    assert [one.name for one in found] == ["x/run", "y/run"]


def test_what_is_no_run_is_named(folders, tmp_path):
    with pytest.raises(InputError, match=r"no run found \(no config.json\)"):
        compare.read_runs([folders[0], tmp_path])
    with pytest.raises(InputError, match="two workdirs or more, each once"):
        compare.read_runs([folders[0], folders[0]])
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: cannot be read .* restore it"):
        compare.read_runs([folders[0], tmp_path])
