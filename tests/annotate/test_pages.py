import json

import answering
import pytest

from cbda_jax.annotate import pages
from cbda_jax.annotation.people import Ledger

DONE_OTHERWISE = "aAbBsSuUvVxX"


def test_keys():
    assert pages.keys(3) == ["1", "2", "3"]
    assert "".join(pages.keys(19)) == "1234567890qwertyiop"
    many = pages.keys(60)
    assert len(many) == 60
    assert many[50:] == [""] * 10
    given = [key for key in many if key]
    assert len(set(given)) == len(given) == 50
    assert not set(given) & set(DONE_OTHERWISE)


@pytest.mark.parametrize("count", [1, 10, 19, 60])
def test_a_class_has_the_same_key_for_as_many_classes(count):
    assert pages.keys(count) == pages.keys(count)
    assert len(pages.keys(count)) == count


def test_progress_and_summary_are_json(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for name in ("ada", "ben", "<b>"):
            ledger.add_person(name)
        opened = ledger.open_round(answering.queries(6), redundancy=1, hidden=0)
        found = json.loads(json.dumps(pages.summary(opened, ledger.people())))
        assert found["agreement"] is None
        assert found["progress"]["seconds"] is None
        for query in range(6):
            for name in ("ada", "ben"):
                assert opened.record(answering.answer(query, name, b"\1"))
        found = json.loads(json.dumps(pages.summary(opened, ledger.people())))
    assert found["round"] == 1
    assert (found["closed"], found["complete"]) == (False, True)
    assert [(p["name"], p["answers"]) for p in found["people"]] == [
        *(("ada", 6), ("ben", 6), ("<b>", 0))
    ]
    assert found["people"][0]["seconds"] == 2
    assert found["agreement"]["equal"] == 1
    assert found["progress"]["answered"] == found["progress"]["total"] == 6
    assert found["progress"]["by_class"] == {"1": 6}
    assert found["anchoring"]["hidden"] == {"answers": 0, "share": None}
    assert found["anchoring"]["shown"]["answers"] == 12


def test_pages_of_strangers_hold_no_markup_of_others():
    assert "<script>" not in pages.stranger("<script>x</script>")
    assert "&lt;script&gt;" in pages.stranger("<script>x</script>")
    assert "<script>" not in pages.forward('/"><script>')
    assert 'content="0;url=/summary"' in pages.forward("/summary")
