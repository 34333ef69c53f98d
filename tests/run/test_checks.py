"""What a config alone cannot tell: files that it names, and what its images allow."""

import pytest

from cbda_jax.errors import InputError
from cbda_jax.methods import get_method
from cbda_jax.run import checks


def _message(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("budget", [0, -0.1, 1.01])
def test_region_budget_out_of_range(budget):
    with pytest.raises(InputError) as error:
        checks.check_budget(budget, get_method("ripu"), (96, 192))
    assert f"acquisition.budget: {budget:g} found, expected above 0 and at most 1," in _message(
        error
    )


def test_pixel_budget_above_what_the_blocking_radius_reaches():
    with pytest.raises(InputError) as error:
        checks.check_budget(0.05, get_method("ripu_pixel"), (1024, 2048))
    # 32 x 63 pixels, 33 apart.
    assert "at most 0.0009613, all that picks of unit pixel and radius 32 reach" in _message(error)


def test_a_budget_that_may_not_be_spent_is_noted(capsys):
    checks.check_budget(0.5, get_method("ripu"), (96, 192))
    assert "note: acquisition.budget of 0.5 is above 0.36" in capsys.readouterr().err
    checks.check_budget(0.36, get_method("ripu"), (96, 192))
    assert not capsys.readouterr().err


def test_a_folder_that_is_no_run_is_no_weights(tmp_path):
    with pytest.raises(InputError) as error:
        checks.check_pretrained(str(tmp_path))
    assert f"{tmp_path} is a folder without checkpoints/" in _message(error)


def test_missing_weights_name_the_file(tmp_path):
    with pytest.raises(InputError) as error:
        checks.check_pretrained(str(tmp_path / "none.safetensors"))
    assert str(tmp_path / "none.safetensors") in _message(error)
