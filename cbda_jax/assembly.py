"""What a config means: method, data, network, checks. Only this and `experiment` see it."""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from cbda_jax import acquisition, models, reporting, sharding, training
from cbda_jax.data import records
from cbda_jax.errors import InputError, near
from cbda_jax.methods import CHOICES, Method, get_method

Config = Any
"""An `ml_collections.ConfigDict`, whose fields have no static type; see `configs/common.py`."""


def resolve_method(config: Config) -> Method:
    """The named method, with the fields that `config.acquisition` sets by hand.

    Raises:
        InputError: unknown method, score, unit, class balance or allocation.
    """
    fields = ("score", "unit", "radius", "class_balance", "allocation")
    chosen = {field: config.acquisition[field] for field in fields}
    method = dataclasses.replace(
        get_method(config.method), **{k: v for k, v in chosen.items() if v is not None}
    )
    for field, known in CHOICES.items():
        value = getattr(method, field)
        if value not in known:
            raise InputError(
                f"acquisition.{field}: {value!r} found, expected one of {', '.join(known)}"
                f"{near(value, known)}"
            )
    if method.radius < 0:
        raise InputError(f"acquisition.radius: {method.radius} found, expected 0 or more pixels")
    return method


def round_steps(config: Config, method: Method) -> tuple[int, ...]:
    """The steps before which rounds are held.

    Raises:
        InputError: they are not increasing steps within the training.
    """
    if not method.acquires:
        return ()
    rounds, last = tuple(config.acquisition.rounds), config.training.steps - 1
    increasing = all(a < b for a, b in itertools.pairwise(rounds))
    if not rounds or not increasing or not 1 <= rounds[0] <= rounds[-1] <= last:
        raise InputError(
            f"acquisition.rounds: {rounds} found, expected increasing steps from 1 to {last} "
            "(training.steps - 1)"
        )
    return rounds


def check_budget(budget: float | int, method: Method, shape: tuple[int, int]) -> None:
    """Says when the blocking of picks may leave a part of the budget.

    Args:
        budget: fraction of all pixels.
        method: unit and radius.
        shape: (height, width) of the native labels.

    Raises:
        InputError: the budget is not above 0, or above what picks can reach at all.
    """
    limits = acquisition.reach(shape, acquisition.geometry(method.unit, method.radius))
    if not 0 < budget <= limits.most:
        raise InputError(
            f"acquisition.budget: {budget:g} found, expected above 0 and at most "
            f"{limits.most:.4g}, all that picks of unit {method.unit} and radius {method.radius} "
            f"reach in an image of {shape[0]} x {shape[1]}"
        )
    if budget > limits.always:
        reporting.say(
            f"note: acquisition.budget of {budget:g} is above {limits.always:.2g}: picks block "
            "their surroundings, so some of it may stay unspent; every round says how much"
        )


def open_records(config: Config, name: str, size: tuple[int, int]) -> records.Records:
    """Opens a data set, prepared by the first process while the others wait."""
    dataset = name.partition("/")[0]
    options: dict[str, Any]
    if dataset == "synthetic_city":
        height, width = size
        options = {"height": height, "width": width, **config.data.synthetic_city}
    else:
        options = {"size": tuple(size), "num_classes": config.num_classes}
        if config.data.root:
            options["root"] = str(Path(config.data.root).expanduser() / dataset)
        if config.data.source_files and name == config.data.source:
            options["files"] = Path(config.data.source_files).expanduser()
    opener = functools.partial(
        records.open_records, name, data_dir=Path(config.data.dir).expanduser(), **options
    )
    prepared = opener(prepare=True) if jax.process_index() == 0 else None
    multihost_utils.sync_global_devices(f"prepared {name}")
    return prepared or opener(prepare=False)


def check_pretrained(path: str) -> Path:
    """The file of pretrained weights.

    Raises:
        InputError: it is not there.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        raise InputError(
            f"pretrained: {found} not found, expected a .safetensors or .pth file; download the "
            "weights (see the README), or set pretrained to an empty text for random ones"
        )
    return found


class Network(NamedTuple):
    """A network with the state it starts from, and how it is trained."""

    graphdef: nnx.GraphDef
    state: training.TrainState
    train_step: Callable[..., Any]


def create_network(config: Config, num_classes: int, mesh: Mesh) -> Network:
    """The network of the config, with pretrained weights if it names some, on all devices."""
    dtypes = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
    if config.dtype not in dtypes:
        raise InputError(f"dtype: {config.dtype!r} found, expected one of {', '.join(dtypes)}")
    settings = config.training
    schedule = training.poly_schedule(
        settings.learning_rate,
        power=settings.schedule_power,
        steps=settings.schedule_steps,
        warmup=settings.warmup,
    )
    optimizer = training.create_optimizer(
        settings.optimizer,
        schedule,
        head_multiplier=settings.head_multiplier,
        is_head=models.is_head,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    graphdef, state = training.create_state(
        lambda: models.create_model(
            config.network, num_classes, rngs=nnx.Rngs(config.seed), dtype=dtypes[config.dtype]
        ),
        optimizer,
    )
    if config.pretrained:
        model = nnx.merge(graphdef, state.params, state.frozen)
        models.load_torch_weights(model, check_pretrained(config.pretrained))
        _, params, frozen = nnx.split(model, nnx.Param, ...)
        state = state._replace(params=params, frozen=frozen)
    train_step = training.make_train_step(
        graphdef,
        optimizer,
        mesh,
        seed=config.seed,
        weights=training.LossWeights(
            settings.source_weight,
            settings.target_weight,
            settings.consistency_weight,
            settings.negative_weight,
        ),
        consistency=settings.consistency,
        negative_threshold=settings.negative_threshold,
    )
    return Network(graphdef, sharding.replicate(mesh, state), train_step)
