"""One training step: a pure function of a replica, mapped over the mesh."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from cbda_jax import models, platform, sharding
from cbda_jax.errors import InputError
from cbda_jax.training import losses
from cbda_jax.training.augment import Augment, check_augment
from cbda_jax.training.batch import Batch, Keys, Stream, augmented, image_keys
from cbda_jax.training.blocks import block_losses
from cbda_jax.training.losses import UNBALANCED, LossBalance
from cbda_jax.training.state import TrainState, update_ema


class LossWeights(NamedTuple):
    """How the four losses are added up. The recipe: 1, 1, 0.1, 1."""

    cross_entropy_source: float = 1.0
    cross_entropy_target: float = 1.0
    local_consistency: float = 0.1
    negative_learning: float = 1.0


_CONSISTENCY = ("l1", "kl")


def make_train_step(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    seed: int,
    weights: LossWeights,
    consistency: str = "l1",
    negative_threshold: float = 0.05,
    accumulate: int = 1,
    ema: float = 0.0,
    augment: Augment = Augment(),  # noqa: B008 - immutable
) -> Callable[..., tuple[TrainState, dict[str, Float[Array, ""]]]]:
    """Compiles `step(state, batch, balance=UNBALANCED) -> (state, losses)`.

    The old state's memory is given back.

    The result does not depend on how many devices share the batch, but for the order of sums:
    every loss is a mean over the global batch, and dropout and augmentation are keyed by the
    image's position in it.

    Args:
        graphdef: the network's structure.
        optimizer: of `create_optimizer`.
        mesh: over which the batch is spread.
        seed: of dropout and augmentation.
        weights: of the losses.
        consistency: "l1" or "kl".
        negative_threshold: of `losses.negative_learning`.
        accumulate: cuts every device's part of the batch into so many, one after the other, whose
            gradients are added up for one update: less memory, but on CPU. Cross entropy and local
            consistency stay means over the whole global batch. How many terms negative learning has
            is known after the forward pass only: each part is divided by its own number (of all
            devices), and the parts are averaged.
        ema: decay of `TrainState.ema` (`update_ema`); 0: none is kept.
        augment: what is done to images and labels first.

    Returns:
        A function of the state (replicated), a global batch (`sharding.shard_batch`) and, where
        classes are balanced, the `LossBalance` of the cross entropy on target labels (replicated).
        The losses are float32 scalars, unweighted, `loss` their weighted sum, taken before the
        update.
        It raises InputError if a device's examples cannot be cut into `accumulate` equal parts.

    Raises:
        InputError: unknown kind of consistency; a number out of range.
    """
    if consistency not in _CONSISTENCY:
        raise InputError(
            f"training.consistency: {consistency!r} found, expected one of "
            f"{', '.join(_CONSISTENCY)}"
        )
    if accumulate < 1:
        raise InputError(f"training.accumulate: {accumulate} found, expected 1 (off) or more")
    if not 0 <= ema < 1:
        raise InputError(f"training.ema: {ema} found, expected a decay below 1, or 0 for none")
    check_augment(augment)
    compiled_for = platform.of(mesh)

    def replica_step(
        state: TrainState, batch: Batch, balance: LossBalance = UNBALANCED
    ) -> tuple[TrainState, dict[str, Array]]:
        if (state.ema is None) != (ema == 0):
            raise ValueError(
                "an average of the parameters needs both: create_state(ema=True) and a decay `ema`"
            )
        root = jax.random.fold_in(jax.random.key(seed), state.step)
        batch = augmented(batch, root, augment)
        keys = image_keys(batch, root, Stream.DROPOUT)
        # What labels alone decide is counted in the whole batch; the rest as it comes.
        counts = lax.psum(_label_counts(batch, balance), sharding.DATA)

        def objective(params: Any, batch: Batch, keys: Keys) -> tuple[Array, dict[str, Array]]:
            model = nnx.merge(graphdef, params, state.frozen, copy=True)
            objective = jnp.float32(0)
            values = {}
            logits = _forward(model, batch, keys)
            for name, term in _losses(
                logits, batch, balance, consistency, negative_threshold, compiled_for
            ).items():
                count = counts.get(name)
                if count is None:
                    count = lax.psum(term.terms, sharding.DATA) * accumulate
                # This replica's share of the mean over the global batch.
                values[name] = term.total / jnp.maximum(count, jnp.float32(1))
                objective += jnp.float32(getattr(weights, name)) * values[name]
            return objective, values | {"loss": objective}

        def differentiate(part: tuple[Batch, Keys]) -> tuple[Any, dict[str, Array]]:
            return jax.grad(objective, has_aux=True)(state.params, *part)

        sums = _added_up(differentiate, (batch, keys), accumulate, compiled_for)
        gradients, values = lax.psum(sums, sharding.DATA)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = None if state.ema is None else update_ema(state.ema, params, state.step, ema)
        return TrainState(state.step + 1, params, state.frozen, opt_state, average), values

    return sharding.per_replica(
        replica_step,
        mesh,
        in_specs=(sharding.REPLICATED, sharding.BATCH, sharding.REPLICATED),
        out_specs=sharding.REPLICATED,
        donate=(0,),
    )


def _label_counts(batch: Batch, balance: LossBalance) -> dict[str, Array]:
    masks = {}
    if batch.source is not None:
        label = batch.source.label
        masks["cross_entropy_source"] = label != losses.IGNORE
        masks["local_consistency"] = losses.consistency_mask(label)
    if batch.target is not None:
        masks["cross_entropy_target"] = batch.target.label != losses.IGNORE
    counts = {name: jnp.sum(mask, dtype=jnp.float32) for name, mask in masks.items()}
    if batch.target is not None and balance.weights is not None:
        counts["cross_entropy_target"] = losses.label_total(batch.target.label, balance)
    return counts


def _forward(model: Any, batch: Batch, keys: Keys) -> tuple[Any, Any]:
    """Logits at the network's stride; one pass for both domains if their images agree in size."""
    parts: list[Any] = [
        None if examples is None else (models.normalize(examples.image), key)
        for examples, key in zip(batch, keys, strict=True)
    ]
    source, target = parts
    if source is not None and target is not None and source[0].shape[1:] == target[0].shape[1:]:
        logits = model(*(jnp.concatenate(pair) for pair in zip(source, target, strict=True)))
        return logits[: len(source[0])], logits[len(source[0]) :]
    source, target = (None if part is None else model(*part) for part in parts)
    return source, target


def _losses(
    logits: tuple[Any, Any],
    batch: Batch,
    balance: LossBalance,
    consistency: str,
    threshold: float,
    platform: str,
) -> dict[str, losses.Mean]:
    terms = {}
    if batch.source is not None:
        found = block_losses(
            logits[0], batch.source.label, consistency=consistency, platform=platform
        )
        terms["cross_entropy_source"] = found["cross_entropy"]
        terms["local_consistency"] = found["local_consistency"]
    if batch.target is not None:
        found = block_losses(
            logits[1],
            batch.target.label,
            threshold=threshold,
            balance=balance,
            platform=platform,
        )
        terms["cross_entropy_target"] = found["cross_entropy"]
        terms["negative_learning"] = found["negative_learning"]
    return terms


def _added_up(function: Callable[[Any], Any], examples: Any, parts: int, platform: str) -> Any:
    """The sum of a function over equal parts of the leading axis, one part after the other."""
    if parts == 1:
        return function(examples)

    def cut(x: Array) -> Array:
        if len(x) % parts:
            raise InputError(
                f"training.accumulate: {parts} found, but every device has {len(x)} images of a "
                f"domain in its part of the batch; make that a multiple of {parts}"
            )
        return x.reshape(parts, len(x) // parts, *x.shape[1:])

    def add(total: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(part)), None

    cut_up = jax.tree.map(cut, examples)
    result = jax.eval_shape(function, jax.tree.map(lambda x: x[0], cut_up))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), result)
    # In a loop, XLA's gradients of convolutions take twenty times as long on CPU.
    return lax.scan(add, zeros, cut_up, unroll=platform == "cpu")[0]
