"""What stands along a street: trees, lamps, traffic lights, signs, bins."""

import math
from typing import no_type_check

from cbda_jax.data.datasets.synthetic_city.canvas import (
    FOLIAGE,
    LIGHT,
    MASONRY,
    PLAIN,
    POLE,
    SIGN,
    VEGETATION,
    VOID,
    Camera,
    Canvas,
    Dice,
    Real,
)
from cbda_jax.data.datasets.synthetic_city.look import Look

_BLOB = [(math.cos(k * math.pi / 4.5), math.sin(k * math.pi / 4.5)) for k in range(9)]
_DISC = [(math.cos(k * math.pi / 6), math.sin(k * math.pi / 6)) for k in range(12)]


@no_type_check
def _blob(canvas: Canvas, dice: Dice, x, y, rx, ry, colour, light) -> None:
    points = []
    for c, s in _BLOB:
        r = dice.uniform(0.74, 1.16)
        points.append((x + rx * r * c, y + ry * r * s))
    canvas.poly(points, colour, light)


def draw_tree(canvas: Canvas, camera: Camera, dice: Dice, look: Look, s, y, z, sun) -> None:
    """A broad-leaved tree, a poplar or a fir. The trunk counts as vegetation."""
    x, foot = camera.point(s, y, z)
    k = camera.scale(z)
    kind = dice.roll()
    height = dice.uniform(5.0, 10.5)
    if not -4.5 * k < x < canvas.pixel_size[1] + 4.5 * k:
        return
    leaves = dice.colour(look.leaves, 16.0)
    bark = dice.colour(look.bark, 8.0)
    lean = dice.uniform(-0.25, 0.25) * k
    canvas.use(VEGETATION, z, FOLIAGE)
    ring = [(x + 2.2 * k * c + sun * -0.8 * k, foot + 0.3 * k * t) for c, t in _DISC]
    canvas.shadow(ring, 0.4)
    if kind < 0.14:
        canvas.stroke((x, foot), (x, foot - 1.2 * k), 0.3 * k, bark)
        for tier in range(4):
            low = foot - (0.7 + 0.2 * tier * height) * k
            wide = (0.24 - 0.05 * tier) * height * k
            tip = low - 0.36 * height * k
            canvas.poly(((x - wide, low), (x, tip), (x + wide, low)), leaves, 0.7 + 0.12 * tier)
        return
    trunk = dice.uniform(0.22, 0.42)
    slim = kind < 0.26
    crown = height * (0.2 if slim else dice.uniform(0.3, 0.42))
    middle = foot - (height - crown * (1.7 if slim else 1.0)) * k
    tall = crown * (2.0 if slim else dice.uniform(0.8, 1.1))
    canvas.stroke((x, foot), (x + lean, middle), trunk * k, bark)
    x += lean
    if not slim:
        for side in (-0.5, 0.45):
            branch = (x + side * crown * k, middle - 0.3 * k)
            canvas.stroke((x, middle + 0.6 * crown * k), branch, 0.4 * trunk * k, bark)
    _blob(canvas, dice, x, middle, crown * k, tall * k, leaves, 0.74)
    for _ in range(8 if z < 40.0 else 4):
        angle, r = dice.uniform(0.0, 2 * math.pi), dice.uniform(0.35, 0.85)
        dx, dy = math.cos(angle) * r, math.sin(angle) * r
        size = dice.uniform(0.26, 0.46) * k
        light = 0.92 - 0.2 * dy + 0.12 * dx * sun + dice.uniform(-0.1, 0.1)
        cx, cy = x + dx * crown * k, middle + dy * tall * k
        _blob(canvas, dice, cx, cy, size * crown, size * tall * 0.9, leaves, light)


def draw_bush(canvas, camera, dice: Dice, look: Look, s, y, z) -> None:
    """A shrub."""
    x, foot = camera.point(s, y, z)
    k = camera.scale(z)
    leaves = dice.colour(look.leaves, 16.0)
    canvas.use(VEGETATION, z, FOLIAGE)
    size = dice.uniform(0.5, 1.3) * k
    _blob(canvas, dice, x, foot - 0.6 * size, 1.2 * size, 0.75 * size, leaves, 0.8)
    for _ in range(3):
        dx = dice.uniform(-0.7, 0.7) * size
        up = dice.uniform(0.5, 1.0) * size
        _blob(canvas, dice, x + dx, foot - up, 0.45 * size, 0.34 * size, leaves, 1.0)


def _post(canvas, camera, colour, s, y, z, height, width):
    """An upright pole; returns its top and the pixels a metre."""
    x, foot = camera.point(s, y, z)
    k = camera.scale(z)
    canvas.use(POLE, z, PLAIN)
    top = foot - height * k
    half = 0.5 * width * k
    canvas.box(x - half, top, x + half, foot + 0.03 * k, colour)
    canvas.box(x - half, top, x - 0.3 * half, foot, colour, 1.25)
    return x, top, k


def draw_lamp(canvas, camera, dice: Dice, look: Look, s, y, z) -> None:
    """A street lamp that leans over the road."""
    colour = dice.colour(look.poles, 8.0)
    x, top, k = _post(canvas, camera, colour, s, y, z, dice.uniform(5.5, 8.0), 0.17)
    reach = dice.uniform(0.8, 2.0) * (k if s < 0 else -k)
    canvas.stroke((x, top), (x + reach, top - 0.3 * k), 0.13 * k, colour)
    end = (x + reach, top - 0.3 * k)
    canvas.stroke(end, (end[0] + 0.5 * reach, end[1]), 0.2 * k, colour, 0.8)


def draw_post(canvas, camera, dice: Dice, look: Look, s, y, z) -> None:
    """A bollard or a bare mast."""
    colour = dice.colour(look.poles, 8.0)
    tall = dice.chance(0.3)
    height, width = (dice.uniform(4.5, 8.0), 0.19) if tall else (dice.uniform(0.8, 1.1), 0.16)
    _post(canvas, camera, colour, s, y, z, height, width)


def _head(canvas, x: Real, top: Real, k: Real, lit: int, housing) -> None:
    w, h = 0.24 * k, 1.15 * k
    canvas.box(x - w, top, x + w, top + h, housing)
    colours = ((255, 58, 44), (255, 190, 40), (60, 235, 130))
    for lamp, colour in enumerate(colours):
        y = top + h * (0.19 + 0.31 * lamp)
        r = 0.15 * k
        ring = [(x + r * c, y + r * s) for c, s in _DISC]
        canvas.poly(ring, colour, 1.0 if lamp == lit else 0.26)


def draw_traffic_light(canvas, camera, dice: Dice, look: Look, s, y, z) -> None:
    """A traffic light on a post, sometimes with a second one on an arm over the road."""
    colour = dice.colour(look.poles, 8.0)
    lit = dice.integer(0, 2)
    arm = dice.chance(0.45)
    height = dice.uniform(3.3, 3.9) + (1.4 if arm else 0.0)
    housing = dice.jitter((42, 44, 42), 10.0)
    x, top, k = _post(canvas, camera, colour, s, y, z, height, 0.18)
    if arm:
        reach = dice.uniform(2.2, 3.6) * (k if s < 0 else -k)
        canvas.stroke((x, top + 0.1 * k), (x + reach, top + 0.1 * k), 0.13 * k, colour)
        canvas.use(LIGHT, z)
        _head(canvas, x + reach, top + 0.05 * k, k, lit, housing)
    canvas.use(LIGHT, z)
    _head(canvas, x, top + (1.6 if arm else -0.05) * k, k, lit, housing)


def draw_sign(canvas, camera, dice: Dice, look: Look, s, y, z) -> None:
    """A traffic sign: round, triangular, square or a board with directions."""
    colour = dice.colour(look.poles, 8.0)
    kind = dice.integer(0, 5)
    height = dice.uniform(2.3, 3.0)
    x, top, k = _post(canvas, camera, colour, s, y, z, height + 0.3, 0.11)
    canvas.use(SIGN, z)
    r = dice.uniform(0.34, 0.46) * k
    cy = top + 0.3 * k
    tone = dice.uniform(0.85, 1.05)
    if kind in (0, 1):
        rim, field = ((206, 36, 40), (238, 238, 234)) if kind == 0 else ((36, 84, 168),) * 2
        canvas.poly([(x + r * c, cy + r * t) for c, t in _DISC], rim, tone)
        canvas.poly([(x + 0.68 * r * c, cy + 0.68 * r * t) for c, t in _DISC], field, tone)
        canvas.box(x - 0.36 * r, cy - 0.12 * r, x + 0.36 * r, cy + 0.12 * r, (238, 238, 234), tone)
    elif kind == 2:
        flip = -1.0 if dice.chance(0.3) else 1.0
        for size, paint in ((1.2, (206, 36, 40)), (0.72, (240, 238, 228))):
            q = size * r
            corners = (
                (x - q, cy + flip * 0.7 * q),
                (x + q, cy + flip * 0.7 * q),
                (x, cy - flip * q),
            )
            canvas.poly(corners, paint, tone)
    elif kind == 3:
        for size, paint in ((1.0, (240, 240, 232)), (0.8, (238, 196, 40))):
            q = size * 1.15 * r
            canvas.poly(((x, cy - q), (x + q, cy), (x, cy + q), (x - q, cy)), paint, tone)
    else:
        wide = r * (1.0 if kind == 4 else 1.9)
        paint = dice.pick(((36, 84, 168), (40, 120, 80), (236, 198, 50)))
        canvas.box(x - wide, cy - r, x + wide, cy + r, (238, 238, 234), tone)
        canvas.box(x - 0.9 * wide, cy - 0.88 * r, x + 0.9 * wide, cy + 0.88 * r, paint, tone)
        for row in (-0.4, 0.3):
            canvas.box(
                x - 0.6 * wide, cy + row * r, x + 0.6 * wide, cy + (row + 0.2) * r, (240,) * 3
            )


def draw_clutter(canvas, camera, dice: Dice, look: Look, s, y, z) -> None:
    """Things without a class: bins, boxes, advertising columns, benches."""
    x, foot = camera.point(s, y, z)
    k = camera.scale(z)
    colour = dice.colour(look.shops)
    kind = dice.integer(0, 3)
    canvas.use(VOID, z, MASONRY)
    if kind == 0:
        canvas.box(x - 0.3 * k, foot - 1.05 * k, x + 0.3 * k, foot, colour, 0.7)
        canvas.box(x - 0.34 * k, foot - 1.12 * k, x + 0.34 * k, foot - 0.96 * k, colour, 0.5)
    elif kind == 1:
        canvas.box(x - 0.65 * k, foot - 2.8 * k, x + 0.65 * k, foot, colour, 0.9)
        canvas.box(x - 0.6 * k, foot - 2.3 * k, x + 0.6 * k, foot - 0.7 * k, (206, 200, 186))
        canvas.box(x - 0.75 * k, foot - 3.0 * k, x + 0.75 * k, foot - 2.75 * k, (70, 74, 72))
    elif kind == 2:
        canvas.box(x - 0.9 * k, foot - 0.5 * k, x + 0.9 * k, foot - 0.36 * k, (122, 92, 60))
        canvas.box(x - 0.9 * k, foot - 0.95 * k, x + 0.9 * k, foot - 0.62 * k, (122, 92, 60), 0.9)
        for leg in (-0.7, 0.6):
            canvas.box(x + leg * k, foot - 0.4 * k, x + (leg + 0.1) * k, foot, (60, 60, 60))
    else:
        canvas.box(x - 0.45 * k, foot - 1.3 * k, x + 0.45 * k, foot, (150, 154, 150))
        canvas.box(x - 0.4 * k, foot - 1.2 * k, x - 0.03 * k, foot - 0.1 * k, (134, 138, 134))
