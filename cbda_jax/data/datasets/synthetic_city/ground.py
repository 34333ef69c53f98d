"""Roads with their markings, sidewalks with their curbs, verges, tram tracks."""

import dataclasses
from typing import no_type_check

from cbda_jax.data.datasets.synthetic_city.canvas import (
    GROUND,
    ROAD,
    SIDEWALK,
    TERRAIN,
    Camera,
    Canvas,
    Colour,
    Dice,
    Real,
)
from cbda_jax.data.datasets.synthetic_city.look import Look

CURB = 0.13
FAR = 170.0
_STEPS = (1.2, 3.0, 6.0, 10.0, 16.0, 24.0, 36.0, 54.0, 80.0, 120.0, FAR)


@dataclasses.dataclass(frozen=True)
class Street:
    """The plan of one street: where its strips lie.

    Attributes:
        half: half the road's width.
        sidewalk: widths of the left and the right sidewalk.
        verge: widths of the grass between sidewalk and houses, left and right; 0 is none.
        crossing: (near, far) z of a crossing street, or None.
        zebra: whether people cross there on a zebra crossing.
        tracks: s of a tram's tracks, or None.
        lanes: s of the lines that divide lanes in the same direction.
    """

    half: float
    sidewalk: tuple[Real, Real]
    verge: tuple[Real, Real]
    crossing: tuple[Real, Real] | None
    zebra: bool
    tracks: Real | None
    lanes: tuple[float, ...]

    def house_line(self, side: int) -> float:
        """|s| where the houses begin; side is 0 (left) or 1 (right)."""
        return self.half + self.sidewalk[side] + self.verge[side]


@no_type_check
def _strip(canvas: Canvas, camera: Camera, s: tuple[Real, Real], y: Real, z, colour, light=1.0):
    """A band of ground from z[0] to z[1] between two s, bent with the road."""
    near, far = z
    cuts = [near, *(step for step in _STEPS if near < step < far), far]
    left = [camera.point(s[0], y, cut) for cut in cuts]
    right = [camera.point(s[1], y, cut) for cut in reversed(cuts)]
    canvas.poly(left + right, colour, light)


def _outside(street: Street, z: Real) -> bool:
    return street.crossing is None or not street.crossing[0] - 3.5 < z < street.crossing[1] + 1.5


def draw_ground(canvas: Canvas, camera: Camera, dice: Dice, look: Look, street: Street) -> None:
    """Draws everything flat, from the base plane up to the markings."""
    base = dice.colour(look.terrain)
    road = dice.colour(look.road, 7.0)
    paving = dice.colour(look.sidewalk_colours, 9.0)
    H, W = canvas.pixel_size
    canvas.use(TERRAIN, 60.0, GROUND)
    _, y = camera.point(0.0, 0.0, FAR)
    canvas.poly(((-W, y - 1), (2 * W, y - 1), (2 * W, 2 * H), (-W, 2 * H)), base)

    for side, sign in ((0, -1.0), (1, 1.0)):
        _side(canvas, camera, dice, look, street, side, sign, paving)
    canvas.use(ROAD, 12.0, GROUND)
    _strip(canvas, camera, (-street.half, street.half), 0.0, (0.5, FAR), road)
    if street.crossing:
        near, far = street.crossing
        canvas.use(ROAD, near, GROUND)
        corners = ((-70.0, near), (70.0, near), (70.0, far), (-70.0, far))
        canvas.poly([camera.point(s, 0.0, z) for s, z in corners], road)
    _wear(canvas, camera, dice, street, road)
    _markings(canvas, camera, dice, look, street)


def _side(canvas, camera, dice, look, street, side, sign, paving: Colour) -> None:
    """One sidewalk with its curb, and what lies between it and the houses."""
    inner = street.half
    middle = inner + street.sidewalk[side]
    outer = middle + street.verge[side]
    spans = [(0.5, FAR)]
    if street.crossing:
        spans = [(0.5, street.crossing[0]), (street.crossing[1], FAR)]
    slab = dice.uniform(1.2, 2.6) if dice.chance(0.6) else 0.0
    for span in reversed(spans):
        canvas.use(SIDEWALK, 15.0, GROUND)
        _strip(canvas, camera, (sign * inner, sign * (outer + 1.5)), CURB, span, paving)
        if street.verge[side] > 0:
            canvas.use(TERRAIN, 15.0, GROUND)
            grass = dice.colour(look.terrain)
            _strip(canvas, camera, (sign * middle, sign * outer), CURB, span, grass)
        canvas.use(SIDEWALK, 12.0, GROUND)
        z = max(span[0], 1.5)
        while slab and z < min(span[1], 26.0):
            _strip(canvas, camera, (sign * inner, sign * middle), CURB, (z, z + 0.07), paving, 0.86)
            z += slab
        curb = dice.jitter(look.curb, 8.0)
        _strip(canvas, camera, (sign * (inner - 0.02), sign * (inner + 0.2)), CURB, span, curb)
        cuts = [span[0], *(step for step in _STEPS if span[0] < step < span[1]), span[1]]
        face = [camera.point(sign * inner, CURB, z) for z in cuts]
        face += [camera.point(sign * inner, 0.0, z) for z in reversed(cuts)]
        canvas.poly(face, curb, 0.72)
        if span[0] > 1.0:
            ends = ((inner, CURB), (outer + 8, CURB), (outer + 8, 0.0), (inner, 0.0))
            canvas.poly([camera.point(sign * s, y, span[0]) for s, y in ends], curb, 0.8)


def _wear(canvas, camera, dice: Dice, street: Street, road: Colour) -> None:
    """Patches, seams and manhole covers."""
    canvas.use(ROAD, 10.0, GROUND)
    for _ in range(dice.integer(0, 5)):
        s = dice.uniform(-street.half, street.half - 1.0)
        z = dice.uniform(4.0, 30.0)
        width, length = dice.uniform(0.5, 2.6), dice.uniform(1.0, 9.0)
        light = dice.uniform(0.82, 1.12)
        end = min(s + width, street.half)
        _strip(canvas, camera, (s, end), 0.0, (z, z + length), road, light)
    if dice.chance(0.5):
        s, z = dice.uniform(-2.0, 3.0), dice.uniform(5.0, 14.0)
        _strip(canvas, camera, (s, s + 0.7), 0.0, (z, z + 0.7), road, 0.55)


def _markings(canvas, camera, dice: Dice, look: Look, street: Street) -> None:
    canvas.use(ROAD, 10.0, GROUND)
    paint = dice.jitter(look.marking, 10.0)
    if street.tracks is not None:
        for rail in (-0.72, 0.72):
            s = street.tracks + rail
            _strip(canvas, camera, (s - 0.22, s + 0.22), 0.0, (0.5, FAR), (92, 88, 84))
            _strip(canvas, camera, (s - 0.06, s + 0.06), 0.0, (0.5, FAR), (186, 186, 188))
    solid = dice.chance(0.25)
    lines = [(0.0, solid)] if dice.chance(0.7) else []
    lines += [(s, False) for s in street.lanes]
    if dice.chance(0.35):
        lines += [(-street.half + 0.35, True), (street.half - 0.35, True)]
    gap = dice.uniform(4.0, 8.0)
    for s, unbroken in lines:
        z = dice.uniform(1.5, 5.0)
        if unbroken:
            end = street.crossing[0] - 4.0 if street.crossing else 90.0
            _strip(canvas, camera, (s - 0.08, s + 0.08), 0.0, (0.5, end), paint)
            continue
        while z < 75.0:
            if _outside(street, z) and _outside(street, z + 2.5):
                _strip(canvas, camera, (s - 0.08, s + 0.08), 0.0, (z, z + 2.5), paint)
            z += gap
    if street.crossing:
        near = street.crossing[0]
        if street.zebra:
            s = -street.half + 0.5
            while s < street.half - 0.5:
                _strip(canvas, camera, (s, s + 0.5), 0.0, (near - 3.2, near - 0.4), paint)
                s += 1.0
        else:
            _strip(canvas, camera, (0.1, street.half), 0.0, (near - 1.2, near - 0.7), paint)
    elif dice.chance(0.25):
        s, z = dice.uniform(0.8, 2.2), dice.uniform(7.0, 14.0)
        _strip(canvas, camera, (s, s + 0.25), 0.0, (z, z + 2.4), paint)
        tip = ((s - 0.3, z + 2.3), (s + 0.125, z + 3.8), (s + 0.55, z + 2.3))
        canvas.poly([camera.point(a, 0.0, b) for a, b in tip], paint)
