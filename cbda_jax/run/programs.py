"""The programs of a run, with the shapes of what they are given: to compile them without running.

They are the very functions that a run calls, on the devices of any mesh: also of one that is not
there, such as `jax.experimental.topologies` describes.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cbda_jax import acquisition, models, sharding, training
from cbda_jax.config import data_sets, method_of
from cbda_jax.errors import InputError
from cbda_jax.methods import Method
from cbda_jax.run import assembly
from cbda_jax.run.acquirer import Acquirer
from cbda_jax.run.budget import request
from cbda_jax.run.evaluator import Evaluator
from cbda_jax.run.loss_balance import loss_balance

NAMES = ("train", "acquire", "evaluate")
"""What a run calls."""

PARTS = ("score", "select")
"""Of "acquire", without the network: logits to score map, score map to picks."""


class Program(NamedTuple):
    """A compiled function, before it is compiled.

    Attributes:
        function: of `jax.jit`.
        arguments: `jax.ShapeDtypeStruct`s with shardings, in the trees that it takes.
        images: how many of them a device handles in one call.
    """

    function: Any
    arguments: tuple[Any, ...]
    images: int


def programs(
    config: assembly.Config, mesh: Mesh, native: tuple[int, int], names: tuple[str, ...] = NAMES
) -> dict[str, Program]:
    """The programs of a config's run.

    Args:
        config: of `cbda_jax.config`, checked.
        mesh: of `sharding.make_mesh`, or over devices that are only described.
        native: (height, width) of target labels, which a run reads from its data; a run whose
            labels have several sizes has these programs, training apart, for each of them.
        names: some of `NAMES` and `PARTS`.

    Returns:
        By name. "train" is a step; "acquire" scores and selects in a batch of images; "evaluate"
        predicts a batch; "score" and "select" are of one image.

    Raises:
        InputError: the batch cannot be spread over the mesh, or the config's method does not train
            or acquire.
    """
    method = assembly.resolve_method(config)
    classes = data_sets.space(config).num_classes
    network = assembly.create_network(config, classes, mesh)
    make = {
        "train": _train,
        "acquire": _acquire,
        "evaluate": _evaluate,
        "score": _score,
        "select": _select,
    }
    setting = _Setting(config, method, mesh, native, classes, network)
    return {name: make[name](setting) for name in names}


class _Setting(NamedTuple):
    config: assembly.Config
    method: Method
    mesh: Mesh
    native: tuple[int, int]
    classes: int
    network: assembly.Network

    def array(
        self, shape: tuple[int, ...], dtype: Any, spec: PartitionSpec = sharding.BATCH
    ) -> Any:
        """A `jax.ShapeDtypeStruct` in the place of an array."""
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(self.mesh, spec))

    def state(self) -> training.TrainState:
        """Shapes of the state of training, whole on every device."""
        shapes = jax.eval_shape(self.network.create)
        return jax.tree.map(lambda x: self.array(x.shape, x.dtype, sharding.REPLICATED), shapes)


def _train(setting: _Setting) -> Program:
    config, method = setting.config, setting.method
    domains = {}
    for name, trained in (("source", method.source), ("target", method.target)):
        batch, size = config.data[f"{name}_batch"], tuple(config.data[f"{name}_size"])
        if trained:
            sharding.check_batch(batch, setting.mesh, f"data.{name}_batch")
            domains[name] = training.Examples(
                setting.array((batch, *size, 3), np.uint8), setting.array((batch, *size), np.uint8)
            )
    batch = training.Batch(domains.get("source"), domains.get("target"))
    images = sum(examples.image.shape[0] for examples in domains.values())
    # As it is once there are answers; an empty tree where nothing is balanced.
    found = loss_balance(config, np.full(setting.classes, int(method.target), np.int64))
    balance = jax.tree.map(lambda x: setting.array(x.shape, x.dtype, sharding.REPLICATED), found)
    return Program(
        setting.network.train_step, (setting.state(), batch, balance), images // setting.mesh.size
    )


def _acquirer(setting: _Setting) -> Acquirer:
    config, method = setting.config, setting.method
    if not method.acquires:
        raise InputError(
            f"method: {method_of(config)} found, which has no rounds; expected one that acquires"
        )
    return Acquirer(
        setting.network.graphdef,
        setting.mesh,
        method.scoring,
        tuple(config.data.target_size),
        flip=method.flip,
        quota=method.balance.shared_out,
        seed=config.seed,
        batch=config.acquisition.batch_per_device * setting.mesh.size,
    )


def _balance(setting: _Setting) -> acquisition.RoundBalance:
    method, classes = setting.method, setting.classes

    def array(*shape: int) -> Any:
        return setting.array(shape, np.float32, sharding.REPLICATED)

    evidence = method.scoring.class_evidence
    of_classes = array(2, classes) if evidence == "corrected_by_score" else array(classes)
    return acquisition.RoundBalance(
        weights=of_classes if method.balance.weighted else None,
        tie_weights=of_classes if method.balance.weighs_ties(method.scoring.ties) else None,
        void=array(2, acquisition.BANDS, classes) if method.balance.avoid_void else None,
        log_ratio=array(classes) if evidence == "prior_corrected" else None,
        prototypes=array(classes, classes) if evidence == "nearest" else None,
    )


def _capacity(setting: _Setting, acquirer: Acquirer) -> int:
    config, method = setting.config, setting.method
    rounds = len(assembly.round_steps(config, method))
    budget, unit = config.acquisition.budget, config.acquisition.budget_in
    if not acquisition.Budget(budget, unit).of_pixels:
        raise InputError(
            f"acquisition.budget_in: {unit!r} found, expected pixels or pixels_per_image: how "
            "many picks an image gets of other budgets depends on the oracle and on all images of "
            "a run"
        )
    asked = request(method, acquisition.Budget(budget, unit), 1, rounds, [setting.native])
    return acquirer.capacities(asked, setting.native)[0]


def _acquire(setting: _Setting) -> Program:
    config, native = setting.config, setting.native
    acquirer, state = _acquirer(setting), setting.state()
    batch = config.acquisition.batch_per_device * setting.mesh.size
    arguments = [
        state.inference_params,
        state.frozen,
        setting.array((batch, *config.data.target_size, 3), np.uint8),
        setting.array((batch,), np.int32),
        setting.array((batch, *native), bool),
        _balance(setting),
        setting.array((), np.int32, sharding.REPLICATED),
        setting.array((), np.float32, sharding.REPLICATED),
    ]
    if setting.method.scoring.class_evidence == "true":
        arguments.append(setting.array((batch, *native), np.uint8))
    return Program(
        acquirer.program(_capacity(setting, acquirer), setting.native),
        tuple(arguments),
        config.acquisition.batch_per_device,
    )


def _score(setting: _Setting) -> Program:
    acquirer, state = _acquirer(setting), setting.state()

    def network(params: Any, frozen: Any, images: jax.Array) -> jax.Array:
        return nnx.merge(setting.network.graphdef, params, frozen)(models.normalize(images))[0]

    image = jax.ShapeDtypeStruct((1, *setting.config.data.target_size, 3), np.uint8)
    logits = jax.eval_shape(network, state.params, state.frozen, image)
    whole = sharding.REPLICATED
    arguments = [
        setting.array(logits.shape, logits.dtype, whole),
        setting.array((), np.int32, whole),
        setting.array(setting.native, bool, whole),
        _balance(setting),
        setting.array((), np.int32, whole),
    ]
    if setting.method.scoring.class_evidence == "true":
        arguments.append(setting.array(setting.native, np.uint8, whole))

    def score(*arguments: Any) -> tuple[jax.Array, jax.Array]:
        maps = acquirer.score(*arguments, native=setting.native)
        return maps.score, maps.prediction

    return Program(jax.jit(score), tuple(arguments), 1)


def _select(setting: _Setting) -> Program:
    acquirer, whole = _acquirer(setting), sharding.REPLICATED
    select = functools.partial(acquirer.select, capacity=_capacity(setting, acquirer))
    arguments = (
        setting.array(setting.native, np.float32, whole),
        setting.array(setting.native, bool, whole),
        setting.array((), np.float32, whole),
    )
    return Program(jax.jit(select), arguments, 1)


def _evaluate(setting: _Setting) -> Program:
    config, settings = setting.config, setting.config.evaluation
    batch = settings.batch_per_device * setting.mesh.size
    evaluator = Evaluator(
        setting.network.graphdef,
        setting.mesh,
        num_classes=setting.classes,
        flip=settings.flip,
        scales=tuple(settings.scales),
        batch=batch,
    )
    state = setting.state()
    arguments = (
        state.inference_params,
        state.frozen,
        setting.array((batch, *config.data.target_size, 3), np.uint8),
        setting.array((batch, *setting.native), np.uint8),
    )
    return Program(evaluator.program, arguments, settings.batch_per_device)
