"""Configs by name, and runs as the command makes them."""

import json

import pytest

import cbda_jax
from cbda_jax import api
from cbda_jax.api import starting
from cbda_jax.errors import InputError


def test_a_config_with_short_names():
    config = cbda_jax.load_config("synthetic", method="ripu", budget=0.1, steps=7)
    assert (config.method, config.acquisition.budget, config.training.steps) == ("ripu", 0.1, 7)
    same = cbda_jax.load_config("configs/synthetic.py:method=ripu,steps=7", budget=0.1)
    assert same.to_json() == config.to_json()
    # Which is cbda, or another one where people answer.
    assert cbda_jax.load_config("synthetic").method is None


def test_a_config_of_ones_own(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from cbda_jax.config import base\ndef get_config(argument=None):\n"
        "    config = base()\n    config.seed = 9\n    return config\n"
    )
    assert cbda_jax.load_config(str(tmp_path / "mine.py")).seed == 9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "synthetik"}, r"synthetik not found.*did you mean 'synthetic'"),
        ({"name": "synthetic", "metod": "cb"}, r"'synthetic': .*did you mean 'method'"),
        ({"name": "synthetic", "seed": "one"}, r"'seed=one' found, expected a value of type int"),
        ({"name": "synthetic", "pretrained": "a,b"}, r"pretrained='a,b' found.*without a comma"),
    ],
)
def test_what_is_mistyped(given, message):
    with pytest.raises(InputError, match=message) as caught:
        cbda_jax.load_config(**given)
    assert "\n" not in str(caught.value)


def test_a_run_has_what_it_asks_of_jax(monkeypatch, tmp_path):
    """Compiled programs are kept and rounding is asked for, as the command does."""
    asked = {}
    monkeypatch.setattr(starting.compilation, "keep", lambda folder: asked.update(keep=folder))
    monkeypatch.setattr(starting.determinism, "request", lambda: asked.update(same=True))

    def run(config, folder, **named):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"seed": config.seed}))
        asked.update(named, folder=folder)

    monkeypatch.setattr(starting.experiment, "run", run)
    config = cbda_jax.load_config("synthetic", seed=4)
    config.compilation_cache, config.deterministic = "kept", True
    found = cbda_jax.train(config, tmp_path / "run", until=3, wait=True)
    assert isinstance(found, api.Run)
    assert found.config.seed == 4
    folder = tmp_path / "run"
    assert asked == {"keep": "kept", "same": True, "until": 3, "wait": True, "folder": folder}


def test_where_there_is_no_run(tmp_path):
    with pytest.raises(InputError, match="no run found"):
        cbda_jax.open_run(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: cannot be read"):
        cbda_jax.open_run(tmp_path)
