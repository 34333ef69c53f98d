"""What the loss is balanced by, from the labels so far."""

import json

import numpy as np
import pytest
import tiny

from cbda_jax import acquisition, training
from cbda_jax.annotation import QueryLog
from cbda_jax.config import base
from cbda_jax.errors import InputError
from cbda_jax.run import experiment
from cbda_jax.run.loss_balance import is_balanced, loss_balance

COUNTS = np.array([900, 90, 10, 0])


def _config(**fields):
    config = base()
    for name, value in fields.items():
        config.training[name] = value
    return config


def zeros(counts):
    """A scheme that makes no weights."""
    return 0 * counts


def test_off_by_default():
    assert not is_balanced(base())
    assert loss_balance(base(), COUNTS) == training.UNBALANCED


@pytest.mark.parametrize("fields", [{"class_weights": "inverse_power"}, {"logit_adjustment": 1.0}])
def test_nothing_is_balanced_before_the_first_label(fields):
    config = _config(**fields)
    assert is_balanced(config)
    assert loss_balance(config, np.zeros(4, np.int64)) == training.UNBALANCED


def test_weights_are_those_of_the_scheme():
    found = loss_balance(_config(class_weights="inverse_log"), COUNTS)
    np.testing.assert_array_equal(found.weights, acquisition.class_weights(COUNTS, "inverse_log"))
    assert found.offsets is None


def test_weights_are_limited():
    config = _config(
        class_weights="inverse_power", class_weight_options="power=2", class_weight_ratio=10.0
    )
    weights = loss_balance(config, COUNTS).weights
    np.testing.assert_allclose(weights.max() / weights.min(), 10, rtol=1e-5)
    assert (np.diff(weights) >= 0).all()


def test_logits_are_adjusted_by_the_logarithm_of_the_share():
    found = loss_balance(_config(logit_adjustment=0.5), np.array([600, 300, 100, 0]))
    assert found.weights is None
    # A hundredth of an even share, 2.5, is added to each.
    share = np.array([602.5, 302.5, 102.5, 2.5]) / 1010
    np.testing.assert_allclose(found.offsets, 0.5 * np.log(share), rtol=1e-6)


def test_both_together():
    found = loss_balance(_config(class_weights="exp", logit_adjustment=1.0), COUNTS)
    assert found.weights is not None
    assert found.offsets is not None


def test_a_scheme_that_makes_no_weights_is_told_of_training():
    with pytest.raises(InputError, match=r"training\.class_weights: ") as error:
        loss_balance(_config(class_weights=f"{__name__}:zeros"), COUNTS)
    assert "acquisition" not in str(error.value)


def _run_config(data_dir, **fields):
    config = tiny.scenes("method=ripu,steps=6,budget=0.2", data_dir, native=2)
    config.training.update(fields)
    return config


def _losses(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    records = [record for line in lines if (record := json.loads(line))["kind"] == "train"]
    return [(r["step"], r["loss"], r["cross_entropy_target"]) for r in records]


@pytest.mark.slow
def test_a_run_is_balanced_from_its_first_answers_on_and_resumes_the_same(tmp_path, monkeypatch):
    tiny.use(monkeypatch, devices=2)
    plain = tmp_path / "plain"
    experiment.run(_run_config(tmp_path / "data"), plain)
    config = _run_config(
        tmp_path / "data",
        class_weights="inverse_power",
        class_weight_options="power=0.5",
        logit_adjustment=1.0,
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    experiment.run(config, whole)
    assert _losses(whole)[:2] == _losses(plain)[:2]
    assert all(a != b for a, b in zip(_losses(whole)[2:], _losses(plain)[2:], strict=True))
    # Between the rounds, then to the end.
    experiment.run(config, stopped, until=3)
    experiment.run(config, stopped)
    assert _losses(stopped) == _losses(whole)
    first, second = (QueryLog(workdir / "queries").rounds for workdir in (whole, stopped))
    assert [queries.checksum for queries in first] == [queries.checksum for queries in second]


@pytest.mark.slow
def test_full_supervision_is_balanced_by_all_labels_from_the_first_step(tmp_path, monkeypatch):
    tiny.use(monkeypatch)
    losses = []
    for weights in ("none", "inverse_power"):
        config = _run_config(tmp_path / "data", class_weights=weights)
        config.method, config.training.steps = "full_supervision", 1
        experiment.run(config, tmp_path / weights)
        losses.append(_losses(tmp_path / weights)[0][2])
    assert losses[0] != losses[1]
