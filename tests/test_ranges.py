import math

import ml_collections
import pytest

from cbda_jax import ranges
from cbda_jax.errors import InputError
from configs import common, gta2city, synthetic, synthia2city

# Looked up by name, each with its own error, or a path, or text of any kind.
ELSEWHERE = {
    "checkpoint.dir",
    *("method", "num_classes", "network", "pretrained", "dtype", "compilation_cache"),
    *("data.dir", "data.root", "data.source", "data.source_files"),
    *("data.target", "data.val", "data.test", "data.source_order"),
    *(f"data.synthetic_city.{name}" for name in ("source_train", "target_train", "target_val")),
    *("data.synthetic_city.target_test", "data.synthetic_city.seed"),
    *("training.optimizer", "training.consistency"),
    *(f"acquisition.{name}" for name in ("score", "unit", "class_balance", "allocation")),
    *("acquisition.class_evidence", "acquisition.class_balance_options", "acquisition.ties"),
}

BAD = {
    "seed": (-1, 2**31, True, 0.0),
    "data.source_size": ((0, 64), (64,), (64, 64, 64), (64.5, 64), (True, 64), 64, (64, 10**9)),
    "data.target_size": ((31, 64), (), "64x64", None),
    "data.source_batch": (0, -2, 1.5),
    "data.target_batch": (0, -2, None),
    "data.flip": (1, "yes", None),
    "data.rare_class_temperature": (0, -0.1, math.inf, math.nan),
    "data.source_free": (0, None),
    "data.threads": (0, -1, 2.0, 10**6),
    "training.steps": (0, -5, 1e3),
    "training.learning_rate": (-1e-3, math.nan, math.inf, "0.1", None),
    "training.head_multiplier": (-1, math.inf),
    "training.momentum": (1, 2.0, -0.5, math.nan, True),
    "training.weight_decay": (-1e-4, math.nan),
    "training.schedule_steps": (0, -1),
    "training.schedule_power": (-0.9, math.nan),
    "training.warmup": (-1, 0.5),
    "training.restart_each_round": (1, "False"),
    "training.accumulate": (0, -1, 2.0),
    "training.ema": (1.0, -0.1, math.nan),
    "training.colour_jitter": (-0.1, 1.1, math.nan),
    "training.scale_range": ((0, 1), (2.0, 1.0), (1.0,), 1.0, (1.0, math.inf), ("a", "b")),
    "training.source_weight": (-1, math.nan),
    "training.target_weight": (-1, math.inf),
    "training.consistency_weight": (-0.1, None),
    "training.negative_weight": (-1, math.nan),
    "training.negative_threshold": (0, 1, 1.5, -0.1, math.nan),
    "acquisition.budget": (-0.1, 1.1, math.nan),
    "acquisition.rounds": ((2.5,), ("400",), 400, (True,)),
    "acquisition.radius": (-1, 1.0, 513, True),
    "acquisition.share": (0, 1.1, math.nan, True, "0.05"),
    "acquisition.weight_ratio": (-1, 0.5, math.inf, True, "4"),
    "acquisition.balance_from": (0, 1.0, True, 1001),
    "acquisition.image_cap": (-1, 0.9, math.nan, True),
    "acquisition.impurity_floor": (-1e-3, 1.1, math.nan, True),
    "acquisition.clamp_impurity": (0, None),
    "acquisition.batch_per_device": (0, -1),
    "evaluation.every": (-1, 0.5),
    "evaluation.flip": (1, None),
    "evaluation.scales": ((), (0.0,), (1.0, -1.0), 1.0, (math.nan,), ("1",)),
    "evaluation.batch_per_device": (0, -1),
    "checkpoint.every": (0, -1),
    "checkpoint.keep": (0, -1),
    "report.log_every": (0, -1),
    "report.gallery": (-1, 2.5),
}

GOOD = {
    "seed": (0, 2**31 - 1),
    "training.learning_rate": (0, 1e38),
    "training.momentum": (0, 0.999),
    "training.scale_range": ((0.5, 2), [1, 1]),
    "training.negative_threshold": (0.05, 0.999),
    "acquisition.budget": (0, 1, 1.0),
    "acquisition.rounds": ((), [0, 5]),
    "acquisition.radius": (None, 0, 32),
    "acquisition.share": (None, 0.05, 1),
    "acquisition.weight_ratio": (None, 0, 1, 4.5),
    "acquisition.balance_from": (None, 1, 2),
    "acquisition.image_cap": (None, 0, 1, 1.5),
    "acquisition.impurity_floor": (None, 0, 1e-3),
    "evaluation.every": (0, 10**6),
    "evaluation.scales": ((1,), [0.75, 1.0, 1.25]),
    "report.gallery": (0,),
}


def changed(field, value):
    """The embedded experiment as plain values, which no type protects."""
    values = synthetic.get_config().to_dict()
    section, _, name = field.rpartition(".")
    (values[section] if section else values)[name] = value
    return ml_collections.ConfigDict(values)


@pytest.mark.parametrize("experiment", [common, synthetic, gta2city, synthia2city])
def test_experiments_pass(experiment):
    config = common.base() if experiment is common else experiment.get_config()
    ranges.check(config)


def test_every_field_has_a_rule_or_is_checked_elsewhere():
    ruled = [rule.field for rule in ranges.RULES]
    fields = {
        name if section == "" else f"{section}.{name}"
        for section, values in _sections(common.base().to_dict())
        for name in values
    }
    assert len(set(ruled)) == len(ruled)
    assert not ELSEWHERE & set(ruled)
    assert ELSEWHERE | set(ruled) == fields


def _sections(values, prefix=""):
    yield prefix, [name for name, value in values.items() if not isinstance(value, dict)]
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _sections(value, f"{prefix}.{name}" if prefix else name)


@pytest.mark.parametrize("rule", ranges.RULES, ids=lambda rule: rule.field)
def test_values_out_of_range_are_told_in_one_line(rule):
    for value in BAD[rule.field]:
        with pytest.raises(InputError) as error:
            ranges.check(changed(rule.field, value))
        assert str(error.value) == (
            f"{rule.field}: {value!r} found, expected {rule.expected}; correct the config, or set "
            "--config.FIELD=VALUE"
        )
    for value in GOOD.get(rule.field, ()):
        ranges.check(changed(rule.field, value))


def test_all_problems_are_told_at_once():
    config = synthetic.get_config()
    config.training.steps = 0
    config.checkpoint.keep = -1
    del config.report.gallery
    with pytest.raises(InputError) as error:
        ranges.check(config)
    text = str(error.value)
    assert text.index("training.steps: 0 found") < text.index("checkpoint.keep: -1 found")
    assert "report.gallery: nothing found, expected a whole number from 0" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training.warmup": 30, "training.schedule_steps": 20},
            "training.warmup: 30 steps found, expected at most training.schedule_steps, 20",
        ),
        (
            {"num_classes": 16},
            "num_classes: 16 found, expected 19, which synthetic_city/source_train has",
        ),
    ],
)
def test_contradictions(changes, message):
    config = synthetic.get_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(InputError, match=message):
        ranges.check(config)
