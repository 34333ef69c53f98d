import jinja2
import pytest
from reported import Page

from cbda_jax.reporting import page

EMPTY = {
    **dict.fromkeys(("figures", "cost", "charts", "classes", "config", "images"), ()),
    "title": "<a> took 3 s",
    "names": ["<a>", "b"],
    "notes": ["12 345 pixels"],
    "left_out": 0,
    "legend": [],
}


def test_text_is_escaped_and_the_page_needs_nothing(tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(page.render("compare.html.j2", EMPTY))
    found = Page(path)
    assert "<a> took 3 s" in found.text
    assert found.links == []
    assert "script" not in found.tags


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="notes"):
        page.render("compare.html.j2", {n: v for n, v in EMPTY.items() if n != "notes"})
