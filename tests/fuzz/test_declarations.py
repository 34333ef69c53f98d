"""Declarations and patterns of any content: a data set, or one line that says what is wrong."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbda_jax.data.datasets.patterns import Pattern
from cbda_jax.data.declaration import Declaration

FUZZ = settings.get_profile("fuzz")
NAMES = st.sampled_from(
    ["grass", "path", "train", "images", "labels", "files", "", "a b", "A", "x" * 99]
)
TEXTS = st.sampled_from(
    [
        "{split}/{id}.jpg",
        "{id}.{png|jpg}",
        "{a}/{b}/{id}_l.png",
        "x.png",
        "{",
        "{}",
        "**/{id}.png",
        "/{id}",
    ]
) | st.text(alphabet="{}*|/.ab_\\(+ü", max_size=12)
PLAIN = st.none() | st.booleans() | st.integers(-2, 300) | st.floats() | TEXTS | NAMES
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner, inner)
        | st.dictionaries(NAMES, inner, max_size=4)
    ),
    max_leaves=8,
)
COLOURS = st.tuples(*3 * [st.integers(-1, 256)]) | st.lists(st.integers(0, 255), max_size=4)
FIELDS = {
    "classes": VALUES | st.dictionaries(NAMES, COLOURS, max_size=4) | st.lists(NAMES, max_size=4),
    "splits": VALUES | st.lists(NAMES, max_size=3),
    "images": VALUES | TEXTS,
    "labels": VALUES | TEXTS,
    "encoding": VALUES | st.sampled_from(["index", "grey", "colour", "red16", "cityscapes_ids"]),
    "values": VALUES | st.dictionaries(NAMES, COLOURS | st.integers(-1, 256), max_size=4),
    "void": VALUES | st.lists(st.integers(-1, 256), max_size=3) | st.lists(COLOURS, max_size=3),
    "label_size": VALUES,
    "folder": VALUES,
    "clases": VALUES,
}


@FUZZ
@given(values=st.fixed_dictionaries({}, optional=FIELDS))
def test_declarations_of_any_fields(attempt, values):
    found = attempt(Declaration.of, "yard", values)
    if found is not None:
        # What is accepted is a whole data set.
        assert len(found.space.classes) >= 2
        assert found.splits
        assert found.encoding.table(found.space).shape == (256,)
        assert found.layout


@FUZZ
@given(values=st.fixed_dictionaries({name: FIELDS[name] for name in ("classes", "values", "void")}))
@pytest.mark.parametrize("encoding", ["index", "colour"])
def test_declarations_that_are_nearly_right(attempt, encoding, values):
    whole = {"splits": ["train"], "images": "{id}.png", "labels": "l/{id}.png"}
    attempt(Declaration.of, "yard", {**whole, "encoding": encoding, **values})


@FUZZ
@given(text=TEXTS, path=TEXTS)
def test_patterns_of_any_text(attempt, text, path):
    pattern = attempt(Pattern, text)
    if pattern is None:
        return
    parts = pattern.match(path)
    if parts is not None:
        assert tuple(parts) == pattern.parts
        assert all(part and "/" not in part for part in parts.values())
    # A path that is written by the pattern matches it.
    written = re.sub(r"\{(\w+)\}", "7", text.replace("**/", "").replace("*", ""))
    written = re.sub(r"\{([^{}|]*)\|[^{}]*\}", r"\1", written)
    below = written.removeprefix(pattern.folder).removeprefix("/")
    assert pattern.match(below) is not None
