"""Augmentation on the device: pure functions of an image and a random key."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from cbda_jax.errors import InputError
from cbda_jax.label_space import IGNORE

_LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601
_MEAN_COLOUR = (124 / 255, 116 / 255, 104 / 255)  # ImageNet's, in whole uint8 values


class Augment(NamedTuple):
    """What is done to the training images; nothing by default.

    Attributes:
        colour: strength of `colour_jitter`, in [0, 1].
        scale: range of `random_scale_crop`.
    """

    colour: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return bool(self.colour) or self.scales

    @property
    def scales(self) -> bool:
        """Whether the scale is random."""
        return tuple(self.scale) != (1.0, 1.0)


def check_augment(setting: Augment) -> None:
    """Checks what a user has set.

    Raises:
        InputError: a strength or a scale out of range.
    """
    if not 0 <= setting.colour <= 1:
        raise InputError(
            f"training.colour_jitter: {setting.colour} found, expected a strength from 0 (off) to 1"
        )
    if len(setting.scale) != 2 or not 0 < setting.scale[0] <= setting.scale[1]:
        raise InputError(
            f"training.scale_range: {tuple(setting.scale)} found, expected (lowest, highest), both "
            "positive; (1.0, 1.0) is off"
        )


def augment(
    images: UInt8[Array, "n h w 3"],
    labels: UInt8[Array, "n h w"],
    keys: Key[Array, " n"],
    setting: Augment,
) -> tuple[UInt8[Array, "n h w 3"], UInt8[Array, "n h w"]]:
    """Scales, crops and colours every image by its own key; sizes and types stay."""

    def one(image: Array, label: Array, key: Array) -> tuple[Array, Array]:
        image = image.astype(jnp.float32) / jnp.float32(255)
        if setting.scales:
            image, label = random_scale_crop(
                image, label, jax.random.fold_in(key, 0), setting.scale
            )
        if setting.colour:
            image = colour_jitter(image, jax.random.fold_in(key, 1), setting.colour)
        return jnp.round(image * jnp.float32(255)).astype(jnp.uint8), label

    return jax.vmap(one)(images, labels, keys)


def colour_jitter(
    image: Float[Array, "h w 3"], key: Key[Array, ""], strength: float
) -> Float[Array, "h w 3"]:
    """Random brightness, contrast, saturation and hue, always in this order.

    The proportions of SimCLR (Chen et al., 2020, appendix A): brightness, contrast and saturation
    times 1 - s to 1 + s; hue turned by -s / 4 to s / 4 of the circle. Contrast is about the mean
    luma of the image. Saturation scales the chroma plane of YIQ and hue rotates it, so that both
    keep the luma of a pixel (but for the clipping).

    Args:
        image: RGB float32 in 0..1.
        key: of this image.
        strength: s, in [0, 1]; 0 gives the image back.

    Returns:
        RGB float32, clipped to 0..1.
    """
    one, span = jnp.float32(1), jnp.asarray([strength] * 3 + [strength / 4], jnp.float32)
    draw = jax.random.uniform(key, (4,), minval=-one, maxval=one) * span
    brightness, contrast, saturation, turn = draw

    def clipped(x: Array) -> Array:
        return jnp.clip(x, jnp.float32(0), one)

    image = clipped(image * (1 + brightness))
    luma = jnp.sum(jnp.mean(image, axis=(0, 1)) * jnp.asarray(_LUMA, jnp.float32))
    image = clipped(image + contrast * (image - luma))
    chroma = (1 + saturation) * _hue(2 * jnp.pi * turn)
    grey = jnp.broadcast_to(jnp.asarray(_LUMA, jnp.float32), (3, 3))
    return clipped(jnp.einsum("hwc,dc->hwd", image, grey + chroma, precision="highest"))


def _hue(angle: Array) -> Array:
    """The chroma of an RGB colour (less its luma), turned: float32 [3, 3]."""
    # RGB to Y, I, Q (FCC, 1953).
    yiq = np.array([_LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
    plane = np.diag([0.0, 1.0, 1.0])
    quarter = np.array([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    back = np.linalg.inv(yiq)
    along, across = (jnp.asarray(back @ part @ yiq, jnp.float32) for part in (plane, quarter))
    return jnp.cos(angle) * along + jnp.sin(angle) * across


def random_scale_crop(
    image: Float[Array, "h w 3"],
    label: UInt8[Array, "h w"],
    key: Key[Array, ""],
    scale: tuple[float, float],
) -> tuple[Float[Array, "h w 3"], UInt8[Array, "h w"]]:
    """A window of the image's own size, at a random place of the image at a random scale.

    The scale is uniform in its range, one for both axes. An image larger than the window is cut by
    it; a smaller one lies inside it. The image is interpolated bilinearly (without a low-pass
    filter when it is made smaller), the label by nearest neighbour.

    Args:
        image: float32 in 0..1.
        label: train ids.
        key: of this image.
        scale: (lowest, highest); (1, 1) gives image and label back.

    Returns:
        The window's image, ImageNet's mean colour outside the image, and its label, 255 there.
    """
    low, high = (jnp.float32(bound) for bound in scale)
    size_key, place_key = jax.random.split(key)
    factor = jax.random.uniform(size_key, minval=low, maxval=high)
    place = jax.random.uniform(place_key, (2,))
    inside = []
    for axis in (0, 1):
        n = image.shape[axis]
        # Centres of pixels lie at halves; the window begins between the image's two ends.
        sample = jnp.arange(n, dtype=jnp.float32) + jnp.float32(0.5)
        position = (sample + place[axis] * (factor - 1) * n) / factor - jnp.float32(0.5)
        inside.append((position >= -0.5) & (position < n - 0.5))
        nearest = jnp.floor(position + jnp.float32(0.5)).astype(jnp.int32)
        label = jnp.take(label, nearest, axis=axis, mode="clip")
        image = _interpolate(image, position, axis)
    seen = inside[0][:, None] & inside[1][None, :]
    mean = jnp.asarray(_MEAN_COLOUR, jnp.float32)[None, None, :]
    return jnp.where(seen[..., None], image, mean), jnp.where(seen, label, jnp.uint8(IGNORE))


def _interpolate(image: Array, position: Array, axis: int) -> Array:
    low = jnp.floor(position)
    share = jnp.expand_dims(position - low, (1 - axis, 2))
    start, end = (
        jnp.take(image, index.astype(jnp.int32), axis=axis, mode="clip") for index in (low, low + 1)
    )
    return (1 - share) * start + share * end
