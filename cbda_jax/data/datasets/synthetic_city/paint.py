"""From a canvas to a picture: textures, light, haze, and what a camera adds."""

import functools

import numpy as np
from PIL import Image, ImageFilter

from cbda_jax.data.datasets.synthetic_city.canvas import (
    FOLIAGE,
    GROUND,
    MASONRY,
    SKY,
    Camera,
    Canvas,
    Colour,
    Dice,
    Real,
)
from cbda_jax.data.datasets.synthetic_city.look import Look

_TILE = 1024
_TILE_METRE = 14.0  # pixels


def _smooth(rng: np.random.Generator, cells: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Value noise in about -1..1, float32 [H, W], with so many cells."""
    cells = min(cells[0], size[0]), min(cells[1], size[1])
    H, W = size
    grid = rng.random(cells, np.float32) * np.float32(2.0) - np.float32(1.0)
    if cells == size:
        return grid
    picture = Image.fromarray(grid)
    return np.asarray(picture.resize((W, H), Image.Resampling.BILINEAR))


@functools.cache
def _ground_tile() -> Image.Image:
    """Asphalt seen from above, mode L: stains, patches and grain."""
    rng = np.random.Generator(np.random.PCG64(20230917))
    size = (_TILE, _TILE)
    tile = np.zeros(size, np.float32)
    for cells, amount in ((24, 0.45), (90, 0.4), (340, 0.45), (_TILE, 0.35)):
        tile += np.float32(amount) * _smooth(rng, (cells, cells), size)
    return Image.fromarray(np.clip(127.5 + 90.0 * tile, 0, 255).astype(np.uint8))


def _ground(camera: Camera, size: tuple[int, int], samples: int, offset: Real) -> np.ndarray:
    """The tile laid on the road, as the camera sees it: float32 [H, W] in about -1..1."""
    H, W = size
    k = 1.0 / samples
    focal, cx, cy = camera.focal * k, camera.cx * k, camera.cy * k
    # A pixel (x, y) below the horizon sees z = focal height / (y - cy), s = z (x - cx) / focal.
    u = _TILE_METRE * camera.height
    v = _TILE_METRE * camera.height * focal
    half = 0.5 * _TILE
    coefficients = (u, half, -u * cx - half * cy, 0.0, offset, v - offset * cy, 0.0, 1.0, -cy)
    a, b, c, d, e, f, g, h, one = (value / -cy for value in coefficients)
    assert abs(one - 1.0) < 1e-9
    picture = _ground_tile().transform(
        (W, H),
        Image.Transform.PERSPECTIVE,
        (a, b, c, d, e, f, g, h),
        Image.Resampling.BILINEAR,
        fillcolor=128,
    )
    field = (np.asarray(picture).astype(np.float32) - np.float32(127.5)) * np.float32(1 / 127.5)
    field[: max(int(cy) + 1, 0)] = 0
    return field


def _sky(rng, dice: Dice, sky: tuple[Colour, Colour], camera: Camera, canvas: Canvas) -> np.ndarray:
    """Gradient and clouds, float32 [H, W, 3]."""
    H, W = canvas.size
    zenith, horizon = (np.array(colour, np.float32) for colour in sky)
    level = np.clip(np.arange(H, dtype=np.float32) / max(camera.cy / canvas.samples, 1.0), 0, 1)
    plain = zenith + (horizon - zenith) * level[:, None, None]
    clouds = _smooth(rng, (6, 7), (H, W)) + np.float32(0.5) * _smooth(rng, (18, 22), (H, W))
    cover = np.clip(clouds * np.float32(dice.uniform(0.2, 1.0)), 0, 1)[:, :, None]
    return plain + cover * (np.float32(dice.uniform(225, 246)) - plain) * np.float32(0.85)


def paint(
    canvas: Canvas,
    camera: Camera,
    dice: Dice,
    rng: np.random.Generator,
    look: Look,
    sky: tuple[Colour, Colour],
    sunny: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Colours the canvas.

    Args:
        canvas: what was drawn.
        camera: what it was drawn with.
        dice: for the choices of light, the same at every size.
        rng: for textures and noise.
        look: the domain.
        sky: its colours at the zenith and at the horizon.
        sunny: whether there are hard shadows.

    Returns:
        The image uint8 [H, W, 3] and the label uint8 [H, W].
    """
    H, _ = canvas.size
    n = canvas.samples
    fine = canvas.numbers()
    numbers = fine[n // 2 :: n, n // 2 :: n]
    packed = canvas.palette()[fine]
    picture = Image.frombuffer("RGBX", fine.shape[::-1], packed.tobytes(), "raw", "RGBX", 0, 1)
    albedo = np.asarray(picture.reduce(n))[:, :, :3].astype(np.float32)

    is_sky = np.array(canvas.classes, np.uint8)[numbers] == SKY
    image = np.where(is_sky[:, :, None], _sky(rng, dice, sky, camera, canvas), albedo)
    texture = np.array(canvas.textures, np.uint8)[numbers]
    light = _texture(texture, canvas, camera, dice, rng, look)
    on_ground = (numbers <= canvas.last_ground) & ~is_sky
    shadow = canvas.shadows()
    if not sunny:
        shadow = shadow.filter(ImageFilter.BoxBlur(max(H // 48, 1)))
    falls = np.asarray(shadow).astype(np.float32) * np.float32(1 / 255)
    light *= np.where(on_ground, falls, np.float32(1))

    flat = on_ground & (texture == GROUND)
    depth = np.where(
        flat, _ground_depth(canvas, camera), np.array(canvas.depths, np.float32)[numbers]
    )
    clear = np.exp(depth * np.float32(-1.0 / dice.uniform(*look.haze)))
    clear = np.where(is_sky, np.float32(1), clear)[:, :, None]
    haze = np.array(sky[1], np.float32) * np.float32(0.94)
    image = haze + (image * light[:, :, None] - haze) * clear
    return _camera(image, dice, rng, look), canvas.label(numbers)


def _texture(texture: np.ndarray, canvas: Canvas, camera: Camera, dice: Dice, rng, look: Look):
    """How textures modulate the colours: float32 [H, W], about 1."""
    H, W = canvas.size
    detail = np.float32(0)
    if H > 192:
        # From a stream of its own, so that large and small scenes share the coarser patterns.
        detail = np.float32(0.12) * _smooth(rng.spawn(1)[0], (300, 300 * W // H), (H, W))
    cells = [(k, max(k * W // H, 1)) for k in (9, 30, 96)]
    broad, middle, small = (_smooth(rng, cell, (H, W)) for cell in cells)
    masonry = np.float32(0.1) * broad + np.float32(0.08) * middle + np.float32(0.07) * small
    fields = {
        GROUND: np.float32(0.26)
        * _ground(camera, (H, W), canvas.samples, dice.uniform(0.0, 300.0)),
        FOLIAGE: np.float32(0.26) * small + np.float32(0.2) * middle + detail,
        MASONRY: masonry + np.float32(0.4) * detail,
    }
    light = np.ones((H, W), np.float32)
    for kind, field in fields.items():
        light += np.where(texture == kind, np.float32(look.texture) * field, np.float32(0))
    return light


def _ground_depth(canvas: Canvas, camera: Camera) -> np.ndarray:
    """Metres to the ground in every row, float32 [H, 1]."""
    k = 1.0 / canvas.samples
    rows = np.arange(canvas.size[0], dtype=np.float32) - np.float32(camera.cy * k)
    depth = np.float32(camera.focal * k * camera.height) / np.maximum(rows, np.float32(0.5))
    return np.minimum(depth, np.float32(300.0))[:, None]


def _camera(image: np.ndarray, dice: Dice, rng: np.random.Generator, look: Look) -> np.ndarray:
    """Exposure, colour cast, contrast, vignetting, blur and noise; uint8 [H, W, 3]."""
    H, W, _ = image.shape
    gain = dice.uniform(*look.exposure)
    cast = [gain * (1.0 + dice.uniform(-look.cast, look.cast)) for _ in range(3)]
    contrast = dice.uniform(*look.contrast)
    offset = np.float32((1.0 - contrast) * 118.0)
    image = image * (np.float32(contrast) * np.array(cast, np.float32)) + offset
    vignette = dice.uniform(*look.vignette)
    if vignette > 0:
        y = np.linspace(-1, 1, H, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, W, dtype=np.float32)[None, :]
        image *= (np.float32(1) - np.float32(0.5 * vignette) * (x * x + y * y))[:, :, None]
    blur = dice.uniform(*look.blur) * (H / 96.0) ** 0.5
    noise = dice.uniform(*look.noise)
    if blur > 0:
        rounded = np.clip(image, 0, 255).astype(np.uint8)
        soft = Image.fromarray(rounded).filter(ImageFilter.GaussianBlur(blur))
        image = np.asarray(soft).astype(np.float32)
    if noise > 0:
        grain = rng.standard_normal((H, W), np.float32)[:, :, None] * np.float32(0.8)
        image = image + np.float32(noise) * (
            grain + np.float32(0.6) * rng.standard_normal(image.shape, np.float32)
        )
    return np.clip(image + np.float32(0.5), 0, 255).astype(np.uint8)
