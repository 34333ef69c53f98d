import runpy
from pathlib import Path

import pytest

from cbda_jax.config import FIELDS

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return runpy.run_path(str(SCRIPTS / "write_reference.py"))


def test_the_reference_is_what_the_fields_say(scripts):
    found = scripts["PATH"].read_text(encoding="utf-8")
    assert found == scripts["reference"](), "stale: run python scripts/write_reference.py"
    rows = [line for line in found.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(FIELDS)
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


def test_the_public_functions_are_what_their_docstrings_say(scripts):
    api = scripts["api_reference"]
    found = api.PATH.read_text(encoding="utf-8")
    assert found == api.reference(), "stale: run python scripts/write_reference.py"
    headings = [line.split()[1] for line in found.splitlines() if line.startswith("## ")]
    assert headings == [*api._public()]
    assert "### score_map\n" in found
    assert "__init__" not in found


SOURCE = '''
def ask(pool: list[str], *, most: int | None = None, radius: float = 1.5) -> "dict[str, list[int]]":
    """Asks.

        ask(["a"], most=2)

    Args:
        pool: image ids, of
            two lines (`a`): both.
        most: how many.

    Returns:
        What was asked, by
        image.

    Raises:
        InputError: nothing is there.
    """
'''


def test_a_docstring_as_markdown(scripts, tmp_path):
    api = scripts["api_reference"]
    (tmp_path / "module.py").write_text(SOURCE)
    node = api._definition(tmp_path / "module.py", "ask")
    assert "\n".join(api._definition_lines(node, 2)) == (
        "## ask\n\n```python\n"
        "ask(\n    pool: list[str],\n    *,\n    most: int | None = None,\n"
        "    radius: float = 1.5,\n) -> dict[str, list[int]]\n```\n\n"
        'Asks.\n\n```python\nask(["a"], most=2)\n```\n\n'
        "**Takes**\n\n* `pool`: image ids, of two lines (`a`): both.\n* `most`: how many.\n\n"
        "**Gives**\n\nWhat was asked, by image.\n\n"
        "**Raises**\n\n* `InputError`: nothing is there.\n"
    )
