"""What a config means: method, data, network, checks. Only this and `experiment` see it."""

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from cbda_jax import acquisition, annotation, console, models, sharding, training
from cbda_jax.checkpoints import Checkpoints
from cbda_jax.data import labels, pipeline, records
from cbda_jax.data.sampling import DrawOrder
from cbda_jax.errors import InputError, near
from cbda_jax.methods import CHOICES, FIELDS, Method, contradictions, get_method
from cbda_jax.runtime import hosts

Config = Any
"""An `ml_collections.ConfigDict`, whose fields have no static type; see `configs/common.py`."""


def resolve_method(config: Config) -> Method:
    """The named method, with the fields that `config.acquisition` sets by hand.

    Raises:
        InputError: an unknown name (method, score, unit, class balance, ...); fields that cannot
            be together; nothing to train on.
    """
    chosen = {field: config.acquisition[field] for field in FIELDS}
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
    problems = [*contradictions(method)] if method.acquires else []
    # Only what is asked for: a method's own may come too late for few rounds.
    begins = config.acquisition.balance_from or 1
    if method.acquires and begins > max(len(config.acquisition.rounds), 1):
        problems.append(
            f"acquisition.balance_from: {method.balance_from} found, expected at most "
            f"{len(config.acquisition.rounds)}, the number of rounds"
        )
    if problems:
        raise InputError("; ".join(problems))
    if config.data.source_free:
        if not config.pretrained or not method.target:
            raise InputError(
                f"data.source_free: True found with method {config.method} and pretrained "
                f"{config.pretrained!r}, expected a method that trains on the target, and weights "
                "trained on the source: a checkpoint, or the workdir of a run of source_only"
            )
        method = dataclasses.replace(method, source=False)
    return method


def round_steps(config: Config, method: Method) -> tuple[int, ...]:
    """The steps before which rounds are held.

    Raises:
        InputError: they are not increasing steps within the training.
    """
    if not method.acquires:
        return ()
    rounds, last = tuple(config.acquisition.rounds), config.training.steps - 1
    # Random weights have nothing to say; pretrained ones may.
    first = 0 if config.pretrained else 1
    increasing = all(a < b for a, b in itertools.pairwise(rounds))
    if not rounds or not increasing or not first <= rounds[0] <= rounds[-1] <= last:
        raise InputError(
            f"acquisition.rounds: {rounds} found, expected increasing steps from {first} to {last} "
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
        console.say(
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
    prepared = hosts.first(lambda: opener(prepare=True))
    return prepared or opener(prepare=False)


def create_oracle(
    config: Config, workdir: Path, pool: records.Records, space: labels.LabelSpace
) -> annotation.Oracle:
    """Who answers what the run asks; nobody else makes an oracle.

    Raises:
        InputError: there is none of this name.
    """
    setting = annotation.Setting(
        pool, space.classes, workdir, seed=config.seed, threads=config.data.threads
    )
    return annotation.create_oracle(config.annotation.oracle, setting)


def training_streams(
    config: Config,
    method: Method,
    source: records.Records | None,
    pool: records.Records,
    target_label: Callable[[int], Any],
) -> dict[str, pipeline.Stream]:
    """What is drawn for each step of training, by domain.

    Args:
        config: sizes, batches, order and seed.
        method: which domains it trains on.
        source: the labelled data set, None where it is not trained on.
        pool: the target images.
        target_label: what is known of a target image's label, at native size.

    Raises:
        InputError: unknown order.
    """
    data, seed = config.data, config.seed
    streams = {}
    if source is not None:
        classes = source.class_pixels
        orders = {
            "class_uniform": lambda: DrawOrder.class_uniform(classes, seed=seed),
            "rare_class": lambda: DrawOrder.rare_class(
                classes,
                seed=seed,
                temperature=data.rare_class_temperature,
                # DAFormer counts 3,000 pixels in images of 1914 x 1052.
                min_pixels=round(3000 * math.prod(data.source_size) / (1914 * 1052)),
            ),
            "shuffled": lambda: DrawOrder.shuffled(len(source), seed=seed),
        }
        if data.source_order not in orders:
            raise InputError(
                f"data.source_order: {data.source_order!r} found, expected one of "
                f"{', '.join(orders)}{near(data.source_order, orders)}"
            )
        streams["source"] = pipeline.Stream(
            source, orders[data.source_order](), data.source_batch, flip=data.flip
        )
    if method.target:
        streams["target"] = pipeline.Stream(
            pool,
            DrawOrder.shuffled(len(pool), seed=seed + 1),
            data.target_batch,
            label=pipeline.LabelCache(target_label, tuple(data.target_size)),
            flip=data.flip,
        )
    return streams


class Network(NamedTuple):
    """A network, how it is trained, and where it starts.

    Attributes:
        graphdef: its structure.
        initial: gives the state of step 0, on all devices; the same each time.
        train_step: of `training.make_train_step`.
    """

    graphdef: nnx.GraphDef
    initial: Callable[[], training.TrainState]
    train_step: Callable[..., Any]


def create_network(config: Config, num_classes: int, mesh: Mesh) -> Network:
    """The network of the config, with pretrained weights if it names some.

    Raises:
        InputError: unknown network, optimizer or precision; weights that are not there.
    """
    dtypes = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
    if config.dtype not in dtypes:
        raise InputError(f"dtype: {config.dtype!r} found, expected one of {', '.join(dtypes)}")
    settings = config.training
    if config.network.startswith("segformer_") and settings.optimizer == "sgd":
        console.say(
            f"note: {config.network} with training.optimizer sgd; it is usually trained with adamw "
            f"(--config=FILE:network={config.network} sets all of its recipe)"
        )
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
    pretrained = check_pretrained(config.pretrained) if config.pretrained else None

    def create_model() -> nnx.Module:
        rngs, dtype = nnx.Rngs(config.seed), dtypes[config.dtype]
        return models.create_model(config.network, num_classes, rngs=rngs, dtype=dtype)

    graphdef = nnx.graphdef(nnx.eval_shape(create_model))

    def initial() -> training.TrainState:
        _, state = training.create_state(create_model, optimizer, ema=settings.ema > 0)
        if pretrained is not None:
            state = _with_weights(graphdef, state, pretrained)
        return sharding.replicate(mesh, state)

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
        accumulate=settings.accumulate,
        ema=settings.ema,
        augment=training.Augment(settings.colour_jitter, tuple(settings.scale_range)),
    )
    return Network(graphdef, initial, train_step)


def check_pretrained(path: str) -> Path:
    """The file of pretrained weights, or the workdir of the run that trained them.

    Raises:
        InputError: it is not there, or the folder holds no checkpoints.
    """
    found = Path(path).expanduser()
    if found.is_dir():
        if not (found / "checkpoints").is_dir():
            raise InputError(
                f"pretrained: {found} is a folder without checkpoints/, expected the workdir of a "
                "run, or a .safetensors or .pth file"
            )
    elif not found.is_file():
        raise InputError(
            f"pretrained: {found} not found, expected a .safetensors or .pth file or the workdir "
            "of a run; download the weights (see the README), or set pretrained to an empty text "
            "for random ones"
        )
    return found


def _with_weights(
    graphdef: nnx.GraphDef, state: training.TrainState, path: Path
) -> training.TrainState:
    """The state with the network of a file or of another run's latest checkpoint."""
    if path.is_dir():
        with contextlib.closing(Checkpoints(path / "checkpoints", writable=False)) as checkpoints:
            params, frozen = checkpoints.restore_network(state.params, state.frozen)
    else:
        model = nnx.merge(graphdef, state.params, state.frozen)
        models.load_torch_weights(model, path)
        _, params, frozen = nnx.split(model, nnx.Param, ...)
    # Averaged weights start where the weights start.
    ema = None if state.ema is None else jax.tree.map(jnp.copy, params)
    return state._replace(params=params, frozen=frozen, ema=ema)
