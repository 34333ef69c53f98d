"""Cars, trucks, buses and trams, as boxes in perspective."""

import math
from typing import no_type_check

from cbda_jax.data.datasets.synthetic_city.canvas import (
    BUS,
    CAR,
    TRAIN,
    TRUCK,
    Camera,
    Canvas,
    Colour,
    Dice,
    Point,
    Real,
)
from cbda_jax.data.datasets.synthetic_city.look import Look

Rectangle = tuple[float, float, float, float, float]  # back, front, left, right, height
_LIGHT = {"back": 0.9, "front": 0.95, "left": 1.0, "right": 0.8, "top": 1.15}
_RING = [(math.cos(k * math.pi / 5), math.sin(k * math.pi / 5)) for k in range(10)]
_DARK = (34.0, 34.0, 38.0)


@no_type_check
def inset(face: list[Point], u0: Real, u1: Real, v0: Real, v1: Real) -> list[Point]:
    """A part of a four-sided face: u runs to the right of it, v up."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = face

    def at(u: Real, v: Real) -> Point:
        p, q, r, t = (1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v
        return p * ax + q * bx + r * cx + t * dx, p * ay + q * by + r * cy + t * dy

    return [at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)]


@no_type_check
class Body:
    """A vehicle's own frame: a metres forward, b metres to its right, y metres up."""

    def __init__(self, canvas: Canvas, camera: Camera, s: Real, z: Real, heading: Real, sun):
        self.canvas, self.camera, self.s, self.z = canvas, camera, s, z
        self.sin, self.cos = math.sin(heading), math.cos(heading)
        self.pixels = camera.scale(z)
        flip = sun * (1.0 if self.cos >= 0 else -1.0)
        self.light = dict(_LIGHT)
        if flip > 0:
            self.light["left"], self.light["right"] = _LIGHT["right"], _LIGHT["left"]

    def point(self, a: Real, b: Real, y: Real) -> Point:
        """Where a place of the vehicle lies on the canvas."""
        z = self.z + a * self.cos - b * self.sin
        return self.camera.point(self.s + a * self.sin + b * self.cos, y, z)

    def prism(self, low: Rectangle, high: Rectangle, colour: Colour) -> dict[str, list[Point]]:
        """Draws the faces that can be seen of a solid between two rectangles, and returns them."""
        a0, a1, b0, b1, y0 = low
        c0, c1, d0, d1, y1 = high
        lbl, lbr = self.point(a0, b0, y0), self.point(a0, b1, y0)
        lfl, lfr = self.point(a1, b0, y0), self.point(a1, b1, y0)
        hbl, hbr = self.point(c0, d0, y1), self.point(c0, d1, y1)
        hfl, hfr = self.point(c1, d0, y1), self.point(c1, d1, y1)
        faces = {
            "top": [hbl, hbr, hfr, hfl],
            "left": [lfl, lbl, hbl, hfl],
            "right": [lbr, lfr, hfr, hbr],
            "front": [lfr, lfl, hfl, hfr],
            "back": [lbl, lbr, hbr, hbl],
        }
        seen = {}
        for name, face in faces.items():
            (ax, ay), (bx, by), _, (dx, dy) = face
            if (bx - ax) * (dy - ay) - (by - ay) * (dx - ax) < 0:
                self.canvas.poly(face, colour, self.light[name])
                seen[name] = face
        return seen

    def wheels(self, faces, places: tuple[float, ...], radius: Real, half: Real) -> None:
        """Wheels on the sides that can be seen."""
        for name, b in (("left", -half), ("right", half)):
            if name not in faces:
                continue
            for a in places:
                ring = [self.point(a + radius * c, b, radius + radius * s) for c, s in _RING]
                self.canvas.poly(ring, _DARK, 0.8)
                if self.pixels * radius > 4 * self.canvas.fine:
                    hub = [
                        self.point(a + 0.5 * radius * c, b, radius + 0.5 * radius * s)
                        for c, s in _RING
                    ]
                    self.canvas.poly(hub, (150, 150, 154))

    def ground_shadow(self, length: Real, width: Real, strength: Real) -> None:
        """Darkens the ground below and around the vehicle."""
        a, b = 0.5 * length + 0.2, 0.5 * width + 0.25
        corners = ((-a, -b), (-a, b), (a, b), (a, -b))
        self.canvas.shadow([self.point(p, q, 0.0) for p, q in corners], strength)


# length, width, height, hood height, cabin (back foot, front foot, back top, front top) in lengths
_SHAPES = (
    (4.5, 1.8, 1.45, 0.88, (-0.36, 0.24, -0.22, 0.06)),  # saloon
    (4.0, 1.75, 1.5, 0.9, (-0.49, 0.26, -0.40, 0.08)),  # hatchback
    (4.7, 1.8, 1.5, 0.9, (-0.50, 0.24, -0.44, 0.07)),  # estate
    (4.6, 1.9, 1.78, 1.05, (-0.49, 0.26, -0.43, 0.12)),  # off-roader
    (4.9, 1.95, 2.05, 1.1, (-0.50, 0.38, -0.48, 0.22)),  # van
    (4.3, 1.85, 1.25, 0.78, (-0.34, 0.18, -0.18, 0.02)),  # sports car
    (3.5, 1.65, 1.52, 0.9, (-0.49, 0.34, -0.42, 0.16)),  # small car
)


def draw_car(canvas, camera, dice: Dice, look: Look, s, z, heading, sun) -> None:
    """A car of one of several shapes."""
    length, width, height, hood, (f0, f1, t0, t1) = dice.pick(_SHAPES)
    scale = dice.uniform(0.94, 1.08)
    length, height, hood = length * scale, height * scale, hood * scale
    colour = dice.colour(look.cars)
    glass = dice.colour(look.glass)
    plate = dice.chance(0.9)
    lamp = dice.uniform(0.9, 1.1)
    body = Body(canvas, camera, s, z, heading, sun)
    canvas.use(CAR, z)
    a, b = 0.5 * length, 0.5 * width
    detailed = body.pixels * height > 7 * canvas.fine
    body.ground_shadow(length, width, 0.6)
    body.prism((-a + 0.1, a - 0.1, -b, b, 0.08), (-a, a, -b, b, 0.3), _DARK)
    hull = body.prism((-a, a, -b, b, 0.26), (-a, a - 0.08, -b + 0.04, b - 0.04, hood), colour)
    roof = (t0 * length, t1 * length, -b + 0.26, b - 0.26, height)
    foot = (f0 * length, f1 * length, -b + 0.06, b - 0.06, hood)
    cabin = body.prism(foot, roof, colour)
    for name, face in cabin.items():
        if name == "top":
            continue
        tone = body.light[name]
        if name in ("back", "front"):
            canvas.poly(inset(face, 0.08, 0.92, 0.12, 0.86), glass, tone)
        elif detailed:
            canvas.poly(inset(face, 0.08, 0.46, 0.12, 0.88), glass, tone)
            canvas.poly(inset(face, 0.5, 0.92, 0.12, 0.88), glass, tone)
        else:
            canvas.poly(inset(face, 0.08, 0.92, 0.12, 0.88), glass, tone)
    body.wheels(hull, (-0.3 * length, 0.31 * length), 0.33, b)
    if not detailed:
        return
    if "back" in hull:
        face = hull["back"]
        canvas.poly(inset(face, 0.0, 1.0, 0.0, 0.28), colour, 0.6)
        for u in (0.02, 0.8):
            canvas.poly(inset(face, u, u + 0.18, 0.55, 0.88), (196, 30, 34), lamp)
        if plate:
            canvas.poly(inset(face, 0.36, 0.64, 0.36, 0.56), (228, 226, 214), lamp)
    if "front" in hull:
        face = hull["front"]
        canvas.poly(inset(face, 0.24, 0.76, 0.3, 0.66), (40, 42, 46))
        for u in (0.03, 0.77):
            canvas.poly(inset(face, u, u + 0.2, 0.58, 0.86), (236, 236, 226), lamp)
        canvas.poly(inset(face, 0.0, 1.0, 0.0, 0.2), colour, 0.65)


def draw_truck(canvas, camera, dice: Dice, look: Look, s, z, heading, sun) -> None:
    """A lorry: a cab, and behind it a box, a tipper or a tank."""
    cab_colour = dice.colour(look.cars)
    load_colour = dice.colour(look.trucks_colours)
    glass = dice.colour(look.glass)
    length = dice.uniform(5.5, 8.5)
    height = dice.uniform(2.9, 3.7)
    open_load = dice.chance(0.3)
    stripe = dice.colour(look.shops)
    body = Body(canvas, camera, s, z, heading, sun)
    a, b = 0.5 * length, 1.22
    canvas.use(TRUCK, z)
    body.ground_shadow(length, 2.5, 0.6)

    def cab() -> None:
        faces = body.prism((a - 2.0, a, -b, b, 0.5), (a - 2.0, a - 0.15, -b, b, 2.65), cab_colour)
        for name, face in faces.items():
            if name == "front":
                canvas.poly(inset(face, 0.06, 0.94, 0.5, 0.86), glass)
                canvas.poly(inset(face, 0.2, 0.8, 0.14, 0.36), _DARK)
                for u in (0.02, 0.84):
                    canvas.poly(inset(face, u, u + 0.14, 0.12, 0.26), (236, 236, 226))
            elif name in ("left", "right"):
                canvas.poly(inset(face, 0.25, 0.8, 0.52, 0.88), glass)

    def load() -> None:
        top = 1.9 if open_load else height
        faces = body.prism((-a, a - 2.2, -b, b, 1.0), (-a, a - 2.2, -b, b, top), load_colour)
        for name, face in faces.items():
            light = body.light[name]
            if name == "back":
                canvas.poly(inset(face, 0.48, 0.52, 0.0, 1.0), load_colour, 0.6)
                canvas.poly(inset(face, 0.0, 1.0, 0.0, 0.06), _DARK)
                for u in (0.02, 0.86):
                    canvas.poly(inset(face, u, u + 0.12, -0.1, 0.02), (196, 30, 34))
            elif name in ("left", "right"):
                if open_load:
                    for k in range(6):
                        canvas.poly(inset(face, k / 6, k / 6 + 0.03, 0, 1), load_colour, 0.7)
                else:
                    canvas.poly(inset(face, 0.0, 1.0, 0.35, 0.6), stripe, light)

    chassis = body.prism((-a, a - 0.2, -b + 0.1, b - 0.1, 0.45), (-a, a, -b, b, 1.0), _DARK)
    for part in (cab, load) if body.cos > 0 else (load, cab):
        part()
    body.wheels(chassis, (-a + 0.9, -a + 2.0, a - 1.1), 0.48, b)
    if "back" in chassis:
        for u in (0.02, 0.76):
            canvas.poly(inset(chassis["back"], u, u + 0.22, -0.8, 0.4), (24, 24, 26))


def draw_bus(canvas, camera, dice: Dice, look: Look, s, z, heading, sun) -> None:
    """A city bus with a band of windows all around."""
    colour = dice.colour(look.buses_colours)
    skirt = dice.colour(look.buses_colours)
    glass = dice.colour(look.glass)
    length = dice.uniform(9.0, 12.0)
    height = dice.uniform(2.9, 3.3)
    double = dice.chance(0.2)
    if double:
        height += 1.1
    body = Body(canvas, camera, s, z, heading, sun)
    a, b = 0.5 * length, 1.27
    canvas.use(BUS, z)
    body.ground_shadow(length, 2.6, 0.6)
    faces = body.prism((-a, a, -b, b, 0.3), (-a, a - 0.1, -b + 0.06, b - 0.06, height), colour)
    for name, face in faces.items():
        light = body.light[name]
        if name == "top":
            continue
        canvas.poly(inset(face, 0.0, 1.0, 0.0, 0.26), skirt, light * 0.9)
        bands = ((0.34, 0.58), (0.68, 0.9)) if double else ((0.42, 0.8),)
        for low, high in bands:
            canvas.poly(inset(face, 0.03, 0.97, low, high), glass, light)
        if name in ("left", "right"):
            count = 7
            for k in range(1, count):
                u = k / count
                canvas.poly(inset(face, u, u + 0.018, bands[0][0], bands[0][1]), colour, 0.7)
            for u in (0.12, 0.62):
                canvas.poly(inset(face, u, u + 0.1, 0.05, 0.78), glass, 0.8)
        else:
            canvas.poly(inset(face, 0.2, 0.8, 0.88, 0.97), (24, 24, 26))
            canvas.poly(inset(face, 0.3, 0.7, 0.9, 0.95), (250, 170, 40))
            lamp = (196, 30, 34) if name == "back" else (238, 238, 228)
            for u in (0.03, 0.83):
                canvas.poly(inset(face, u, u + 0.14, 0.12, 0.22), lamp)
    body.wheels(faces, (-0.28 * length, 0.3 * length), 0.48, b)


def draw_tram(canvas, camera, dice: Dice, look: Look, s, z, heading, sun) -> None:
    """A tram of two to four cars with a pantograph; z is its near end."""
    colour = dice.colour(look.trams_colours)
    band = dice.colour(look.trams_colours, 30.0)
    glass = dice.colour(look.glass)
    count = dice.integer(2, 4)
    length = dice.uniform(6.5, 8.5)
    height = dice.uniform(3.2, 3.6)
    canvas.use(TRAIN, z)
    for k in reversed(range(count)):
        body = Body(canvas, camera, s, z + length * (k + 0.5), heading, sun)
        a = 0.5 * length - 0.2
        body.ground_shadow(length, 2.5, 0.55)
        joint = (-a - 0.4, a + 0.4, -0.9, 0.9)
        if k:
            body.prism((*joint, 0.5), (*joint, height - 0.4), (44, 44, 48))
        nose = 0.5 if k == 0 else 0.0
        rear = (-a + nose, a, -1.1, 1.1, height)
        faces = body.prism((-a, a, -1.22, 1.22, 0.2), rear, colour)
        for name, face in faces.items():
            light = body.light[name]
            if name == "top":
                continue
            canvas.poly(inset(face, 0.0, 1.0, 0.0, 0.1), _DARK)
            canvas.poly(inset(face, 0.0, 1.0, 0.3, 0.4), band, light)
            if name in ("left", "right"):
                canvas.poly(inset(face, 0.04, 0.96, 0.48, 0.84), glass, light)
                for u in (0.3, 0.66):
                    canvas.poly(inset(face, u - 0.012, u + 0.012, 0.48, 0.84), colour, light)
                    canvas.poly(inset(face, u + 0.05, u + 0.16, 0.1, 0.84), glass, 0.8 * light)
            else:
                canvas.poly(inset(face, 0.1, 0.9, 0.42, 0.82), glass, light)
                canvas.poly(inset(face, 0.25, 0.75, 0.86, 0.95), (24, 24, 26))
                for u in (0.1, 0.76):
                    canvas.poly(inset(face, u, u + 0.14, 0.14, 0.24), (240, 236, 214))
        if k == 1:
            arm = 0.09 * body.pixels
            top = body.point(0.0, 0.0, height + 1.3)
            canvas.stroke(body.point(-0.8, 0.0, height), top, arm, (70, 70, 74))
            canvas.stroke(body.point(0.0, -0.8, height + 1.3), top, arm, (70, 70, 74))
