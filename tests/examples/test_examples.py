"""The examples run as they say, and what they add reaches a run through the config alone."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax import acquisition
from cbda_jax.run import assembly
from configs import synthetic

EXAMPLES = Path(__file__).parents[2] / "examples"
_LIMIT_S = 240


def run(name):
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_score_your_logits():
    picks = [
        tuple(map(int, re.findall(r"\d+", line))) for line in run("score_your_logits").splitlines()
    ]
    assert len(set(picks)) == 8
    assert all(0 <= row < 128 and 0 <= col < 256 for row, col in picks)
    for i, one in enumerate(picks):
        assert all(max(abs(one[0] - r), abs(one[1] - c)) > 2 for r, c in picks[:i])


def test_a_new_scheme_prints_its_weights():
    first, second = run("a_new_scheme").splitlines()
    weights = [float(x) for x in re.findall(r"\d\.\d+", first)[1:]]
    assert weights == sorted(weights)
    assert "temperature 1.0" in second


def test_a_new_score_prints_its_picks():
    scores = [float(line.rsplit(" ", 1)[1]) for line in run("a_new_score").splitlines()]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)


@pytest.fixture
def importable(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    # What they register is gone with them.
    for table, name in ((acquisition.SCORES, "ratio"), (acquisition.SCHEMES, "tempered")):
        table.pop(name, None)
    for name in ("a_new_score", "a_new_scheme"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("importable")
def test_a_config_names_them_and_nothing_else_is_touched():
    config = synthetic.get_config("method=cb")
    config.acquisition.score = "a_new_score:ratio"
    config.acquisition.class_balance = "a_new_scheme:tempered"
    config.acquisition.class_balance_options = "temperature=0.5"
    method = assembly.resolve_method(config)
    counts = np.array([5, 1])
    balance = acquisition.round_balance(
        method.balance, 2, counts=counts.copy, confusion=lambda: np.eye(2, dtype=np.int64)
    )
    expected = np.exp((1 - counts / 6) / 0.5)
    np.testing.assert_allclose(balance.weights, expected / expected.mean(), rtol=1e-6)
    logits = jax.random.normal(jax.random.key(0), (6, 7, 2))
    scoring = acquisition.Scoring(unit="pixel", radius=0, score=method.scoring.score)
    p = np.sort(np.asarray(jax.nn.softmax(logits)))
    maps = acquisition.score_maps(jnp.asarray(logits), scoring)
    np.testing.assert_allclose(maps.score, p[..., 0] / p[..., 1], rtol=1e-4)


def test_examples_are_importable_without_running():
    for path in EXAMPLES.glob("score_your_logits.py"):
        assert "ask" in runpy.run_path(str(path))
