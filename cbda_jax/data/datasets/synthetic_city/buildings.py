"""What lines a street: houses, walls, fences, hedges, parks, and the skyline behind."""

from typing import no_type_check

from cbda_jax.data.datasets.synthetic_city.canvas import (
    BUILDING,
    FENCE,
    FOLIAGE,
    MASONRY,
    PLAIN,
    VEGETATION,
    WALL,
    Camera,
    Canvas,
    Dice,
    Point,
    Real,
)
from cbda_jax.data.datasets.synthetic_city.ground import CURB, FAR
from cbda_jax.data.datasets.synthetic_city.look import Look


@no_type_check
class Plane:
    """An upright rectangle in the world: from place a to place b, `height` metres high."""

    def __init__(self, camera: Camera, a: tuple[Real, Real], b: tuple[Real, Real], base: Real):
        self._camera, self._a, self._b, self._base = camera, a, b, base

    def point(self, t: Real, y: Real) -> Point:
        """The canvas position at share t of the way from a to b, y metres up."""
        (s0, z0), (s1, z1) = self._a, self._b
        return self._camera.point(s0 + t * (s1 - s0), self._base + y, z0 + t * (z1 - z0))

    def quad(self, t0: Real, t1: Real, y0: Real, y1: Real) -> list[Point]:
        """The corners of a part of it."""
        return [self.point(t0, y0), self.point(t1, y0), self.point(t1, y1), self.point(t0, y1)]

    def hidden(self, width: int) -> bool:
        """Whether all of it lies to one side of a canvas so wide."""
        x0, x1 = self.point(0.0, 0.0)[0], self.point(1.0, 0.0)[0]
        return max(x0, x1) < 0 or min(x0, x1) > width

    def size(self, t0: Real, t1: Real) -> float:
        """Canvas pixels between two shares, along the foot."""
        return abs(self.point(t1, 0.0)[0] - self.point(t0, 0.0)[0])


def draw_skyline(canvas: Canvas, camera: Camera, dice: Dice, look: Look) -> None:
    """Distant blocks and woods along the whole horizon."""
    H, _ = canvas.pixel_size
    _, foot = camera.point(0.0, 0.0, FAR)
    unit = camera.scale(FAR)
    x = camera.cx - 1.6 * H
    end = camera.cx + 1.6 * H
    while x < end:
        width = dice.uniform(8.0, 30.0) * unit
        if dice.chance(0.45):
            canvas.use(VEGETATION, FAR, FOLIAGE)
            colour = dice.colour(look.leaves)
            height = dice.uniform(5.0, 11.0) * unit
            steps = [dice.uniform(0.7, 1.05) for _ in range(6)]
            ridge = [(x + width * i / 5.0, foot - height * k) for i, k in enumerate(steps)]
            canvas.poly([(x, foot + 2), *ridge, (x + width, foot + 2)], colour)
        else:
            canvas.use(BUILDING, FAR, MASONRY)
            top = foot - dice.uniform(6.0, 22.0) * unit
            canvas.box(x, top, x + width, foot + 2, dice.colour(look.facades))
        x += 0.85 * width


def draw_house(
    canvas: Canvas,
    camera: Camera,
    dice: Dice,
    look: Look,
    line: Real,
    span: tuple[Real, Real],
    sun: Real,
) -> None:
    """One house along the street, from span[0] to span[1] metres ahead.

    `line` is the s of its facade, whose sign is the side of the street; `span` its near and far z;
    `sun` is -1 where light comes from the left, 1 where from the right.
    """
    near, far = max(span[0], 1.3), span[1]
    sign = 1.0 if line > 0 else -1.0
    height = dice.uniform(*look.building_height)
    colour = dice.colour(look.facades, 14.0)
    lit = 1.06 if sign * sun < 0 else 0.82
    depth = 0.5 * (near + min(far, 60.0))
    canvas.use(BUILDING, depth, MASONRY)

    front = Plane(camera, (line, near), (line, far), CURB)
    if front.hidden(canvas.pixel_size[1]):
        return
    back = line + sign * dice.uniform(9.0, 14.0)
    gable = Plane(camera, (back, near), (line, near), CURB)
    pitched = dice.chance(0.45)
    if span[0] > 1.3:
        canvas.poly(gable.quad(0.0, 1.0, 0.0, height), colour, 0.93)
        if pitched:
            roof = [gable.point(0.0, height), gable.point(0.5, height + 3.0)]
            canvas.poly([*roof, gable.point(1.0, height)], colour, 0.93)
        glass = dice.colour(look.glass)
        floors = int(height / 3.1)
        if gable.size(0.0, 1.0) > 12 * canvas.fine:
            for floor in range(floors):
                y = 1.2 + 3.1 * floor
                for t in (0.55, 0.75):
                    canvas.poly(gable.quad(t, t + 0.1, y, y + 1.4), glass, 0.9)
    if pitched:
        middle = 0.5 * (line + back)
        ridge = Plane(camera, (middle, near), (middle, far), CURB + height)
        roof = [front.point(0.0, height), ridge.point(0.0, 3.0)]
        roof += [ridge.point(1.0, 3.0), front.point(1.0, height)]
        canvas.poly(roof, dice.colour(look.roofs), lit)
    canvas.poly(front.quad(0.0, 1.0, 0.0, height), colour, lit)
    if not pitched:
        canvas.poly(front.quad(0.0, 1.0, height - 0.45, height), colour, lit * 0.8)
    _windows(canvas, dice, look, front, far - near, height, colour, lit, depth)


def _windows(canvas, dice, look, front: Plane, length: Real, height: Real, colour, lit, depth):
    """Rows of windows: a band of glass a floor, cut up by piers of the facade's colour."""
    style = dice.roll()
    storey = dice.uniform(2.9, 3.6)
    ground = storey + 0.6
    glass = dice.colour(look.glass)
    shop = dice.chance(0.45)
    office = style < 0.2
    sill, lintel = (0.4, storey - 0.3) if office else (1.0, 1.0 + dice.uniform(1.2, 1.6))
    pitch = dice.uniform(1.4, 1.9) if office else dice.uniform(2.0, 3.2)
    columns = max(int(length / pitch), 1)
    pier = 0.14 if office else dice.uniform(0.42, 0.62)
    floors = max(int((height - ground - 0.4) / storey), 1)
    rows = [(ground + k * storey + sill, ground + k * storey + lintel) for k in range(floors)]
    if not shop:
        rows.insert(0, (sill + 0.2, lintel + 0.2))
    balcony = not office and dice.chance(0.25)
    stripe = dice.uniform(0.86, 1.14)
    canvas.use(BUILDING, depth, PLAIN)
    for low, high in rows:
        canvas.poly(front.quad(0.01, 0.99, low, high), glass, dice.uniform(0.8, 1.15) * lit)
    canvas.use(BUILDING, depth, MASONRY)
    bottom, top = rows[0][0] - 0.05, rows[-1][1] + 0.05
    for k in range(columns + 1):
        t0 = max((k - 0.5 * pier) / columns, 0.0)
        t1 = min((k + 0.5 * pier) / columns, 1.0)
        if front.size(t0, t1) > 0.5 * canvas.fine:
            canvas.poly(front.quad(t0, t1, bottom, top), colour, lit)
    for k, (low, _) in enumerate(rows):
        if balcony and k:
            for j in range(0, columns, 2):
                t0, t1 = (j + 0.15) / columns, (j + 0.95) / columns
                if front.size(t0, t1) > 2 * canvas.fine:
                    canvas.poly(front.quad(t0, t1, low - 0.9, low - 0.05), colour, 0.72 * lit)
        elif not office:
            canvas.poly(front.quad(0.0, 1.0, low - 0.28, low - 0.1), colour, stripe * lit)
    canvas.use(BUILDING, depth, PLAIN)
    if shop:
        sign = dice.colour(look.shops)
        canvas.poly(front.quad(0.02, 0.98, 0.5, ground - 0.9), dice.colour(look.glass), 0.75)
        canvas.poly(front.quad(0.02, 0.98, ground - 0.9, ground - 0.2), sign, lit)
        for k in range(0, columns, 2):
            t = (k + 0.5) / columns
            canvas.poly(front.quad(t, t + 0.12 / columns, 0.0, ground - 0.9), colour, 0.6)
    else:
        t = dice.uniform(0.2, 0.75)
        wide = 1.3 / max(length, 2.0)
        canvas.poly(front.quad(t, t + wide, 0.0, 2.3), dice.colour(look.shops), 0.6 * lit)


def draw_wall(canvas, camera, dice, look, line, span, sun) -> None:
    """A wall of masonry or concrete with a coping."""
    near, far = max(span[0], 1.3), span[1]
    height = dice.uniform(1.7, 3.4)
    colour = dice.colour(look.walls)
    lit = 1.0 if line * sun < 0 else 0.84
    canvas.use(WALL, 0.5 * (near + far), MASONRY)
    front = Plane(camera, (line, near), (line, far), CURB)
    if span[0] > 1.3:
        end = Plane(camera, (line + (0.5 if line > 0 else -0.5), near), (line, near), CURB)
        canvas.poly(end.quad(0.0, 1.0, 0.0, height), colour, 0.8)
    canvas.poly(front.quad(0.0, 1.0, 0.0, height), colour, lit)
    courses = dice.integer(2, 4)
    for k in range(1, courses):
        y = height * k / courses
        canvas.poly(front.quad(0.0, 1.0, y - 0.05, y + 0.05), colour, lit * 0.8)
    panel = dice.uniform(2.0, 4.0) / (far - near)
    t = panel
    while t < 1.0:
        canvas.poly(front.quad(t, t + 0.12 * panel, 0.0, height), colour, lit * 0.86)
        t += panel
    canvas.poly(front.quad(0.0, 1.0, height - 0.2, height + 0.05), colour, lit * 1.18)


def draw_fence(canvas, camera, dice, look, line, span, height=0.0) -> None:
    """Bars and rails that one sees through. All of it is labelled, gaps included."""
    near, far = max(span[0], 1.3), span[1]
    height = height or dice.uniform(1.6, 2.6)
    colour = dice.colour(look.fences)
    canvas.use(FENCE, 0.5 * (near + far), PLAIN)
    front = Plane(camera, (line, near), (line, far), CURB)
    if front.hidden(canvas.pixel_size[1]):
        return
    pitch = dice.uniform(0.35, 0.7)
    solid = dice.uniform(0.45, 0.65)
    bars = max(int((far - near) / pitch), 1)
    for k in range(bars):
        t = k / bars
        canvas.poly(front.quad(t, t + solid / bars, 0.0, height), colour)
    for y in (0.15, 0.5 * height, height - 0.12):
        canvas.poly(front.quad(0.0, 1.0, y - 0.08, y + 0.1), colour, 0.9)
    posts = max(int((far - near) / 2.5), 1)
    for k in range(posts + 1):
        t = min(k / posts, 1.0 - 0.1 / (far - near))
        canvas.poly(front.quad(t, t + 0.12 / (far - near), 0.0, height + 0.15), colour, 0.8)
    canvas.outline(FENCE, front.quad(0.0, 1.0, 0.0, height))


def draw_hedge(canvas, camera, dice, look, line, span, height: Real) -> None:
    """A clipped hedge or a bank of shrubs."""
    near, far = max(span[0], 1.3), span[1]
    colour = dice.colour(look.leaves)
    canvas.use(VEGETATION, 0.5 * (near + far), FOLIAGE)
    front = Plane(camera, (line, near), (line, far), CURB)
    if front.hidden(canvas.pixel_size[1]):
        return
    count = 9
    crest = [front.point(k / count, height * dice.uniform(0.8, 1.1)) for k in range(count + 1)]
    canvas.poly([front.point(0.0, 0.0), *crest, front.point(1.0, 0.0)], colour)
    for k in range(count):
        t = k / count
        low = height * dice.uniform(0.1, 0.6)
        part = front.quad(t, t + 0.8 / count, low, low + 0.3 * height)
        canvas.poly(part, colour, dice.uniform(0.72, 1.2))
