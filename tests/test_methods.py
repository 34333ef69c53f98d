"""Fields of methods that cannot be together."""

import pytest

from cbda_jax.acquisition import Balance, Scoring
from cbda_jax.errors import InputError
from cbda_jax.methods import FIELDS, METHODS, Method, contradictions
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
    scoring = {"class_evidence": "corrected", "ties": "random"}
    balance = {"weight_ratio": 5, "balance_from": 2}
    expected = Method(
        Scoring(**scoring), Balance("exp", **balance), allocation="global", image_cap=2
    )
    assert resolve("cbda_plain", **scoring, **balance, image_cap=2) == expected
    assert resolve("ripu", impurity_floor=0.01) == Method(Scoring(impurity_floor=0.01))
    assert resolve("ripu", clamp_impurity=True) == Method(Scoring(clamp_impurity=True))
    assert resolve("pixelpick", share=0.1).scoring.share == 0.1
    assert resolve("ripu", sub_rounds=3, flip=True) == Method(sub_rounds=3, flip=True)
    assert resolve("ripu", avoid_void=True) == Method(balance=Balance(avoid_void=True))
    # A method's own ties give way to what ranks regions of one class otherwise, or not at all.
    assert METHODS["cbda"].scoring.ties == "balanced_uncertainty"
    for others in ({"score": "entropy"}, {"impurity_floor": 0.05}, {"clamp_impurity": True}):
        assert resolve("cbda", **others).scoring.ties == "reference"
    assert resolve("cbda", score="impurity").scoring.ties == "balanced_uncertainty"
    own_weights = resolve("ripu", ties="balanced_uncertainty", balance_from=2, weight_ratio=4)
    assert own_weights.balance.balance_from == 2
    options = "power=0.5,prior=0.1"
    assert resolve("cbda", class_balance_options=options).balance.options == {
        "power": 0.5,
        "prior": 0.1,
    }


def test_every_field_of_a_method_is_a_field_of_the_config():
    config = synthetic.get_config()
    assert set(FIELDS) <= set(config.acquisition)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("cb", {"class_evidence": "argmx"}, "did you mean 'argmax'"),
        ("cb", {"ties": "rand"}, "expected one of reference, random, class_balanced"),
        ("cb", {"class_balance": "quota"}, "allocation: 'per_image' found with class_balance"),
        ("cbda_quota", {"class_evidence": "expected"}, "class_evidence: 'expected' found"),
        ("cbda_quota", {"class_evidence": "true"}, "class_evidence: 'true' found"),
        ("cbda_quota", {"class_evidence": "nearest"}, "class_evidence: 'nearest' found"),
        ("cb", {"sub_rounds": 0}, "sub_rounds: 0 found, expected 1 or more"),
        ("ripu", {"class_evidence": "corrected"}, "with class_balance 'none'"),
        ("cbda_quota", {"weight_ratio": 4.0}, "weight_ratio: 4 found with class_balance 'quota'"),
        ("ripu", {"balance_from": 2}, "balance_from: 2 found with class_balance 'none'"),
        ("cbda", {"balance_from": 6}, "balance_from: 6 found, expected at most 5, the number"),
        ("cbda", {"class_balance": "quota"}, "image_cap: 2 found with class_balance .quota."),
        ("cb", {"image_cap": 2.0}, "image_cap: 2 found with allocation 'per_image'"),
        ("random_regions", {"ties": "random"}, "ties: 'random' found with score 'random'"),
        ("margin", {}, "method: 'margin' found, expected one of"),
        ("ripu", {"share": 0.1}, "share: 0.1 found with score 'ripu'"),
        ("cbda", {"class_balance_options": "pover=2"}, "did you mean 'power'"),
        ("cbda", {"class_balance_options": "power=-2"}, "power -2 found, expected a number of 0"),
        ("cbda", {"class_balance_options": "power"}, "'power' found, expected name=number"),
        ("cb", {"class_balance_options": "power=2"}, "expected nothing: it has no parameters"),
        ("ripu", {"class_balance_options": "power=2"}, "found with class_balance 'none'"),
        ("cbda", {"class_balance": "no_such_module:scheme"}, "No module named 'no_such_module'"),
        ("cb", {"allocation": "locally"}, "expected one of per_image, global"),
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
    assert resolve("cbda", rounds=(400, 500)).balance.balance_from == 3
