"""Score maps: how much is to be learned from a label, for every pixel of an image."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key, UInt8

from cbda_jax.acquisition.balance.nearest import discriminants
from cbda_jax.acquisition.balance.round import UNBALANCED, RoundBalance
from cbda_jax.acquisition.balance.void import bands
from cbda_jax.acquisition.scoring.impurity import one_class, window_impurity
from cbda_jax.acquisition.scoring.scoring import DRAWN, Scoring
from cbda_jax.acquisition.scoring.softmax import softmax_maps
from cbda_jax.acquisition.scoring.windows import window_mean
from cbda_jax.platform import resolve

# Ties score below 0. Random numbers are multiples of twice this.
_SMALLEST = 2.0**-24
# Of uncertainty x weight in ties: it keeps the digits of what is small, 1e-7 and more.
_SPREAD = 2.0**20


class AcquisitionMaps(NamedTuple):
    """What is known of every pixel of an image once it has been scored.

    Attributes:
        score: `[H, W]` float32, what selection ranks by.
        impurity: `[H, W]` float32, entropy of the predicted classes in the window.
        uncertainty: `[H, W]` float32, entropy of the pixel, or its mean over a region.
        prediction: `[H, W]` uint8, the most probable class.
    """

    score: Float[Array, "height width"]
    impurity: Float[Array, "height width"]
    uncertainty: Float[Array, "height width"]
    prediction: UInt8[Array, "height width"]


def classes_left(
    maps: AcquisitionMaps, blocked: Bool[Array, "height width"], *, classes: int
) -> Bool[Array, " classes"]:
    """Which classes are predicted at a pixel that could still be picked.

    Args:
        maps: of an image.
        blocked: `[H, W]` bool, where no pick may be centred.
        classes: their number C.

    Returns:
        `[C]` bool, as `Pool.add` takes it.
    """
    free = ~blocked & (maps.score > -jnp.inf)
    each = jnp.arange(classes, dtype=maps.prediction.dtype)
    return jax.vmap(lambda one: (free & (maps.prediction == one)).any())(each)


def region_scores(
    logits: Float[Array, "h w classes"],
    *,
    radius: int = 1,
    size: tuple[int, int] | None = None,
    via: tuple[int, int] | None = None,
    class_weight: Float[Array, " classes"] | None = None,
    platform: str | None = None,
) -> AcquisitionMaps:
    """Scores of the square regions around every pixel: impurity x mean entropy.

    RIPU's region-based acquisition (Xie et al., "Towards Fewer Annotations", CVPR 2022, eq. 4-7).
    The window of `(2 radius + 1)^2` pixels is clipped at the border; both factors are divided by
    log C. `score_maps` knows other scores.

    Pure: it works under `jax.jit`, `jax.vmap` and `jax.shard_map`. What the caller drops of the
    result is not computed under `jit`.

    Args:
        logits: `[h, w, C]`, any floating type; NaN gives a NaN score.
        radius: of the region, in pixels of the result.
        size: (H, W) of the result: logits are interpolated bilinearly, corners aligned, without
            being in memory at that size. None: (h, w).
        via: a size through which to interpolate first: the reference resizes logits to the
            network's input, and from there to the image.
        class_weight: `[C]` float32, multiplies the score of the pixels predicted as each class (see
            `class_weights`).
        platform: that the program is for ("cpu", "gpu", "tpu"); None: that of the first device.

    Returns:
        The maps at `size`.

    Raises:
        InputError: for a negative radius.
        ValueError: for an impossible number of classes.
    """
    scoring, balance = Scoring(unit="region", radius=radius), RoundBalance(class_weight)
    return score_maps(logits, scoring, size=size, via=via, balance=balance, platform=platform)


def pixel_scores(
    logits: Float[Array, "h w classes"],
    *,
    radius: int = 32,
    size: tuple[int, int] | None = None,
    via: tuple[int, int] | None = None,
    class_weight: Float[Array, " classes"] | None = None,
    platform: str | None = None,
) -> AcquisitionMaps:
    """Scores of single pixels: entropy of the pixel x impurity of the window around it.

    RIPU's pixel-based acquisition (Xie et al., CVPR 2022, section 3.3). Natural logarithms, not
    divided by log C, and an entropy that is not averaged; otherwise as `region_scores`.
    """
    scoring, balance = Scoring(unit="pixel", radius=radius), RoundBalance(class_weight)
    return score_maps(logits, scoring, size=size, via=via, balance=balance, platform=platform)


def score_maps(
    logits: Float[Array, "h w classes"],
    scoring: Scoring,
    *,
    size: tuple[int, int] | None = None,
    via: tuple[int, int] | None = None,
    balance: RoundBalance = UNBALANCED,
    true_class: UInt8[Array, "height width"] | None = None,
    blocked: Bool[Array, "height width"] | None = None,
    key: Key[Array, ""] | None = None,
    platform: str | None = None,
) -> AcquisitionMaps:
    """Scores by any `Scoring`. Pure, and fused into one pass over the logits, as `region_scores`.

    Args:
        logits: of `region_scores`, as are size, via and platform.
        scoring: how pixels are scored; static under `jax.jit`.
        size: (H, W) of the result.
        via: a size through which to interpolate first.
        balance: of the round. `weights` multiply the score by the class of a pixel that
            `scoring.class_evidence` names ("corrected" is as "argmax" here: the weights are, see
            `corrected_weights`); `tie_weights` are for class-balanced ties. With `void`, a score is
            multiplied by 1 - P(void), and one below 0 divided by it.
        true_class: `[H, W]`, for class_evidence "true", a diagnostic. Where it is none of the C
            classes (void), the predicted class counts.
        blocked: `[H, W]` bool, for a score that names it; None: nowhere. Picks are not kept from
            there: that is for `greedy_picks`.
        key: for a score that names "uniform", and for ties that are drawn.
        platform: that the program is for.

    Returns:
        The maps at `size`.

    Raises:
        ValueError: for something missing, or an impossible number of classes.
    """
    score = scoring.function
    weights, tie_weights = (
        None if x is None else jnp.asarray(x, jnp.float32)
        for x in (balance.weights, balance.tie_weights)
    )
    if scoring.class_evidence == "true" and weights is not None and true_class is None:
        raise ValueError('class_evidence="true" needs the true classes')
    for evidence, needed, what in (
        ("prior_corrected", balance.log_ratio, "the ratio of the priors"),
        ("nearest", balance.prototypes, "the prototypes"),
    ):
        if scoring.class_evidence == evidence and weights is not None and needed is None:
            raise ValueError(f'class_evidence="{evidence}" needs {what}')
    if scoring.ties == "class_balanced" and tie_weights is None:
        raise ValueError('ties="class_balanced" needs their weights')
    if key is None and ("uniform" in score.names or scoring.ties in DRAWN):
        raise ValueError("a score or ties drawn at random: needs a key")
    classes = logits.shape[-1]
    expected = weights is not None and scoring.class_evidence == "expected"
    pixels = softmax_maps(
        logits,
        [
            *("entropy", "prediction"),
            *(name for name in ("confidence", "margin") if name in score.names),
            *(["weight"] if expected else []),
        ],
        class_weight=weights if expected else None,
        size=size,
        via=via,
        platform=platform,
    )
    entropy, prediction = pixels["entropy"], pixels["prediction"]
    impurity = window_impurity(prediction, radius=scoring.radius, classes=classes)
    uncertainty = entropy
    if scoring.unit == "region":
        scale = jnp.float32(1 / math.log(classes))
        impurity = impurity * scale
        uncertainty = window_mean(entropy, scoring.radius, platform) * scale
    if scoring.clamp_impurity:
        impurity = jnp.maximum(impurity, jnp.float32(0))

    def named(name: str) -> Any:
        """What a score gets by a name of its parameters."""
        match name:
            case "uncertainty":
                return uncertainty
            case "impurity" if scoring.impurity_floor:
                return jnp.maximum(impurity, jnp.float32(0)) + jnp.float32(scoring.impurity_floor)
            case "impurity":
                return impurity
            case "confidence" | "margin" if scoring.unit == "region":
                return window_mean(pixels[name], scoring.radius, platform)
            case "uniform":
                assert key is not None
                return jax.random.uniform(key, prediction.shape)
            case "blocked":
                return jnp.zeros(prediction.shape, bool) if blocked is None else blocked
        return pixels[name] if name in pixels else scoring.settings[name]

    value = score.function(**{name: named(name) for name in score.names})
    tied = None
    if scoring.ties != "reference":
        tied = one_class(prediction, radius=scoring.radius)
    # As the log tells them: those of one class are what scores 0 or less.
    unranked = value <= 0 if tied is None else tied | (value <= 0)
    weight = None
    if expected:
        weight = pixels["weight"]
    elif weights is not None:
        counted = prediction
        if scoring.class_evidence == "true" and true_class is not None:
            counted = jnp.where(true_class < classes, true_class, prediction)
        elif scoring.class_evidence in ("prior_corrected", "nearest"):
            told = _as_evidence(logits, balance)
            found = softmax_maps(told, ["prediction"], size=size, via=via, platform=platform)
            counted = found["prediction"]
        weight = _of_kind(weights, unranked, counted, platform)
    if weight is not None:
        value = value * weight
    learnt = None
    if balance.void is not None:
        learnt = 1 - _void_share(jnp.asarray(balance.void), unranked, prediction, platform)
        value = jnp.where(value < 0, value / learnt, value * learnt)
    if tied is not None:
        drawn = None
        if scoring.ties in DRAWN:
            assert key is not None
            # Not the numbers that the score has drawn, if it has.
            drawn = jax.random.fold_in(key, 1) if "uniform" in score.names else key
        if scoring.ties == "random":
            weight = None
        elif tie_weights is not None:
            weight = _of_kind(tie_weights, unranked, prediction, platform)
        if learnt is not None:
            weight = learnt if weight is None else weight * learnt
        if drawn is None:
            low = _by_uncertainty(uncertainty, weight)
        else:
            low = _at_random(drawn, weight, value.shape)
        # NaN stays, or a diverged network, which predicts one class, would go unseen.
        value = jnp.where(tied & ~jnp.isnan(value), low, jnp.maximum(value, jnp.float32(0)))
    return AcquisitionMaps(_materialised(value, platform), impurity, uncertainty, prediction)


def _of_class(
    weights: Float[Array, " classes"], classes: UInt8[Array, "height width"], platform: str | None
) -> Float[Array, "height width"]:
    """The weight of every pixel's class."""
    if resolve(platform) == "cpu":
        return weights[classes]
    # Looked up in a table, every pixel is an access of its own; so they are registers.
    found = jnp.broadcast_to(weights[0], classes.shape)
    for c in range(1, weights.shape[0]):
        found = jnp.where(classes == c, weights[c], found)
    return found


def _as_evidence(
    logits: Float[Array, "h w classes"], balance: RoundBalance
) -> Float[Array, "h w classes"]:
    """Numbers whose largest is of the class that counts, also after interpolation."""
    if balance.prototypes is not None:
        return discriminants(logits, jnp.asarray(balance.prototypes, jnp.float32))
    # Interpolation keeps a number a class as it is.
    ratio = jnp.asarray(balance.log_ratio, jnp.float32)
    return logits.astype(jnp.float32) + ratio[None, None, :]


def _of_kind(
    weights: Float[Array, "*kinds classes"],
    unranked: Bool[Array, "height width"],
    classes: UInt8[Array, "height width"],
    platform: str | None,
) -> Float[Array, "height width"]:
    """The weight of every pixel's class; with two kinds, of pixels that are ranked and are not."""
    if weights.ndim == 1:
        return _of_class(weights, classes, platform)
    ranked, other = (_of_class(own, classes, platform) for own in weights)
    return jnp.where(unranked, other, ranked)


def _void_share(
    void: Float[Array, "2 bands classes"],
    unranked: Bool[Array, "height width"],
    classes: UInt8[Array, "height width"],
    platform: str | None,
) -> Float[Array, "height width"]:
    """P(void) of every pixel; see `void_shares`."""
    height = classes.shape[0]
    if resolve(platform) == "cpu":
        return void[unranked.astype(jnp.int32), bands(height)[:, None], classes]
    rows = void[:, bands(height)]
    found = jnp.where(unranked, rows[1, :, :1], rows[0, :, :1])
    for c in range(1, void.shape[2]):
        own = jnp.where(unranked, rows[1, :, c, None], rows[0, :, c, None])
        found = jnp.where(classes == c, own, found)
    return found


def _at_random(
    key: Key[Array, ""], weight: Float[Array, "height width"] | None, shape: tuple[int, ...]
) -> Float[Array, "height width"]:
    """Scores in (-1, 0), in a random order, by weight."""
    drawn = jnp.maximum(jax.random.exponential(key, shape), jnp.float32(_SMALLEST))
    return -drawn / (drawn + (jnp.float32(1) if weight is None else weight))


def _by_uncertainty(
    uncertainty: Float[Array, "height width"], weight: Float[Array, "height width"] | None
) -> Float[Array, "height width"]:
    """Scores in [-1, 0), in the order of uncertainty x weight."""
    ranked = jnp.maximum(uncertainty, jnp.float32(0))
    ranked = ranked if weight is None else ranked * weight
    return -1 / (1 + jnp.float32(_SPREAD) * ranked)


def _materialised(x: jax.Array, platform: str | None) -> jax.Array:
    """A copy that XLA's CPU backend makes once.

    Else it computes the score anew for each of the passes that selection makes over it, a quarter
    of the time of both. It drops `lax.optimization_barrier` too early, but cannot fuse a loop.
    """
    if resolve(platform) != "cpu":
        return x
    half = x.shape[0] // 2
    size = x.shape[0] - half

    def copy(i: jax.Array, out: jax.Array) -> jax.Array:
        part = lax.dynamic_slice_in_dim(x, i * half, size)
        return lax.dynamic_update_slice_in_dim(out, part, i * half, axis=0)

    return lax.fori_loop(0, 2, copy, jnp.zeros_like(x))
