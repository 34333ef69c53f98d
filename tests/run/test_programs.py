"""A run's programs, compiled without data or weights."""

import jax
import numpy as np
import pytest
import tiny

from cbda_jax import models, sharding
from cbda_jax.config import base
from cbda_jax.errors import InputError
from cbda_jax.run import programs


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    monkeypatch.setitem(
        models.registry.NETWORKS, "tiny", models.registry.Network(tiny.Tiny, weights=None)
    )


def config(**fields):
    found = base()
    found.network = "tiny"
    found.data.source_size = found.data.target_size = (32, 48)
    found.acquisition.rounds = (10, 20)
    for name, value in fields.items():
        *sections, last = name.split("__")
        holder = found
        for section in sections:
            holder = holder[section]
        holder[last] = value
    return found


def mesh(devices):
    return sharding.make_mesh(jax.devices()[:devices])


def zeros(argument):
    return jax.device_put(np.zeros(argument.shape, argument.dtype), argument.sharding)


@pytest.mark.parametrize("method", ["cbda", "cb_oracle", "random_pixels"])
def test_they_run(method):
    names = (*programs.NAMES, *programs.PARTS)
    chosen = programs.programs(config(method=method), mesh(2), (64, 96), names)
    assert tuple(chosen) == names
    for name, program in chosen.items():
        # Random numbers where keys are wanted.
        arguments = jax.tree.map(
            lambda x: (
                jax.random.key(0)
                if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
                else zeros(x)
            ),
            program.arguments,
        )
        result = jax.block_until_ready(program.function(*arguments))
        assert jax.tree.leaves(result), name
    assert chosen["train"].images == 4  # of 4 + 4 on two devices


def test_a_balanced_loss_is_of_the_training_step():
    given = config(training__class_weights="exp", training__logit_adjustment=1.0)
    for method, arrays in (("ripu", 2), ("full_supervision", 2), ("source_only", 0)):
        given.method = method
        program = programs.programs(given, mesh(2), (64, 96), ("train",))["train"]
        balance = program.arguments[2]
        assert [x.shape for x in jax.tree.leaves(balance)] == [(19,)] * arrays
    program = programs.programs(config(method="ripu"), mesh(2), (64, 96), ("train",))["train"]
    assert not jax.tree.leaves(program.arguments[2])


@pytest.mark.parametrize(
    "fields",
    [
        {"class_evidence": "corrected_by_score", "avoid_void": True},
        {"class_evidence": "prior_corrected", "ties": "balanced_uncertainty"},
        {"class_evidence": "nearest"},
        {"class_balance": "none", "ties": "balanced_uncertainty"},
    ],
)
def test_scores_take_what_a_balance_holds(fields):
    settings = {f"acquisition__{name}": value for name, value in fields.items()}
    chosen = programs.programs(config(method="cb", **settings), mesh(1), (64, 96), ("score",))
    key = jax.random.key(0)
    arguments = [key if x is None else x for x in chosen["score"].arguments]
    score, _ = jax.eval_shape(chosen["score"].function, *arguments)
    assert score.shape == (64, 96)


def test_what_cannot_be_is_said():
    with pytest.raises(InputError, match=r"data.source_batch: 4 found"):
        programs.programs(config(), mesh(8), (64, 96), ("train",))
    with pytest.raises(InputError, match=r"method: source_only found"):
        programs.programs(config(method="source_only"), mesh(1), (64, 96), ("acquire",))


def test_picks_of_answers_are_known_to_a_run_alone():
    given = config(acquisition__budget_in="hours", acquisition__budget=3.0)
    with pytest.raises(
        InputError, match=r"acquisition.budget_in: 'hours' found, expected pixels or"
    ):
        programs.programs(given, sharding.make_mesh(), (32, 48), ("acquire",))
