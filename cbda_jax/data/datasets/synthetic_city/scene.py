"""Street scenes, drawn whole: plan, camera, ground, what stands on it, light."""

import zlib

import numpy as np

from cbda_jax.data.datasets.synthetic_city.buildings import draw_skyline
from cbda_jax.data.datasets.synthetic_city.canvas import VOID, Camera, Canvas, Dice
from cbda_jax.data.datasets.synthetic_city.ground import Street, draw_ground
from cbda_jax.data.datasets.synthetic_city.layout import Layout
from cbda_jax.data.datasets.synthetic_city.look import LOOKS, Look
from cbda_jax.data.datasets.synthetic_city.paint import paint
from cbda_jax.errors import InputError

VERSION = "1.0.0"
"""Changes whenever the same seed draws another scene."""


def draw_scene(domain: str, seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws one street scene.

    The layout is a function of (version, domain, seed): sizes of the same aspect show the same
    scene, wider ones more of it. Everything is drawn at the size asked for; nothing is enlarged.

    Args:
        domain: "source" or "target".
        seed: which scene, at least 0.
        height: H, at least 32.
        width: W, at least 32.

    Returns:
        The image uint8 [H, W, 3] (RGB) and the label uint8 [H, W] (train ids, 255 = ignore).

    Raises:
        InputError: the domain is unknown, the seed negative or the size too small.
    """
    if domain not in LOOKS:
        raise InputError(
            f"domain: {domain!r} found, expected one of {', '.join(LOOKS)}; correct it"
        )
    if seed < 0:
        raise InputError(f"seed: {seed} found, expected 0 or more; correct it")
    if height < 32 or width < 32:
        raise InputError(f"a scene of {height} x {width} pixels is too small; at least 32 x 32.")
    look = LOOKS[domain]
    key = zlib.crc32(f"{VERSION}:{domain}".encode())

    def rng(stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence((key, seed, stream))))

    dice = Dice(rng(0))
    sky = dice.pick(look.sky)
    canvas = Canvas(height, width, sky[1])
    street = _plan(dice, look)
    camera = _camera(canvas, dice, look, street)
    sunny = dice.chance(look.sunny)
    sun = 1.0 if dice.chance(0.5) else -1.0

    draw_skyline(canvas, camera, Dice(rng(1)), look)
    draw_ground(canvas, camera, Dice(rng(2)), look, street)
    canvas.end_ground()
    if sunny:
        _long_shadow(canvas, camera, dice, street, sun)
    layout = Layout(canvas, camera, look, street, sun)
    layout.line_street(Dice(rng(3)))
    layout.furnish(Dice(rng(4)))
    layout.drive(Dice(rng(5)))
    layout.populate(Dice(rng(6)))
    layout.draw()
    if look.hood:
        _hood(canvas, Dice(rng(7)))
    return paint(canvas, camera, Dice(rng(9)), rng(8), look, sky, sunny)


def _plan(dice: Dice, look: Look) -> Street:
    half = dice.uniform(*look.road_half)
    tracks = None
    if dice.chance(look.trams * 1.5):
        tracks = -min(1.8, 0.35 * half)
    verge = [dice.uniform(1.5, 5.0) if dice.chance(look.green) else 0.0 for _ in range(2)]
    near = dice.uniform(9.0, 42.0)
    crossing = (near, near + dice.uniform(7.0, 14.0)) if dice.chance(look.crossing) else None
    lanes = (0.5 * half, -0.5 * half) if half > 6.0 else ()
    sidewalk = (dice.uniform(*look.sidewalk), dice.uniform(*look.sidewalk))
    return Street(half, sidewalk, (verge[0], verge[1]), crossing, dice.chance(0.6), tracks, lanes)


def _camera(canvas: Canvas, dice: Dice, look: Look, street: Street) -> Camera:
    centre = street.half * dice.uniform(0.15, 0.55)
    return Camera(
        canvas.pixel_size,
        focal=dice.uniform(*look.focal),
        height=dice.uniform(*look.camera_height),
        horizon=dice.uniform(*look.horizon),
        centre=centre,
        yaw=dice.uniform(-0.05, 0.05) - 0.008 * centre,
        roll=dice.uniform(-look.roll, look.roll),
        curve=dice.uniform(-look.curve, look.curve) if dice.chance(0.6) else 0.0,
        rise=dice.uniform(-0.0006, 0.0006) if dice.chance(0.5) else 0.0,
    )


def _long_shadow(canvas: Canvas, camera: Camera, dice: Dice, street: Street, sun: float) -> None:
    """The houses of the sunny side shade a part of the road."""
    edge = sun * (street.half + 4.0)
    z = 2.0
    while z < 60.0:
        length = dice.uniform(6.0, 16.0)
        reach = edge - sun * dice.uniform(2.0, 1.3 * street.half + 4.0)
        strip = ((edge, z), (reach, z), (reach, z + length), (edge, z + length))
        canvas.shadow([camera.point(s, 0.0, z) for s, z in strip], 0.38)
        z += length + (dice.uniform(2.0, 8.0) if dice.chance(0.4) else 0.0)


def _hood(canvas: Canvas, dice: Dice) -> None:
    """The own vehicle's bonnet and the dark borders of a rectified image."""
    H, W = canvas.pixel_size
    canvas.use(VOID, 1.5)
    top = H * (1.0 - dice.uniform(0.05, 0.1))
    colour = dice.jitter((44, 46, 50), 8.0)
    bow = dice.uniform(0.02, 0.06) * H
    count = 12
    arc = []
    for k in range(count + 1):
        u = 2.0 * k / count - 1.0
        arc.append((W * k / count, top + bow * u * u))
    canvas.poly([(0, H + 1), *arc, (W, H + 1)], colour)
    canvas.poly([(0, H + 1), *((x, y + 0.02 * H) for x, y in arc), (W, H + 1)], colour, 1.35)
    edge = 0.006 * W
    canvas.box(0, 0, edge, H, (4, 4, 4))
    canvas.box(W - edge, 0, W, H, (4, 4, 4))
