"""The named methods: what each acquires, and which domains it trains on."""

from dataclasses import dataclass

from cbda_jax import acquisition
from cbda_jax.errors import InputError, near


@dataclass(frozen=True)
class Method:
    """One row of the paper's table.

    Attributes:
        score: "ripu" (impurity x uncertainty), "entropy", "impurity" or "random".
        unit: "region" (a square is labelled) or "pixel" (its centre only).
        radius: k. Regions are (2k + 1)^2 pixels; a pixel blocks (2k + 1)^2 around itself.
        class_balance: "none", "quota", or a scheme of `acquisition.class_weights`.
        allocation: "per_image" (the same budget in every image) or "global".
        source, target: whether the domain is trained on.
        acquires: whether there are rounds; if not, the target is labelled whole or not at all.
    """

    score: str = "ripu"
    unit: str = "region"
    radius: int = 1
    class_balance: str = "none"
    allocation: str = "per_image"
    source: bool = True
    target: bool = True
    acquires: bool = True


METHODS = {
    # Bounds.
    "source_only": Method(target=False, acquires=False),
    "full_supervision": Method(acquires=False),
    # Like-for-like baselines: same budget, no information.
    "random_pixels": Method(score="random", unit="pixel", radius=0),
    "random_regions": Method(score="random"),
    "entropy": Method(score="entropy"),
    # Xie et al., CVPR 2022: "RA" and, with the larger window, "PA".
    "ripu": Method(),
    "ripu_pixel": Method(unit="pixel", radius=32),
    # Schachtsiek et al., 2023, and its two halves.
    "cb": Method(class_balance="exp"),
    "da": Method(allocation="global"),
    "cbda": Method(class_balance="exp", allocation="global"),
}

CHOICES = {
    "score": acquisition.SCORES,
    "unit": acquisition.UNITS,
    "class_balance": ("none", "quota", *acquisition.SCHEMES),
    "allocation": ("per_image", "global"),
}


def get_method(name: str) -> Method:
    """The method called `name`.

    Raises:
        InputError: there is none; the message lists all and suggests the nearest.
    """
    if name in METHODS:
        return METHODS[name]
    raise InputError(
        f"method: {name!r} found, expected one of {', '.join(METHODS)}{near(name, METHODS)}"
    )
