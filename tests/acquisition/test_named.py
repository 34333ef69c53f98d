import pytest

from cbda_jax.acquisition import named
from cbda_jax.errors import InputError


def test_a_name_of_the_table_or_an_import_path():
    assert named.find({"mine": len}, "mine", "field") is len
    assert named.find({}, "math:sqrt", "field")(4) == 2
    assert named.find({}, "json:JSONDecoder.decode", "field").__name__ == "decode"


def test_a_module_that_fails_while_imported_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "a_broken_module.py").write_text("raise RuntimeError('two\\nlines')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="RuntimeError: two lines") as error:
        named.find({}, "a_broken_module:score", "acquisition.score")
    assert "\n" not in str(error.value)


def test_a_name_is_given_once():
    table = {}
    named.register(table, "mine", len)
    named.register(table, "mine", len)
    with pytest.raises(InputError, match="'mine': found taken"):
        named.register(table, "mine", max)
    with pytest.raises(InputError, match="with a colon"):
        named.register(table, "a:b", max)
