import functools
import math

import ml_collections
import pytest

from cbda_jax import config as config_
from cbda_jax import models, training
from cbda_jax.errors import InputError
from cbda_jax.methods import METHODS
from configs import gta2city, synthetic, synthia2city

BAD = {
    "method": ("no name near", 3),
    "num_classes": (0, 1, 255, True, "many", None),
    "label_space": ("", 3),
    "annotation.oracle": ("q", 3, None),
    "annotation.seconds_per_answer": (0, -1, math.nan, "2"),
    "annotation.redundancy": (-0.1, 1.1, math.nan, None),
    "annotation.hidden": (-0.1, 1.1, math.nan, None),
    "annotation.noise": (-0.1, 1.1, math.nan),
    "annotation.noise_at_boundaries": (-0.1, 1.1, math.nan),
    "network": ("no name near", None),
    "pretrained": (3, None),
    "pretrained_part": ("head", None, True),
    "pretrained_classes": (19, None),
    "pretrained_mapping": ("sidewalk", 3),
    "dtype": ("f", 16, None),
    "deterministic": (1, "yes", None),
    "compilation_cache": (3, None),
    "data.dir": (3, None),
    "data.cache": (3, None),
    "data.root": (3, None),
    "data.source_files": (("a", "b"), None),
    "data.target_files": (("a", "b"), None),
    **{
        f"data.{name}": (3, "a", ("a", "b"), None)
        for name in ("declared", "source_mapping", "target_mapping")
    },
    **{f"data.{name}": ("", "/train", 3, None) for name in ("source", "target", "val", "test")},
    "data.source_order": ("q", None),
    **{
        f"data.synthetic_city.{name}": (0, -1, 10**6 + 1, 2.5, True, None)
        for name in ("source_train", "target_train", "target_val", "target_test")
    },
    "data.synthetic_city.seed": (-1, 2001, 0.5, None),
    "data.synthetic_city.native": (0, 9, 2.0, True),
    "training.optimizer": ("q", None),
    "training.consistency": ("q", None),
    **{
        f"acquisition.{name}": (3, ("a",))
        for name in (
            *(
                *("score", "unit", "class_balance", "class_balance_options", "allocation"),
                *("class_evidence", "ties"),
            ),
        )
    },
    "acquisition.sub_rounds": (0, 1.5, 1001, "3"),
    **{f"acquisition.{name}": (1, "yes") for name in ("avoid_void", "flip")},
    "checkpoint.dir": (3, None),
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
    "training.class_weights": ("quota", "no name near", None, 3),
    "training.class_weight_options": (None, 3),
    "training.class_weight_ratio": (-1, 0.5, math.inf, True, "4"),
    "training.logit_adjustment": (-0.1, math.inf, math.nan, "1"),
    "training.consistency_weight": (-0.1, None),
    "training.negative_weight": (-1, math.nan),
    "training.negative_threshold": (0, 1, 1.5, -0.1, math.nan),
    "acquisition.budget": (-0.1, math.inf, math.nan, "0.1"),
    "acquisition.budget_in": ("keys", "", None),
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
    "report.worst": (-1, 2.5),
    "report.tracker": ("no name near", None, 3),
}

GOOD = {
    "seed": (0, 2**31 - 1),
    "training.learning_rate": (0, 1e38),
    "training.momentum": (0, 0.999),
    "training.scale_range": ((0.5, 2), [1, 1]),
    "training.class_weights": ("none", "inverse_power", "json:loads"),
    "training.class_weight_ratio": (0, 1, 10.0),
    "training.logit_adjustment": (0, 1, 0.5),
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
    "report.worst": (0,),
}


def changed(field, value):
    """The embedded experiment as plain values, which no type protects."""
    values = synthetic.get_config().to_dict()
    *sections, name = field.split(".")
    functools.reduce(dict.__getitem__, sections, values)[name] = value
    return ml_collections.ConfigDict(values)


@pytest.mark.parametrize("experiment", [None, synthetic, gta2city, synthia2city])
def test_experiments_pass(experiment):
    config = config_.base() if experiment is None else experiment.get_config()
    config_.check(config)


def test_the_config_has_the_fields_of_the_table_at_their_defaults():
    closed = {name: field for name, field in config_.FIELDS.items() if not field.is_open}
    found = config_.flat(config_.base())
    assert found.keys() == closed.keys()
    for name, field in closed.items():
        if field.is_unset:
            assert found[name] is None
        elif name != "data.dir":  # as the environment says
            assert found[name] == field.default
            assert type(found[name]) is type(field.default)
        assert field.problem(found[name]) is None
        assert field.meaning.endswith(".")
    assert sum(map(len, config_.SECTIONS.values())) == len(config_.FIELDS)


def test_configs_share_nothing():
    first, second = config_.base(), config_.base()
    first.acquisition.radius, first.data.threads = 3, 7
    assert (second.acquisition.radius, second.data.threads) == (None, 2)


def test_data_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/somewhere")
    assert config_.base().data.dir == "/somewhere"
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert config_.base().data.dir == "~/tensorflow_datasets"


def test_every_field_is_tried_with_bad_values():
    assert BAD.keys() == config_.FIELDS.keys()


@pytest.mark.parametrize("name", BAD)
def test_values_out_of_range_are_told_in_one_line(name):
    expected = config_.FIELDS[name].rule.expected
    for value in BAD[name]:
        with pytest.raises(InputError) as error:
            config_.check(changed(name, value))
        assert str(error.value) == (
            f"{name}: {value!r} found, expected {expected}; correct the config, or set "
            "--config.FIELD=VALUE"
        )
    for value in GOOD.get(name, ()):
        config = changed(name, value)
        config.method = "source_only"  # for which no round is a good number of rounds
        config_.check(config)


def test_all_problems_are_told_at_once():
    config = synthetic.get_config()
    config.training.steps = 0
    config.checkpoint.keep = -1
    del config.report.gallery
    with pytest.raises(InputError) as error:
        config_.check(config)
    text = str(error.value)
    assert text.index("training.steps: 0 found") < text.index("checkpoint.keep: -1 found")
    assert "report.gallery: nothing found, expected a whole number from 0" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("method", "cdba", "cbda"),
        ("network", "small_unit", "small_unet"),
        ("dtype", "float23", "float32"),
        ("training.optimizer", "adam", "adamw"),
        ("data.source_order", "shufled", "shuffled"),
        ("data.test", "synthetic_cty/target_test", "synthetic_city"),
        ("data.source", "gtv/train", "gtav"),
    ],
)
def test_the_nearest_name_is_suggested(name, value, meant):
    with pytest.raises(InputError) as error:
        config_.check(changed(name, value))
    assert str(error.value).startswith(f"{name}: {value!r} found, expected ")
    assert f"; did you mean {meant!r}?; correct the config" in str(error.value)


def test_names_are_those_that_their_rooms_know():
    for name in ("sgd", "adamw"):
        training.create_optimizer(name, lambda _: 0.1, head_multiplier=1.0, is_head=models.is_head)
    assert config_.FIELDS["training.optimizer"].rule.known == ("sgd", "adamw")
    assert set(config_.FIELDS["network"].rule.known) == set(models.NETWORKS)
    assert config_.FIELDS["method"].rule.known == tuple(METHODS)


@pytest.mark.parametrize(
    ("oracle", "named", "expected"),
    [
        ("ground_truth", None, "cbda"),
        ("people", None, "ripu_pixel"),
        ("people", "ripu", "ripu"),
        ("noisy", "da", "da"),
    ],
)
def test_the_method_of_people_is_of_single_pixels(oracle, named, expected):
    config = synthetic.get_config()
    config.method, config.annotation.oracle = named, oracle
    config_.check(config)
    assert config_.method_of(config) == config_.settled(config).method == expected
    assert config.method == named


def test_a_field_that_does_not_exist_is_told():
    config = synthetic.get_config()
    config.training.step = 5
    with pytest.raises(InputError) as error:
        config_.check(config)
    assert "training.step: unknown field found" in str(error.value)
    assert "did you mean 'training.steps'?" in str(error.value)


@pytest.mark.parametrize("rounds", [(), (5, 5), (9, 3), (0, 5), (5, 1000)])
def test_rounds_outside_the_training(rounds):
    with pytest.raises(InputError, match="increasing steps from 1 to 999"):
        config_.check(changed("acquisition.rounds", rounds))


def test_a_round_before_the_first_step_needs_weights_that_know_something():
    config = changed("acquisition.rounds", (0, 5))
    config.pretrained = "some.safetensors"
    config_.check(config)


def test_rounds_do_not_matter_where_none_is_held():
    config = changed("acquisition.rounds", ())
    config.method = "source_only"
    config_.check(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training.warmup": 30, "training.schedule_steps": 20},
            "training.warmup: 30 steps found, expected at most training.schedule_steps, 20",
        ),
        (
            {"acquisition.budget": 1.5},
            "acquisition.budget: 1.5 found, expected a number from 0 to 1, a fraction of",
        ),
        (
            {"label_space": "synthia_16", "num_classes": 13},
            "num_classes: 13 found, expected 16, as label_space 'synthia_16' has",
        ),
    ],
)
def test_contradictions(changes, message):
    config = synthetic.get_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(InputError, match=message):
        config_.check(config)


@pytest.mark.parametrize("text", ["0.05", "5%", "5.0 %"])
def test_the_same_budget_is_the_same_config(text):
    found = config_.flat(synthetic.get_config(f"budget={text}"))
    assert found == config_.flat(synthetic.get_config())


def test_a_budget_with_its_unit_is_canonical():
    config = synthetic.get_config("budget=40px,seed=3")
    assert (config.acquisition.budget, config.acquisition.budget_in) == (40.0, "pixels_per_image")
    config_.check(config)
    config.acquisition.budget = 0.05
    with pytest.raises(InputError, match=r"0\.05 pixels an image found, expected 1 or more, or"):
        config_.check(config)
    with pytest.raises(InputError, match=r"acquisition\.budget: 5\.0 found, expected a number"):
        config_.check(synthetic.get_config("budget=5"))
