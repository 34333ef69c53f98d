"""The table of fields itself."""

import pytest

from cbda_jax.config import FIELDS, SECTIONS


def test_every_field_is_declared_once():
    names = [field.name for fields in SECTIONS.values() for field in fields]
    assert len(names) == len(set(names)) == len(FIELDS)


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_a_default_is_allowed_and_has_a_meaning(field):
    assert field.problem(None if field.is_unset else field.default) is None
    assert field.meaning.endswith(".")
    assert not field.rule.expected.endswith(".")


def test_what_a_result_depends_on_never_changes():
    free = {name for name, field in FIELDS.items() if field.change == "resume"}
    assert free == {
        *("compilation_cache", "data.dir", "data.cache", "data.root", "data.threads"),
        *("checkpoint.every", "checkpoint.keep", "report.log_every"),
        *("report.gallery", "report.worst", "report.tracker"),
        *("annotation.redundancy", "annotation.hidden"),
    }
