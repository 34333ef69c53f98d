"""Fields of methods that cannot be together."""

import pytest

from cbda_jax.errors import InputError
from cbda_jax.methods import METHODS, Method, contradictions
from cbda_jax.run import assembly
from configs import synthetic


def resolve(method, **changes):
    config = synthetic.get_config(f"method={method}")
    config.acquisition.update(changes)
    return assembly.resolve_method(config)


@pytest.mark.parametrize("name", METHODS)
def test_named_methods_hold_together(name):
    assert resolve(name) == METHODS[name]
    assert not list(contradictions(METHODS[name]))


def test_fields_set_by_hand():
    changes = {
        "class_evidence": "corrected",
        "weight_ratio": 5,
        "balance_from": 2,
        "image_cap": 2,
        "ties": "random",
    }
    expected = Method(class_balance="exp", allocation="global", **changes)
    assert resolve("cbda_plain", **changes) == expected
    assert resolve("ripu", impurity_floor=0.01) == Method(impurity_floor=0.01)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("cb", {"class_evidence": "argmx"}, "did you mean 'argmax'"),
        ("cb", {"ties": "rand"}, "expected one of reference, random, class_balanced"),
        ("cb", {"class_balance": "quota"}, "allocation: 'per_image' found with class_balance"),
        ("cbda_quota", {"class_evidence": "expected"}, "class_evidence: 'expected' found"),
        ("cbda_quota", {"class_evidence": "true"}, "class_evidence: 'true' found"),
        ("ripu", {"class_evidence": "corrected"}, "with class_balance 'none'"),
        ("cbda_quota", {"weight_ratio": 4.0}, "weight_ratio: 4 found with class_balance 'quota'"),
        ("ripu", {"balance_from": 2}, "balance_from: 2 found with class_balance 'none'"),
        ("cbda", {"balance_from": 6}, "balance_from: 6 found, expected at most 5, the number"),
        ("cbda", {"class_balance": "quota"}, "image_cap: 2 found with class_balance .quota."),
        ("cb", {"image_cap": 2.0}, "image_cap: 2 found with allocation 'per_image'"),
        ("random_regions", {"ties": "random"}, "ties: 'random' found with score 'random'"),
        ("entropy", {"impurity_floor": 0.1}, "impurity_floor: 0.1 found with score 'entropy'"),
        ("ripu", {"impurity_floor": 0.1, "ties": "random"}, "expected one of them alone"),
    ],
)
def test_impossible_together(method, changes, message):
    with pytest.raises(InputError, match=message) as error:
        resolve(method, **changes)
    assert "\n" not in str(error.value)


def test_methods_that_acquire_nothing_ignore_how_it_would_be_done():
    assert not resolve("source_only", image_cap=2.0).acquires


def test_a_methods_own_balance_may_begin_after_the_last_round():
    assert resolve("cbda", rounds=(400, 500)).balance_from == 3
