"""Score maps: how much is to be learned from a label, for every pixel of an image."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key, UInt8

from cbda_jax.acquisition.scoring.entropy import (
    entropy_and_prediction,
    entropy_prediction_and_weight,
)
from cbda_jax.acquisition.scoring.impurity import one_class, window_impurity
from cbda_jax.acquisition.scoring.windows import window_mean
from cbda_jax.errors import InputError, near

UNITS = ("region", "pixel")
SCORES = ("ripu", "entropy", "impurity", "random")
EVIDENCE = ("argmax", "expected", "corrected", "true")
TIES = ("reference", "random", "class_balanced")

# With `clamp_impurity`, a window of one class counts as this impure. The least impure other window
# of up to 255 x 255 pixels has 2e-4 nats.
_FLOOR = 1e-6

# Ties score below 0. Random numbers are multiples of twice this.
_SMALLEST = 2.0**-24


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


def region_scores(
    logits: Float[Array, "h w classes"],
    *,
    radius: int = 1,
    size: tuple[int, int] | None = None,
    via: tuple[int, int] | None = None,
    score: str = "ripu",
    class_weight: Float[Array, " classes"] | None = None,
    clamp_impurity: bool = False,
    key: Key[Array, ""] | None = None,
) -> AcquisitionMaps:
    """Scores of the square regions around every pixel: impurity x mean entropy.

    RIPU's region-based acquisition (Xie et al., "Towards Fewer Annotations", CVPR 2022, eq. 4-7).
    The window of `(2 radius + 1)^2` pixels is clipped at the border; both factors are divided by
    log C.

    Pure: it works under `jax.jit`, `jax.vmap` and `jax.shard_map`. What the caller drops of the
    result is not computed under `jit`.

    Args:
        logits: `[h, w, C]`, any floating type; NaN gives a NaN score.
        radius: of the region, in pixels of the result.
        size: (H, W) of the result: logits are interpolated bilinearly, corners aligned, without
            being in memory at that size. None: (h, w).
        via: a size through which to interpolate first: the reference resizes logits to the
            network's input, and from there to the image.
        score: "ripu", or one factor of it ("entropy", "impurity"), or "random" in [0, 1).
        class_weight: `[C]` float32, multiplies the score of the pixels predicted as each class (see
            `class_weights`).
        clamp_impurity: the 1e-6 inside the reference's logarithms makes the impurity of a region of
            one class slightly negative (-3e-7), so that it prefers the least uncertain one of them,
            and the one of the least weight. True: the impurity is 0 there, the score 1e-6 x
            uncertainty.
        key: for score="random".

    Returns:
        The maps at `size`.

    Raises:
        InputError: for an unknown score.
        ValueError: for a negative radius, a missing key or an impossible number of classes.
    """
    return score_maps(
        logits,
        unit="region",
        score=score,
        radius=radius,
        size=size,
        via=via,
        class_weight=class_weight,
        clamp_impurity=clamp_impurity,
        key=key,
    )


def pixel_scores(
    logits: Float[Array, "h w classes"],
    *,
    radius: int = 32,
    size: tuple[int, int] | None = None,
    via: tuple[int, int] | None = None,
    score: str = "ripu",
    class_weight: Float[Array, " classes"] | None = None,
    clamp_impurity: bool = False,
    key: Key[Array, ""] | None = None,
) -> AcquisitionMaps:
    """Scores of single pixels: entropy of the pixel x impurity of the window around it.

    RIPU's pixel-based acquisition (Xie et al., CVPR 2022, section 3.3). Natural logarithms, not
    divided by log C, and an entropy that is not averaged; otherwise as `region_scores`.
    """
    return score_maps(
        logits,
        unit="pixel",
        score=score,
        radius=radius,
        size=size,
        via=via,
        class_weight=class_weight,
        clamp_impurity=clamp_impurity,
        key=key,
    )


def score_maps(
    logits: Float[Array, "h w classes"],
    *,
    unit: str,
    radius: int,
    score: str = "ripu",
    size: tuple[int, int] | None = None,
    via: tuple[int, int] | None = None,
    class_weight: Float[Array, " classes"] | None = None,
    class_evidence: str = "argmax",
    true_class: UInt8[Array, "height width"] | None = None,
    clamp_impurity: bool = False,
    impurity_floor: float | int = 0,
    ties: str = "reference",
    tie_weight: Float[Array, " classes"] | None = None,
    key: Key[Array, ""] | None = None,
) -> AcquisitionMaps:
    """`region_scores` or `pixel_scores`, by the name of the unit ("region", "pixel"); and variants.

    Args:
        logits: of `region_scores`, as are radius, score, size, via, class_weight, clamp_impurity.
        unit: one of `UNITS`.
        radius: of the window.
        score: one of `SCORES`.
        size: (H, W) of the result.
        via: a size through which to interpolate first.
        class_weight: `[C]` float32, w by class.
        class_evidence: of which class a pixel gets the weight: "argmax", the predicted one
            ("corrected" is the same here: the weights are, see `corrected_weights`); "expected",
            the mean weight under the pixel's softmax; "true", that of `true_class`.
        true_class: `[H, W]`, for class_evidence="true", a diagnostic. Where it is none of the C
            classes (void), the predicted class counts.
        clamp_impurity: the impurity of a window of one class is 0, not the reference's -1e-6.
        impurity_floor: 0, or what is added to the impurity, itself at least 0, in "ripu" and
            "impurity": (max(impurity, 0) + floor) x uncertainty. In the unit of the impurity: of
            log C for regions, nats for pixels. Pixels in windows of one class then compete by
            uncertainty and weight.
        ties: of pixels whose window holds one predicted class, and so no impurity, in "ripu" and
            "impurity". "reference": nothing is done. "random": they rank below all others, in a
            random order. "class_balanced": the same, drawn without replacement with probabilities
            proportional to `tie_weight`: in the order of u^(1/w), u uniform (Efraimidis &
            Spirakis, "Weighted random sampling with a reservoir", 2006). Their score is
            -e / (e + w), e = -log u, the same order within (-1, 0) without underflow.
        tie_weight: `[C]`, w by predicted class, for ties="class_balanced", above 0.
        key: for score="random" and the random ties.

    Returns:
        The maps at `size`.

    Raises:
        InputError: for an unknown name.
        ValueError: for a negative radius or floor, something missing, an impossible number of
            classes, or ties of a score without impurity.
    """
    _known("unit", unit, UNITS)
    _known("score", score, SCORES)
    _known("class evidence", class_evidence, EVIDENCE)
    _known("ties", ties, TIES)
    if radius < 0:
        raise ValueError(f"radius {radius}: expected 0 or more")
    if (impurity_floor or ties != "reference") and score not in ("ripu", "impurity"):
        raise ValueError(f'ties or impurity floor of score="{score}", which has no impurity')
    if impurity_floor < 0:
        raise ValueError(f"impurity floor {impurity_floor}: expected 0 or more")
    if class_evidence == "true" and true_class is None:
        raise ValueError('class_evidence="true" needs the true classes')
    if ties == "class_balanced" and tie_weight is None:
        raise ValueError('ties="class_balanced" needs their weights')
    classes = logits.shape[-1]
    expected = None
    if class_weight is not None and class_evidence == "expected":
        entropy, prediction, expected = entropy_prediction_and_weight(
            logits, class_weight, size=size, via=via
        )
    else:
        entropy, prediction = entropy_and_prediction(logits, size=size, via=via)
    impurity = window_impurity(prediction, radius=radius, classes=classes)
    uncertainty = entropy
    if unit == "region":
        scale = jnp.float32(1 / math.log(classes))
        impurity, uncertainty = impurity * scale, window_mean(entropy, radius) * scale
    product = impurity * uncertainty
    if clamp_impurity:
        product = jnp.maximum(impurity, jnp.float32(_FLOOR)) * uncertainty
        impurity = jnp.maximum(impurity, jnp.float32(0))
    impure = impurity
    if impurity_floor:
        impure = jnp.maximum(impurity, jnp.float32(0)) + jnp.float32(impurity_floor)
        product = impure * uncertainty
    if key is None and (score == "random" or ties != "reference"):
        raise ValueError('score="random" or ties drawn at random: needs a key')
    if score == "random":
        assert key is not None
        value = jax.random.uniform(key, prediction.shape)
    else:
        value = {"ripu": product, "entropy": uncertainty, "impurity": impure}[score]
    if expected is not None:
        value = value * expected
    elif class_weight is not None:
        counted = prediction
        if class_evidence == "true" and true_class is not None:
            counted = jnp.where(true_class < classes, true_class, prediction)
        value = value * class_weight.astype(jnp.float32)[counted]
    if ties != "reference":
        assert key is not None
        weight = None if tie_weight is None else tie_weight.astype(jnp.float32)[prediction]
        value = _below_others(value, one_class(prediction, radius=radius), key, weight)
    return AcquisitionMaps(_materialised(value), impurity, uncertainty, prediction)


def _below_others(
    value: Float[Array, "height width"],
    tied: Bool[Array, "height width"],
    key: Key[Array, ""],
    weight: Float[Array, "height width"] | None,
) -> Float[Array, "height width"]:
    """Scores with tied pixels in random order below the others, which score 0 or more."""
    drawn = jnp.maximum(jax.random.exponential(key, value.shape), jnp.float32(_SMALLEST))
    low = -drawn / (drawn + (jnp.float32(1) if weight is None else weight))
    # NaN stays, or a diverged network, which predicts one class, would go unseen.
    return jnp.where(tied & ~jnp.isnan(value), low, jnp.maximum(value, jnp.float32(0)))


def _materialised(x: jax.Array) -> jax.Array:
    """A copy that XLA's CPU backend makes once.

    Else it computes the score anew for each of the passes that selection makes over it, a quarter
    of the time of both. It drops `lax.optimization_barrier` too early, but cannot fuse a loop.
    """
    if jax.default_backend() != "cpu":
        return x
    half = x.shape[0] // 2
    size = x.shape[0] - half

    def copy(i: jax.Array, out: jax.Array) -> jax.Array:
        part = lax.dynamic_slice_in_dim(x, i * half, size)
        return lax.dynamic_update_slice_in_dim(out, part, i * half, axis=0)

    return lax.fori_loop(0, 2, copy, jnp.zeros_like(x))


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise InputError(
            f"unknown {what} {name!r}: expected one of {', '.join(names)}{near(name, names)}"
        )
