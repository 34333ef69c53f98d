"""A trained network alone: of a run's latest checkpoint, or of a file of weights."""

import contextlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from cbda_jax import console, sharding
from cbda_jax.checkpoints import open_checkpoints
from cbda_jax.run import assembly, checks, pretrained, workdir
from cbda_jax.stores import AnyPath
from cbda_jax.training import TrainState


class Trained(NamedTuple):
    """A network to predict with.

    Attributes:
        graphdef: its structure.
        state: what it learnt, on all devices of a mesh; averaged parameters where there are some.
            It has no optimizer.
    """

    graphdef: nnx.GraphDef
    state: TrainState

    @property
    def model(self) -> nnx.Module:
        """The network itself."""
        return nnx.merge(self.graphdef, self.state.params, self.state.frozen, copy=True)


def restore(config: assembly.Config, folder: AnyPath, num_classes: int, mesh: Mesh) -> Trained:
    """The network of a run's latest whole checkpoint. No other is made or read.

    Args:
        config: of the run.
        folder: its workdir.
        num_classes: of the network.
        mesh: where it is put, whole on every device.

    Raises:
        InputError: there is no checkpoint, or it holds another network.
    """
    create = assembly.model_maker(config, num_classes)
    graphdef, *parts = nnx.split(nnx.eval_shape(create), nnx.Param, ...)
    everywhere = NamedSharding(mesh, sharding.REPLICATED)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), parts
    )
    kept = config.checkpoint.dir or folder / "checkpoints"
    with contextlib.closing(open_checkpoints(kept, writable=False)) as checkpoints:
        step, params, frozen = checkpoints.restore_network(*shapes)
    return Trained(graphdef, _state(step, params, frozen))


def load(config: assembly.Config, num_classes: int, mesh: Mesh) -> Trained:
    """The network of `pretrained`: a whole one, of a file of weights or of another run.

    Raises:
        InputError: there is none, it is the backbone alone, or does not fit.
    """
    checks.check_pretrained(config.pretrained)
    create = assembly.model_maker(config, num_classes)
    graphdef = nnx.graphdef(nnx.eval_shape(create))
    params, frozen = jax.jit(lambda: nnx.split(create(), nnx.Param, ...)[1:])()
    model = nnx.merge(graphdef, params, frozen)
    for note in pretrained.load(config, model, create, whole=True).notes:
        console.say(f"note: pretrained: {note}")
    _, params, frozen = nnx.split(model, nnx.Param, ...)
    return Trained(graphdef, sharding.replicate(mesh, _state(0, params, frozen)))


def of(config: assembly.Config, folder: AnyPath, num_classes: int, mesh: Mesh) -> Trained:
    """That of the run of a workdir or, where there is none, of `pretrained`.

    Raises:
        InputError: there is neither, or the run is of another config.
    """
    if not (folder / "config.json").exists():
        if not config.pretrained:
            workdir.check_run(folder)
        return load(config, num_classes, mesh)
    workdir.claim(folder, config, write=False, mode="evaluate")
    return restore(config, folder, num_classes, mesh)


def _state(step: int, params: Any, frozen: Any) -> TrainState:
    return TrainState(step=jnp.int32(step), params=params, frozen=frozen, opt_state=())
