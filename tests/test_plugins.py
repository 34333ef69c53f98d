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
    assert plugins.find({"mine": len}, "mine", "field") is len
    assert plugins.find({}, "math:sqrt", "field")(4) == 2
    assert plugins.find({}, "json:JSONDecoder.decode", "field").__name__ == "decode"


def test_a_name_is_given_once():
    table = {}
    plugins.register(table, "mine", len)
    plugins.register(table, "mine", len)
    with pytest.raises(InputError, match="'mine': found taken"):
        plugins.register(table, "mine", max)
    with pytest.raises(InputError, match="with a colon"):
        plugins.register(table, "a:b", max)
