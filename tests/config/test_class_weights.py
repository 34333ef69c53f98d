"""The class weights of the loss are schemes of acquisition, told in the words of training."""

import pytest

from cbda_jax.config import base, check, class_weights_of
from cbda_jax.errors import InputError


def _config(**fields):
    config = base()
    for name, value in fields.items():
        config.training[name] = value
    return config


def test_none_by_default():
    assert not class_weights_of(base()).weighted


def test_a_scheme_its_parameters_and_its_limit():
    found = class_weights_of(
        _config(
            class_weights="inverse_power",
            class_weight_options="power=0.5",
            class_weight_ratio=10.0,
        )
    )
    assert found.class_balance == "inverse_power"
    assert found.options == {"power": 0.5}
    assert found.weight_ratio == 10


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"class_weight_options": "power=0.5"},
            "training.class_weight_options: 'power=0.5' found with class_weights 'none'",
        ),
        (
            {"class_weights": "exp", "class_weight_options": "power=0.5"},
            "training.class_weight_options: 'power' found with class_weights 'exp', expected",
        ),
        (
            {"class_weights": "inverse_power", "class_weight_options": "power=-1"},
            "training.class_weight_options: power -1 found, expected a number of 0 or more",
        ),
        (
            {"class_weights": "inverse_power", "class_weight_options": "power"},
            "training.class_weight_options: 'power' found, expected name=number",
        ),
        ({"class_weights": "json:lods"}, "training.class_weights: "),
    ],
)
def test_errors_name_the_fields_of_training(fields, expected):
    with pytest.raises(InputError, match=expected) as error:
        check(_config(**fields))
    assert "acquisition" not in str(error.value)
