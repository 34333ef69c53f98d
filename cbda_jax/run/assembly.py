"""What a config means: method, data, network, checks. Only this and `experiment` see it."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from cbda_jax import annotation, console, models, sharding, training
from cbda_jax.config import data_sets, method_of
from cbda_jax.data import mirror, pipeline, prepare, records
from cbda_jax.data.sampling import DrawOrder
from cbda_jax.errors import InputError
from cbda_jax.label_space import LabelSpace
from cbda_jax.methods import FIELDS, Method, changed, contradictions, get_method
from cbda_jax.reporting import trackers
from cbda_jax.run import checks, pretrained
from cbda_jax.runtime import hosts
from cbda_jax.stores import AnyPath, to_path

Config = Any
"""An `ml_collections.ConfigDict`, whose fields have no static type; see `cbda_jax.config`."""


class Parts(NamedTuple):
    """What a config means: all that stays the same while a run goes on.

    Attributes:
        config: every field.
        method: what is acquired, and what is trained on.
        space: the classes.
        round_steps: the steps before which rounds are held.
        mesh: the devices of all hosts.
        host: (index, count) of this process.
        dataset: opens the data set of a role, one of `config.data_sets.ROLES`, and prepares it
            when it is first needed; the same object each time.
        pool: the target images.
        network: the network, its training step and its state at step 0.
    """

    config: Config
    method: Method
    space: LabelSpace
    round_steps: tuple[int, ...]
    mesh: Mesh
    host: tuple[int, int]
    dataset: Callable[[str], records.Records]
    pool: records.Records
    network: "Network"


def assemble(
    config: Config,
    method: Method,
    mode: str = "train",
    *,
    earlier: Sequence[tuple[int, int]] = (),
) -> Parts:
    """Opens and creates what a run consists of. Nothing is written but prepared data.

    After `check_files`, which has looked for all files.

    Args:
        config: of `cbda_jax.config`, checked.
        method: of `resolve_method`.
        mode: of the run; the data sets that it needs are opened.
        earlier: schedules that were in force before it was extended, of `extension.schedules`.

    Raises:
        InputError: the config names what is not there, or what does not fit together.
    """
    space = data_sets.space(config)
    steps = round_steps(config, method)
    mesh = sharding.make_mesh()
    for domain, trained_on in (("source", method.source), ("target", method.target)):
        if trained_on:
            field, batch = f"data.{domain}_batch", config.data[f"{domain}_batch"]
            sharding.check_batch(batch, mesh, field)
            checks.check_accumulate(field, batch, mesh.size, config.training.accumulate)
    opened = functools.cache(functools.partial(open_records, config, check=False))
    for role in roles(method, mode):
        records_of_role = opened(role)
        if role != "target" or needs_truth(config, method):
            checks.check_labelled(f"data.{role}", config.data[role], records_of_role)
    return Parts(
        config=config,
        method=method,
        space=space,
        round_steps=steps,
        mesh=mesh,
        host=(jax.process_index(), jax.process_count()),
        dataset=opened,
        pool=opened("target"),
        network=create_network(config, space.num_classes, mesh, earlier),
    )


def resolve_method(config: Config) -> Method:
    """The named method, with the fields that `config.acquisition` sets by hand.

    Raises:
        InputError: an unknown name (method, score, unit, class balance, ...); fields that cannot
            be together; nothing to train on.
    """
    fields = {field: config.acquisition[field] for field in FIELDS}
    chosen = {field: value for field, value in fields.items() if value is not None}
    method = changed(get_method(method_of(config)), chosen)
    problems = [*contradictions(method)] if method.acquires else []
    # Only what is asked for: a method's own may come too late for few rounds.
    begins = config.acquisition.balance_from or 1
    if method.acquires and begins > max(len(config.acquisition.rounds), 1):
        problems.append(
            f"acquisition.balance_from: {begins} found, expected at most "
            f"{len(config.acquisition.rounds)}, the number of rounds"
        )
    if method.acquires and method.sub_rounds > 1 and config.annotation.oracle == "people":
        problems.append(
            f"acquisition.sub_rounds: {method.sub_rounds} found with annotation.oracle 'people', "
            "expected 1: each small round needs the answers to the one before at once"
        )
    if problems:
        raise InputError("; ".join(problems))
    if config.data.source_free:
        if not config.pretrained or not method.target:
            raise InputError(
                f"data.source_free: True found with method {method_of(config)} and pretrained "
                f"{config.pretrained!r}, expected a method that trains on the target, and weights "
                "trained on the source: a checkpoint, or the workdir of a run of source_only"
            )
        method = dataclasses.replace(method, source=False)
    if method.scoring.class_evidence == "prior_corrected" and not method.source:
        raise InputError(
            "acquisition.class_evidence: 'prior_corrected' found with a method that does not train "
            "on the source, expected one that does: its class frequencies are those of the source"
        )
    return method


def round_steps(config: Config, method: Method) -> tuple[int, ...]:
    """The steps before which rounds are held."""
    return tuple(config.acquisition.rounds) if method.acquires else ()


def check_files(config: Config, method: Method, mode: str, *, begun: bool = False) -> None:
    """Looks for all data sets and files that a run of this mode will come to need.

    Nothing is prepared or written. What lies on a disk that hosts share is looked for by the first.

    Args:
        config: as above.
        method: of `resolve_method`.
        mode: of the run.
        begun: whether the run has: weights to start from are not read for a run that goes on.

    Raises:
        InputError: one is not there, a split is unknown, a prepared data set is damaged, or the
            library of the tracker is not installed.
    """
    wanted = [*roles(method, mode)]
    if config.pretrained:
        checks.check_pretrained(config.pretrained)
        if mode == "train" and not begun:
            pretrained.check(config, model_maker(config, data_sets.space(config).num_classes))

    def look() -> None:
        if mode == "train":
            trackers.check(config.report.tracker)
        # Several roles may be splits of one prepared folder, whose files are looked through once.
        splits: dict[str, tuple[str, ...]] = {}
        for role in wanted:
            where = location(config, role)
            checks.check_data_set(f"data.{role}", config.data[role], splits, **where)

    hosts.first(look)


def roles(method: Method, mode: str) -> Iterator[str]:
    """The data sets that a run of a mode reads, as fields of `data`."""
    yield "target"
    if mode == "train":
        yield "val"
        if method.source:
            yield "source"
    if mode != "acquire":
        yield "test"


def needs_truth(config: Config, method: Method) -> bool:
    """Whether the labels of the target data set are read for more than pictures."""
    asked = method.acquires and (
        config.annotation.oracle in annotation.SIMULATED or method.scoring.class_evidence == "true"
    )
    return asked or (method.target and not method.acquires)


def open_records(config: Config, role: str, *, check: bool = True) -> records.Records:
    """Opens a data set, prepared by the first process while the others wait.

    Args:
        config: as above.
        role: one of `config.data_sets.ROLES`.
        check: whether a prepared copy is compared with its files; False after `check_files`.

    Raises:
        InputError: an unknown data set; files that are not as expected; labels of other classes
            than the run's; files that were changed since it was prepared.
    """
    where = location(config, role)
    opener = functools.partial(records.open_records, config.data[role], **where)
    prepared = hosts.first(lambda: opener(prepare=True, check=check))
    return prepared or opener(prepare=False)


def location(config: Config, role: str) -> dict[str, Any]:
    """Where and how the data set of a role is prepared, for `create_builder`."""
    data, dataset = config.data, data_sets.dataset(config, config.data[role])
    name = config.data[role].partition("/")[0]
    own = data.get(name)
    options: dict[str, Any] = {**own} if isinstance(own, ConfigDict) else {}
    source = role == "source"
    options |= {
        "dataset": dataset,
        "size": tuple(data.source_size if source else data.target_size),
        "label_space": data_sets.space(config),
        "mapping": data_sets.mapping(config, role),
    }
    builder = prepare.builder_class(dataset)
    known = prepare.builder_options(dataset)
    if "native_labels" in known and getattr(builder, "NATIVE_LABELS", None) == source:
        options["native_labels"] = not source
    # Drawn data sets have no files.
    if "root" in known:
        found = prepare.find_dataset(dataset)
        folder = Path(getattr(found, "folder", "") or builder.name).expanduser()
        if data.root or folder.is_absolute():
            options["root"] = str(Path(data.root).expanduser() / folder)
    files = {data.source: data.source_files, data.target: data.target_files}.get(data[role])
    if files:
        options["files"] = Path(files).expanduser()
    return {"data_dir": mirror.local(to_path(data.dir, "data.dir"), data.cache), **options}


def create_oracle(
    config: Config, workdir: AnyPath, pool: records.Records, space: LabelSpace
) -> annotation.Oracle:
    """Who answers what the run asks; nobody else makes an oracle.

    Raises:
        InputError: there is none of this name.
    """
    setting = annotation.Setting(
        pool,
        space.classes,
        workdir,
        seed=config.seed,
        threads=config.data.threads,
        sizes=annotation.image_sizes(pool.ids, pool.sizes),
        redundancy=config.annotation.redundancy,
        hidden=config.annotation.hidden,
        noise=config.annotation.noise,
        noise_at_boundaries=config.annotation.noise_at_boundaries,
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
        create: gives a new state, of random weights, on the first device.
        initial: gives the state of step 0, on all devices; the same each time.
        train_step: of `training.make_train_step`.
    """

    graphdef: nnx.GraphDef
    create: Callable[[], training.TrainState]
    initial: Callable[[], training.TrainState]
    train_step: Callable[..., Any]


def create_network(
    config: Config, num_classes: int, mesh: Mesh, earlier: Sequence[tuple[int, int]] = ()
) -> Network:
    """The network of the config, with pretrained weights if it names some.

    Args:
        config: as above.
        num_classes: that it tells apart.
        mesh: over which its training is spread.
        earlier: schedules that were in force before, of `training.poly_schedule`.
    """
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
        # Where the optimizer counts from the last round on, it does not know of the run's steps.
        earlier=() if settings.restart_each_round else earlier,
    )
    optimizer = training.create_optimizer(
        settings.optimizer,
        schedule,
        head_multiplier=settings.head_multiplier,
        is_head=models.is_head,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    told: set[str] = set()

    create_model = model_maker(config, num_classes)
    graphdef = nnx.graphdef(nnx.eval_shape(create_model))

    def create() -> training.TrainState:
        return training.create_state(create_model, optimizer, ema=settings.ema > 0)[1]

    def initial() -> training.TrainState:
        state = create()
        if config.pretrained:
            model = nnx.merge(graphdef, state.params, state.frozen)
            for note in pretrained.load(config, model, create_model).notes:
                if note not in told:
                    told.add(note)
                    console.say(f"note: pretrained: {note}")
            _, params, frozen = nnx.split(model, nnx.Param, ...)
            # Averaged weights start where the weights start.
            ema = None if state.ema is None else jax.tree.map(jnp.copy, params)
            state = state._replace(params=params, frozen=frozen, ema=ema)
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
    return Network(graphdef, create, initial, train_step)


def model_maker(config: Config, num_classes: int) -> Callable[..., nnx.Module]:
    """What makes the network of the config with random weights, of other classes if it is told."""

    def create_model(classes: int = num_classes) -> nnx.Module:
        rngs, dtype = nnx.Rngs(config.seed), jnp.dtype(config.dtype)
        return models.create_model(config.network, classes, rngs=rngs, dtype=dtype)

    return create_model
