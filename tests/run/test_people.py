"""Runs whose rounds people answer."""

import functools

import jax
import own_data
import pytest
from tiny import Tiny

from cbda_jax import sharding


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(
        "cbda_jax.models.create_model", lambda _, *given, **named: Tiny(*given, **named)
    )
    one = functools.partial(sharding.make_mesh, jax.devices()[:1])
    monkeypatch.setattr(sharding, "make_mesh", one)


@pytest.fixture
def folder(tmp_path):
    own_data.write(tmp_path / "files" / "yard")
    return tmp_path


def config_of(folder, oracle="people", **declared):
    config = own_data.config_of(folder, **declared)
    config.annotation.oracle = oracle
    config.acquisition.unit = "pixel"
    config.acquisition.rounds = (1, 2, 3)
    config.acquisition.budget = 0.02
    return config
