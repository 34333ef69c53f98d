"""The scores, an open table: each a small function of the maps that its parameters name.

`MAPS` says what a parameter may name; a field of `Scoring` other than the score, such as `share`,
may be named too. Only what is named is computed, in the one pass over the logits. A new score is a
function and a name, here or anywhere else:

    @acquisition.register_score("doubt")
    def doubt(margin, uncertainty):
        return (1 - margin) * uncertainty

or `score="my_module:doubt"` without registering it.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32

from cbda_jax import plugins
from cbda_jax.acquisition.scoring.lowest import lowest
from cbda_jax.errors import InputError, near

MAPS = {
    "entropy": "of the pixel's softmax, in nats",
    "uncertainty": "the entropy; in a region its mean over the window, over log C",
    "impurity": "entropy of the window's predicted classes; in a region over log C",
    "confidence": "probability of the best class; in a region its mean over the window",
    "margin": "probability of the best class less the second best's; in a region the mean",
    "prediction": "the best class, uint8",
    "uniform": "drawn from [0, 1) in every pixel",
    "blocked": "bool, True where no pick may be centred",
}
"""What a score may name: maps `[H, W]`, float32 where nothing else is said."""

# With `clamp_impurity`, a window of one class counts as this impure where it is a factor. The least
# impure other window of up to 255 x 255 pixels has 2e-4 nats.
_FLOOR = 1e-6

Map = Float32[Array, "height width"]


def ripu(impurity: Map, uncertainty: Map, clamp_impurity: bool) -> Map:
    """Impurity x uncertainty (Xie et al., "Towards Fewer Annotations", CVPR 2022, eq. 7).

    With a clamped impurity, windows of one class rank below all others, by their uncertainty.
    """
    if clamp_impurity:
        impurity = jnp.where(impurity == 0, jnp.float32(_FLOOR), impurity)
    return impurity * uncertainty


def entropy(uncertainty: Map) -> Map:
    """Shannon entropy of the softmax, averaged over a region (Settles, 2009, section 3.1)."""
    return uncertainty


def impurity(impurity: Map) -> Map:
    """The impurity of the window alone (Xie et al., CVPR 2022, eq. 5)."""
    return impurity


def margin(margin: Map) -> Map:
    """1 - (p1 - p2), p1 and p2 the probabilities of the best and the second-best class.

    Scheffer, Decomain & Wrobel, "Active hidden Markov models for information extraction", 2001;
    Settles, "Active learning literature survey", 2009, section 3.1. In [0, 1]; averaged over a
    region.
    """
    return 1 - margin


def least_confidence(confidence: Map) -> Map:
    """1 - p1, p1 the probability of the best class.

    Lewis & Gale, "A sequential algorithm for training text classifiers", SIGIR 1994; Settles, 2009,
    section 3.1. In [0, 1); averaged over a region.
    """
    return 1 - confidence


def random(uniform: Map) -> Map:
    """No information: uniform in [0, 1)."""
    return uniform


def pixelpick(
    margin: Map, uniform: Map, blocked: Bool[Array, "height width"], share: float | int
) -> Map:
    """Uniform among the `share` of the image's pixels with the least margin.

    Shin, Xie & Albanie, "All you need are a few pixels: semantic segmentation with PixelPick",
    ICCV Workshops 2021, section 3: the floor(share H W) pixels of least margin that were not asked
    before, of which a round draws its picks uniformly, without replacement. With unit "pixel" and
    radius 0 `blocked` is what was asked. Equal margins go to the smallest column, then to the
    smallest row. The published program also leaves out void pixels, which only the ground truth
    knows; here they cost as they do elsewhere.

    Candidates score in [0, 1); all others -1 - margin. So a round that asks for more than there are
    candidates takes all of them, and then others by their margin, the least first (the published
    program stops with an error).
    """
    count = max(int(share * margin.size), 1)
    candidate = lowest(margin, count, among=~blocked) & ~jnp.isnan(margin)
    return jnp.where(candidate, uniform, -1 - margin)


SCORES: dict[str, Callable[..., Any]] = {
    "ripu": ripu,
    "entropy": entropy,
    "impurity": impurity,
    "margin": margin,
    "least_confidence": least_confidence,
    "random": random,
    "pixelpick": pixelpick,
}
"""Name -> function of the maps that its parameters name. `register_score` adds to it."""

# Those are tested; a check of the others may not run while modules are imported.
_OURS = frozenset(SCORES.values())


def register_score(name: str, function: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Adds a score to `SCORES`: `register_score("mine", function)`, or a decorator.

    Args:
        name: for `Scoring.score` and the config.
        function: of maps `[H, W]` that its parameters name (`MAPS`, or fields of `Scoring`), to
            `[H, W]` float32; higher is asked first. Traced by `jax.jit`.

    Returns:
        The function, or the decorator.

    Raises:
        InputError: another function has the name already.
    """
    if function is None:
        return lambda function: register_score(name, function)
    return plugins.register(SCORES, name, function, "score")


class Score(NamedTuple):
    """A function, and what its parameters name."""

    function: Callable[..., Any]
    names: tuple[str, ...]


def find_score(name: str, settings: Mapping[str, Any]) -> Score:
    """The score called `name`, checked without computing it.

    Args:
        name: a key of `SCORES`, or an import path "module:function".
        settings: of `Scoring`, that may be named beside the maps.

    Raises:
        InputError: there is none; it names what is not there; its result is no `[H, W]` float32.
    """
    where = "acquisition.score"
    function = plugins.find_function(SCORES, name, where)
    known = (*MAPS, *settings)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: {name!r} found, which does not say its parameters, expected a function "
            f"whose parameters name maps, of {', '.join(known)}; write one in Python"
        ) from error
    names = tuple(p.name for p in parameters if p.default is p.empty or p.name in known)
    if unknown := [n for n in names if n not in known]:
        raise InputError(
            f"{where}: parameter {unknown[0]!r} found in {name!r}, expected some of "
            f"{', '.join(known)}{near(unknown[0], known)}"
        )
    if function not in _OURS:
        _check_result(name, function, names, settings)
    return Score(function, names)


def _check_result(
    name: str, function: Callable[..., Any], names: tuple[str, ...], settings: Mapping[str, Any]
) -> None:
    shape, dtypes = (5, 7), {"prediction": jnp.uint8, "blocked": jnp.bool_}
    maps = {n: jax.ShapeDtypeStruct(shape, dtypes.get(n, jnp.float32)) for n in names if n in MAPS}
    fixed = {n: settings[n] for n in names if n not in MAPS}
    wanted = "expected float32 of the maps' shape, [H, W]; mend the function"
    try:
        found = jax.eval_shape(lambda maps: function(**maps, **fixed), maps)
    # Whatever a function of the user's raises.
    except Exception as error:
        raise InputError(
            f"acquisition.score: {name!r} found, which fails with {plugins.one_line(error)}, "
            f"{wanted}"
        ) from error
    if not isinstance(found, jax.ShapeDtypeStruct):
        raise InputError(
            f"acquisition.score: {name!r} found, which gives a {type(found).__name__}, {wanted}"
        )
    if found.shape != shape or found.dtype != jnp.float32:
        raise InputError(
            f"acquisition.score: {name!r} found, which makes {found.dtype} {[*found.shape]} of "
            f"maps of {[*shape]}, {wanted}"
        )
