import re
import sys

import pytest

from cbda_jax import plugins
from cbda_jax.errors import InputError


def test_an_object_by_its_path():
    assert plugins.load("math:pi", "network") == pytest.approx(3.14159265)
    assert plugins.is_path("math:pi")
    assert not plugins.is_path("math.pi")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_module_of_this_name:x", "(ModuleNotFoundError: No module"),
        ("json:load_", "expected an object of the module json; did you mean 'load'?"),
        ("math:", "expected an object of the module math"),
        (":pi", "(ValueError: Empty module name)"),
    ],
)
def test_a_path_that_leads_nowhere(path, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        plugins.load(path, "acquisition.score")
    assert str(error.value).startswith(f"acquisition.score: {path!r} found, expected ")


def test_a_module_that_fails(tmp_path, monkeypatch):
    (tmp_path / "fails_at_import.py").write_text("raise RuntimeError('two\\nlines')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"\(RuntimeError: two lines\)"):
        plugins.load("fails_at_import:x", "network")
    assert "fails_at_import" not in sys.modules


def test_a_name_of_the_table_or_an_import_path():
    assert plugins.find({"mine": 7}, "mine", "field", example="a:b") == 7
    assert plugins.find({}, "math:pi", "field", example="a:b") == pytest.approx(3.14159265)
    assert plugins.find_function({"mine": len}, "mine", "field") is len
    assert plugins.find_function({}, "math:sqrt", "field")(4) == 2
    assert plugins.find_function({}, "json:JSONDecoder.decode", "field").__name__ == "decode"
    with pytest.raises(InputError) as error:
        plugins.find({"mine": 7}, "mime", "field", example="a:b", others=("none",))
    assert str(error.value) == (
        "field: 'mime' found, expected one of none, mine, or an import path 'a:b'; "
        "did you mean 'mine'?"
    )
    with pytest.raises(InputError, match="field: 'math:pi' found, a float, expected a function"):
        plugins.find_function({}, "math:pi", "field")


def test_a_name_is_given_once():
    table = {}
    first = (1, 2)
    assert plugins.register(table, "mine", first, "thing") is first
    # An equal one does no harm.
    assert plugins.register(table, "mine", tuple(iter(first)), "thing") is first
    with pytest.raises(InputError, match=r"thing 'mine': a taken name found, .* than mine"):
        plugins.register(table, "mine", (3,), "thing")
    with pytest.raises(InputError, match="thing 'a:b': this name found, expected letters, digits"):
        plugins.register(table, "a:b", (3,), "thing")
    assert table == {"mine": first}
