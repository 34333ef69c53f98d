"""One training step: a pure function of a replica, mapped over the mesh."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from cbda_jax import models, resize, sharding
from cbda_jax.errors import InputError
from cbda_jax.training import losses
from cbda_jax.training.state import TrainState


class Examples(NamedTuple):
    """Images of one domain with their labels, 255 where there is none."""

    image: UInt8[Array, "batch h w 3"]
    label: UInt8[Array, "batch h w"]


class Batch(NamedTuple):
    """What one step trains on; None where a domain rests. Domains may differ in size."""

    source: Examples | None
    target: Examples | None


class LossWeights(NamedTuple):
    """How the four losses are added up. The recipe: 1, 1, 0.1, 1."""

    cross_entropy_source: float = 1.0
    cross_entropy_target: float = 1.0
    local_consistency: float = 0.1
    negative_learning: float = 1.0


_CONSISTENCY = {"l1": losses.local_consistency_l1, "kl": losses.local_consistency_kl}


def make_train_step(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    seed: int,
    weights: LossWeights,
    consistency: str = "l1",
    negative_threshold: float = 0.05,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Float[Array, ""]]]]:
    """Compiles `step(state, batch) -> (state, losses)`; the old state's memory is given back.

    The result does not depend on how many devices share the batch, but for the order of sums:
    every loss is a mean over the global batch, and dropout is keyed by the image's position in it.

    Returns:
        A function of the state (replicated) and a global batch (`sharding.shard_batch`). The
        losses are float32 scalars, unweighted, `loss` their weighted sum, taken before the update.

    Raises:
        InputError: unknown kind of consistency.
    """
    if consistency not in _CONSISTENCY:
        raise InputError(
            f"training.consistency: {consistency!r} found, expected one of "
            f"{', '.join(_CONSISTENCY)}"
        )

    def replica_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        root = jax.random.fold_in(jax.random.key(seed), state.step)

        def objective(params: Any) -> tuple[Array, dict[str, Array]]:
            model = nnx.merge(graphdef, params, state.frozen, copy=True)
            terms = _losses(model, batch, root, consistency, negative_threshold)
            objective = jnp.float32(0)
            values = {}
            for name, term in terms.items():
                count = jnp.maximum(lax.psum(term.terms, sharding.DATA), jnp.float32(1))
                # This replica's share of the mean over the global batch.
                values[name] = term.total / count
                objective += jnp.float32(getattr(weights, name)) * values[name]
            return objective, values | {"loss": objective}

        gradients, values = jax.grad(objective, has_aux=True)(state.params)
        gradients, values = lax.psum((gradients, values), sharding.DATA)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, state.frozen, opt_state), values

    return sharding.per_replica(
        replica_step,
        mesh,
        in_specs=(sharding.REPLICATED, sharding.BATCH),
        out_specs=sharding.REPLICATED,
        donate=(0,),
    )


def _losses(
    model: Any, batch: Batch, root: Array, consistency: str, threshold: float
) -> dict[str, losses.Mean]:
    source, target = _forward(model, batch, root)
    terms = {}
    if batch.source is not None:
        label = batch.source.label
        logits = resize.bilinear(source, label.shape[1:])
        terms["cross_entropy_source"] = losses.cross_entropy(logits, label)
        terms["local_consistency"] = _CONSISTENCY[consistency](logits, label)
    if batch.target is not None:
        label = batch.target.label
        logits = resize.bilinear(target, label.shape[1:])
        terms["cross_entropy_target"] = losses.cross_entropy(logits, label)
        terms["negative_learning"] = losses.negative_learning(logits, threshold)
    return terms


def _forward(model: Any, batch: Batch, root: Array) -> tuple[Any, Any]:
    """Logits at the network's stride; one pass for both domains if their images agree in size."""

    def inputs(examples: Examples, stream: int) -> tuple[Array, Array]:
        count = len(examples.image)
        first = lax.axis_index(sharding.DATA) * count
        stream_key = jax.random.fold_in(root, stream)
        keys = jax.vmap(lambda i: jax.random.fold_in(stream_key, i))(
            first + jnp.arange(count, dtype=jnp.int32)
        )
        return models.normalize(examples.image), keys

    parts = [None if part is None else inputs(part, i) for i, part in enumerate(batch)]
    source, target = parts
    if source is not None and target is not None and source[0].shape[1:] == target[0].shape[1:]:
        logits = model(*(jnp.concatenate(pair) for pair in zip(source, target, strict=True)))
        return logits[: len(source[0])], logits[len(source[0]) :]
    source, target = (None if part is None else model(*part) for part in parts)
    return source, target
