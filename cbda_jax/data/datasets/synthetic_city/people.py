"""People on foot, riders, bicycles and motorcycles, as upright flat figures."""

import math
from typing import no_type_check

from cbda_jax.data.datasets.synthetic_city.canvas import (
    BICYCLE,
    MOTORCYCLE,
    PERSON,
    RIDER,
    Camera,
    Canvas,
    Colour,
    Dice,
    Point,
    Real,
)
from cbda_jax.data.datasets.synthetic_city.look import Look

_SKIN = ((224, 178, 150), (198, 148, 116), (140, 96, 70), (92, 62, 48))
_HAIR = ((40, 32, 28), (92, 66, 44), (150, 120, 80), (120, 118, 116))
_CIRCLE = [(math.cos(k * math.pi / 6), math.sin(k * math.pi / 6)) for k in range(12)]


@no_type_check
class Figure:
    """A flat upright frame at a place: dx metres to the right, y metres up.

    Args:
        squeeze: how much of its length shows, as seen from its heading; negative faces left.
    """

    def __init__(self, canvas: Canvas, camera: Camera, s, y, z, squeeze: Real = 1.0):
        self.canvas, self.depth = canvas, z
        self.x, self.y = camera.point(s, y, z)
        self.pixels = camera.scale(z)
        self.squeeze = squeeze

    def at(self, dx: Real, y: Real) -> Point:
        """Where a point of the figure lies on the canvas."""
        return self.x + dx * self.squeeze * self.pixels, self.y - y * self.pixels

    def poly(self, points, colour: Colour, light: Real = 1.0) -> None:
        """A polygon in the figure's frame."""
        self.canvas.poly([self.at(*point) for point in points], colour, light)

    def bar(self, a: Point, b: Point, width: Real, colour: Colour, light: Real = 1.0) -> None:
        """A bar in the figure's frame; its width is not squeezed."""
        self.canvas.stroke(self.at(*a), self.at(*b), width * self.pixels, colour, light)

    def disc(self, dx: Real, y: Real, radius: Real, colour: Colour, light: Real = 1.0) -> None:
        """A disc that keeps its width."""
        x, cy = self.at(dx, y)
        r = radius * self.pixels
        self.canvas.poly([(x + r * c, cy + r * s) for c, s in _CIRCLE], colour, light)

    def shadow(self, width: Real, strength: Real) -> None:
        """Darkens the ground below."""
        w, h = width * self.pixels * max(abs(self.squeeze), 0.4), 0.14 * self.pixels
        self.canvas.shadow([(self.x + w * c, self.y + h * s) for c, s in _CIRCLE], strength)


def draw_person(canvas, camera, dice: Dice, look: Look, s, y, z) -> None:
    """Someone standing or walking."""
    height = dice.uniform(1.58, 1.92)
    if dice.chance(0.1):
        height *= dice.uniform(0.55, 0.75)
    k = height / 1.75
    stride = dice.uniform(-0.32, 0.32)
    top, bottom = dice.colour(look.clothes), dice.colour(look.clothes)
    skin, hair = dice.colour(_SKIN, 8.0), dice.colour(_HAIR, 8.0)
    wide = dice.uniform(0.19, 0.27)
    skirt = dice.chance(0.2)
    bag = dice.chance(0.3)
    bag_colour = dice.colour(look.shops)
    figure = Figure(canvas, camera, s, y, z, k if dice.chance(0.5) else -k)
    canvas.use(PERSON, z)
    figure.shadow(0.4, 0.5)
    hip, chest = 0.86 * k, 1.45 * k
    for x in (-stride, stride):
        figure.bar((0.05 * (1 if x > 0 else -1), hip), (x, 0.05), 0.17 * k, bottom, 0.9)
        figure.bar((x - 0.02, 0.04), (x + 0.14, 0.04), 0.09 * k, (36, 34, 34))
    if skirt:
        hem = wide + 0.08
        figure.poly(((-0.14, 1.0 * k), (0.14, 1.0 * k), (hem, 0.45 * k), (-hem, 0.45 * k)), bottom)
    trunk = ((-wide, chest), (wide, chest), (wide * 0.86, hip - 0.06), (-wide * 0.86, hip - 0.06))
    figure.poly(trunk, top)
    for x in (-wide, wide):
        hand = x + stride * (0.5 if x > 0 else -0.5)
        figure.bar((x * 0.95, chest - 0.05), (hand, 0.8 * k), 0.12 * k, top, 0.85)
    figure.bar((0.0, chest - 0.02), (0.0, chest + 0.12 * k), 0.1 * k, skin, 0.9)
    figure.disc(0.02, 1.62 * k, 0.125 * k, hair)
    figure.disc(0.05, 1.59 * k, 0.1 * k, skin)
    if bag:
        figure.poly(
            ((-wide - 0.12, 1.35 * k), (-wide + 0.06, 1.35 * k), (-wide, 0.9 * k)), bag_colour
        )


def _rider(figure: Figure, dice: Dice, look: Look, seat: Point, bars: Point, foot: Point) -> None:
    canvas = figure.canvas
    top, bottom = dice.colour(look.clothes), dice.colour(look.clothes)
    helmet = dice.colour(look.shops if dice.chance(0.5) else _HAIR)
    skin = dice.colour(_SKIN, 8.0)
    canvas.use(RIDER, figure.depth)
    knee = (0.5 * (seat[0] + bars[0]) + 0.06, 0.5 * (seat[1] + foot[1]) + 0.12)
    figure.bar(seat, knee, 0.22, bottom, 0.9)
    figure.bar(knee, foot, 0.17, bottom, 0.85)
    neck = (seat[0] + 0.22, seat[1] + 0.6)
    trunk = (
        (seat[0] - 0.17, seat[1] - 0.06),
        (seat[0] + 0.19, seat[1] - 0.06),
        (neck[0] + 0.2, neck[1] - 0.04),
        (neck[0] - 0.2, neck[1] + 0.02),
    )
    figure.poly(trunk, top)
    x, y = figure.at(*neck)
    half = 0.2 * figure.pixels
    foot_x, foot_y = figure.at(*seat)
    canvas.poly(
        ((x - half, y), (x + half, y), (foot_x + half, foot_y), (foot_x - half, foot_y)), top
    )
    figure.bar((neck[0], neck[1] - 0.08), bars, 0.12, top, 0.85)
    figure.disc(neck[0] + 0.06, neck[1] + 0.17, 0.13, skin)
    figure.disc(neck[0] + 0.05, neck[1] + 0.22, 0.135, helmet)


def _squeeze(dice: Dice, along: bool) -> float:
    """Traffic is seen from behind or the front; parked two-wheelers mostly from the side."""
    share = dice.uniform(0.2, 0.55) if along else dice.uniform(0.55, 1.0)
    return share if dice.chance(0.5) else -share


def draw_bicycle(canvas, camera, dice: Dice, look: Look, s, y, z, *, ridden: bool) -> None:
    """A bicycle, parked or with its rider."""
    figure = Figure(canvas, camera, s, y, z, _squeeze(dice, ridden))
    frame = dice.colour(look.cars)
    basket = dice.chance(0.3)
    canvas.use(BICYCLE, z)
    figure.shadow(0.8, 0.35)
    tyre = (38, 36, 36)
    radius = 0.35
    for x in (-0.52, 0.52):
        ring = [(x + radius * c, radius + radius * s) for c, s in _CIRCLE]
        for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
            figure.bar(a, b, 0.075, tyre)
        if figure.pixels > 30 * canvas.fine:
            for k in range(6):
                c, s_ = _CIRCLE[k]
                ends = (
                    (x + radius * c, radius + radius * s_),
                    (x - radius * c, radius - radius * s_),
                )
                figure.bar(*ends, 0.012, (150, 150, 150))
        canvas.outline(BICYCLE, [figure.at(*point) for point in ring])
    crank, saddle, head = (-0.06, 0.36), (-0.2, 0.86), (0.38, 0.84)
    for a, b in (
        (crank, saddle),
        (crank, head),
        (saddle, head),
        (crank, (-0.52, 0.35)),
        (saddle, (-0.52, 0.35)),
        (head, (0.52, 0.35)),
    ):
        figure.bar(a, b, 0.07, frame)
    corners = [figure.at(*p) for p in ((-0.52, 0.35), saddle, head, (0.52, 0.35), crank)]
    canvas.outline(BICYCLE, corners)
    figure.bar((-0.32, 0.93), (-0.08, 0.93), 0.08, (30, 30, 30))
    figure.bar((0.3, 1.0), (0.44, 1.02), 0.06, (60, 60, 62))
    if basket:
        figure.poly(((0.42, 1.0), (0.72, 1.0), (0.68, 0.76), (0.46, 0.76)), (120, 100, 80))
    if ridden:
        _rider(figure, dice, look, (-0.2, 0.95), (0.36, 1.02), (-0.02, 0.24))


def draw_motorcycle(canvas, camera, dice: Dice, look: Look, s, y, z, *, ridden: bool) -> None:
    """A motorcycle or a scooter, parked or with its rider."""
    figure = Figure(canvas, camera, s, y, z, _squeeze(dice, ridden) * 1.1)
    paint = dice.colour(look.cars)
    scooter = dice.chance(0.4)
    chest = dice.chance(0.35)
    canvas.use(MOTORCYCLE, z)
    figure.shadow(0.95, 0.45)
    radius = 0.26 if scooter else 0.33
    for x in (-0.68, 0.68):
        ring = [(x + radius * c, radius + radius * s) for c, s in _CIRCLE]
        figure.poly(ring, (32, 32, 34))
        figure.poly(
            [(x + 0.5 * (a - x), radius + 0.5 * (b - radius)) for a, b in ring], (128, 128, 130)
        )
    # Seen from the front or behind, what is left is a tyre, a body and a pair of arms.
    figure.bar((-0.68, 0.06), (-0.68, 0.6), 0.2, (32, 32, 34))
    if scooter:
        figure.poly(
            ((-0.8, 0.78), (-0.1, 0.82), (0.0, 0.26), (0.46, 0.26), (0.5, 0.2), (-0.5, 0.2)), paint
        )
        figure.poly(((0.4, 0.2), (0.58, 0.2), (0.5, 1.0), (0.34, 1.0)), paint, 0.9)
        figure.bar((-0.75, 0.82), (0.0, 0.84), 0.12, (36, 34, 34))
    else:
        figure.poly(((-0.5, 0.3), (0.4, 0.26), (0.5, 0.6), (-0.4, 0.62)), (88, 88, 92))
        figure.poly(((-0.1, 0.6), (0.42, 0.56), (0.46, 0.92), (0.1, 0.98)), paint)
        figure.poly(((-0.86, 0.9), (-0.1, 0.76), (-0.1, 0.62), (-0.6, 0.66)), (36, 34, 34))
        figure.bar((0.68, 0.33), (0.44, 1.0), 0.1, (150, 150, 154))
        figure.bar((-0.7, 0.36), (0.0, 0.36), 0.1, (170, 170, 174))
    x, handle = figure.at(0.42, 1.08)
    half = 0.36 * figure.pixels
    canvas.stroke((x - half, handle), (x + half, handle), 0.09 * figure.pixels, (44, 44, 46))
    figure.disc(0.52, 0.92, 0.11, (236, 234, 220))
    middle, _ = figure.at(-0.1, 0.0)
    half = 0.19 * figure.pixels
    _, low = figure.at(0.0, 0.35)
    _, high = figure.at(0.0, 0.86)
    canvas.box(middle - half, high, middle + half, low, paint, 0.85)
    if chest:
        figure.poly(((-0.95, 1.25), (-0.55, 1.25), (-0.55, 0.9), (-0.95, 0.9)), paint, 0.8)
    if ridden:
        _rider(figure, dice, look, (-0.16, 0.86), (0.4, 1.08), (0.0, 0.3))
