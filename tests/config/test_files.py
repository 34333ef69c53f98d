"""Config files: those beside you, and those that come along."""

import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from cbda_jax.config import files as config_files
from cbda_jax.errors import InputError

ROOT = Path(__file__).parents[2]
MINE = "def get_config(argument='nothing'):\n    return ['mine', argument]\n"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["synthetic", "synthetic.py", "configs/synthetic.py"])
def test_elsewhere_it_is_the_one_that_comes_along(elsewhere, name):
    expected = str(ROOT / "configs" / "synthetic.py")
    assert config_files.find(name) == expected
    assert config_files.find(f"{name}:method=ripu") == f"{expected}:method=ripu"
    assert config_files.load(f"{name}:method=ripu").method == "ripu"


def test_the_file_beside_you_wins(elsewhere):
    (elsewhere / "configs").mkdir()
    (elsewhere / "configs" / "synthetic.py").write_text(MINE)
    assert config_files.find("configs/synthetic.py:a=1") == "configs/synthetic.py:a=1"
    assert config_files.load("configs/synthetic.py") == ["mine", "nothing"]
    assert config_files.load("configs/synthetic.py:a=b:c") == ["mine", "a=b:c"]


def test_every_file_comes_along_and_loads(elsewhere):
    found = config_files.packaged()
    assert {"synthetic", "gta2city", "synthia2city", "sweeps/synthetic"} <= found.keys()
    for name in found:
        config_files.load(name)


@pytest.mark.parametrize("name", ["none", "configs/none.py:method=cbda", "../synthetic", "/etc"])
def test_a_missing_one_lists_what_comes_along(elsewhere, name):
    with pytest.raises(InputError) as error:
        config_files.find(name)
    assert str(error.value).startswith(f"{name.partition(':')[0]} not found, expected a file or")
    assert "gta2city, sweeps/answers" in str(error.value)
    with pytest.raises(InputError, match=r"did you mean 'synthetic'\?"):
        config_files.find("configs/sinthetic.py")


def test_the_flag_of_a_command_is_completed(elsewhere):
    path = str(ROOT / "configs" / "synthetic.py")
    given = ["main", "--config=synthetic:seed=1", "--config.seed=2", "--workdir=synthetic"]
    assert config_files.find_in(given) == ["main", f"--config={path}:seed=1", *given[2:]]
    assert config_files.find_in(["main", "--config", "synthetic"]) == ["main", "--config", path]
    assert config_files.find_in(["main", "--config"]) == ["main", "--config"]
    with pytest.raises(InputError, match="--config: none not found"):
        config_files.find_in(["main", "--config=none"])


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("0.05", ["budget=0.05"]),
        ("5%", ["budget=0.05", "budget_in=pixels"]),
        ("40px", ["budget=40.0", "budget_in=pixels_per_image"]),
        ("3h", ["budget=3.0", "budget_in=hours"]),
    ],
)
def test_a_budget_with_its_unit_becomes_two_fields(said, fields):
    expected = ["main", "--x=1", *(f"--config.acquisition.{field}" for field in fields), "--y"]
    flag = "--config.acquisition.budget"
    assert config_files.find_in(["main", "--x=1", f"{flag}={said}", "--y"]) == expected
    assert config_files.find_in(["main", "--x=1", flag, said, "--y"]) == expected
    assert config_files.find_in(["main", flag]) == ["main", flag]


def test_a_budget_that_is_not_understood_or_in_two_units(elsewhere):
    flag = "--config.acquisition.budget"
    with pytest.raises(InputError, match=r"--config.acquisition.budget: budget 'much' found, exp"):
        config_files.find_in(["main", f"{flag}=much"])
    for given in ([f"{flag}=5%"], ["--config=synthetic:seed=1,budget=5%"]):
        both = ["main", *given, f"{flag}_in=hours"]
        with pytest.raises(InputError, match=r"'hours' found with a budget of '5%', which is in p"):
            config_files.find_in(both)
        # Said twice, it is the same.
        assert config_files.find_in([*both[:-1], f"{flag}_in=pixels"])
    assert config_files.find_in(["main", f"{flag}=3", f"{flag}_in=hours"])


# The library loads the file in a way that Python has deprecated.
@pytest.mark.filterwarnings("ignore:the load_module")
def test_the_library_of_configs_finds_both_fields(elsewhere, monkeypatch):
    """It reads `sys.argv`, whatever absl is given."""
    monkeypatch.setattr(sys, "argv", ["main"])
    given = config_files.complete_command(
        ["main", "--config=synthetic", "--config.acquisition.budget=40px"]
    )
    flag = config_flags.DEFINE_config_file("config", flag_values=(values := flags.FlagValues()))
    values(given)
    assert flag.value.acquisition.budget == 40
    assert flag.value.acquisition.budget_in == "pixels_per_image"
