"""What scenes are drawn with: random numbers, a camera, a canvas that knows what is where.

The canvas is an image of integers. Everything drawn is a polygon with a number of its own, in
painter's order, and tables hold the number's class, colour, distance and texture. Image and label
are both read from that one image, so they cannot drift apart.

What is called thousands of times a scene is marked `no_type_check`: checking its arguments while
it runs, as the tests do elsewhere, would take ten times as long as drawing.
"""

import itertools
from collections.abc import Sequence
from typing import no_type_check

import numpy as np
from PIL import Image, ImageDraw

from cbda_jax.label_space import CITYSCAPES_19, IGNORE

Real = float | int
Point = tuple[Real, Real]
Colour = tuple[Real, Real, Real]

(
    ROAD,
    SIDEWALK,
    BUILDING,
    WALL,
    FENCE,
    POLE,
    LIGHT,
    SIGN,
    VEGETATION,
    TERRAIN,
    SKY,
    PERSON,
    RIDER,
    CAR,
    TRUCK,
    BUS,
    TRAIN,
    MOTORCYCLE,
    BICYCLE,
) = range(CITYSCAPES_19.num_classes)
VOID = IGNORE

PLAIN, GROUND, FOLIAGE, MASONRY = range(4)
"""The textures that `paint` knows."""

_BLOCK = 192

NEAR = 1.2
"""Metres; what is nearer than this is drawn as if it were here."""
SUPERSAMPLED_BELOW = 1 << 17
"""Pixels of an image; smaller ones are drawn 3 x as fine, larger ones 2 x."""


@no_type_check
class Dice:
    """Random numbers for layouts, taken in one block because scalar draws are slow.

    A block that is used up begins anew.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self.roll = itertools.cycle(rng.random(_BLOCK).tolist()).__next__
        """A float in [0, 1)."""

    def child(self) -> "Dice":
        """Dice for one object: rolling them more or less often changes no other object."""
        return Dice(self._rng)

    def uniform(self, low: Real, high: Real) -> float:
        """A float in [low, high)."""
        return low + (high - low) * self.roll()

    def chance(self, probability: Real) -> bool:
        """True with this probability."""
        return self.roll() < probability

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + int((high - low + 1) * self.roll())

    def pick(self, options: Sequence):
        """One of the options, all equally likely."""
        return options[int(len(options) * self.roll())]

    def jitter(self, colour: Colour, amount: Real = 12.0) -> Colour:
        """A colour nearby: brightness and each channel vary by up to `amount`."""
        shift = self.uniform(-amount, amount)
        r, g, b = colour
        half = 0.5 * amount
        return (
            r + shift + self.uniform(-half, half),
            g + shift + self.uniform(-half, half),
            b + shift + self.uniform(-half, half),
        )

    def colour(self, options: Sequence[Colour], amount: Real = 12.0) -> Colour:
        """A jittered one of the colours."""
        return self.jitter(self.pick(options), amount)


@no_type_check
class Camera:
    """A pinhole camera above a road that may bend and rise.

    A place is (s, y, z) in metres: s to the right of the road's centre line, y above the road,
    z ahead of the camera. Pixels are those of the supersampled canvas.

    Args:
        size: (H, W) of the canvas in pixels.
        focal: focal length over image height.
        height: metres above the road.
        horizon: fraction of the image height above the horizon.
        centre: the camera's own s.
        yaw, roll: small angles in radians.
        curve: curvature of the road in 1/m.
        rise: change of slope in 1/m.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        focal: Real,
        height: Real,
        horizon: Real,
        centre: Real,
        yaw: Real,
        roll: Real,
        curve: Real,
        rise: Real,
    ):
        H, W = size
        self.pixels = float(H)
        self.focal = focal * H
        self.height, self.centre, self.yaw, self.roll = height, centre, yaw, roll
        self.half_curve, self.half_rise = 0.5 * curve, 0.5 * rise
        # Pillow counts from pixel centres.
        self.cx, self.cy = 0.5 * W - 0.5, horizon * H - 0.5

    def point(self, s: Real, y: Real, z: Real) -> Point:
        """Where a place lies on the canvas."""
        if z < NEAR:
            z = NEAR
        scale = self.focal / z
        bend = min(z, 90.0)
        dx = (s - self.centre + z * self.yaw + self.half_curve * bend * bend) * scale
        dy = (self.height - y - self.half_rise * bend * bend) * scale
        return self.cx + dx + self.roll * dy, self.cy + dy - self.roll * dx

    def scale(self, z: Real) -> float:
        """Canvas pixels a metre at this distance."""
        return self.focal / max(z, NEAR)


@no_type_check
class Canvas:
    """Numbered polygons in painter's order, and the tables that say what each number is."""

    def __init__(self, height: int, width: int, sky: Colour):
        self.size = height, width
        self.samples = 3 if height * width < SUPERSAMPLED_BELOW else 2
        size = width * self.samples, height * self.samples
        self._numbers = Image.new("I", size, 0)
        self._draw = ImageDraw.Draw(self._numbers)
        self._shadow = Image.new("L", (width, height), 255)
        self._shadow_draw = ImageDraw.Draw(self._shadow)
        self._outlines: list[tuple[int, int, list[Point]]] = []
        self.classes = [SKY]
        self.colours = [sky]
        self.depths = [1e6]
        self.textures = [PLAIN]
        self.last_ground = 0
        self._state = (SKY, 1e6, PLAIN)
        self.fine = 0.7 * self.samples

    @property
    def pixel_size(self) -> tuple[int, int]:
        """(H, W) of the canvas itself."""
        return self._numbers.height, self._numbers.width

    def use(self, class_id: int, depth: Real, texture: int = PLAIN) -> None:
        """Says what the polygons that follow are, and how far away."""
        self._state = class_id, depth, texture

    def poly(self, points: Sequence[Point], colour: Colour, light: Real = 1.0) -> None:
        """Draws a polygon over everything so far."""
        class_id, depth, texture = self._state
        r, g, b = colour
        number = len(self.colours)
        self.classes.append(class_id)
        self.colours.append((r * light, g * light, b * light))
        self.depths.append(depth)
        self.textures.append(texture)
        self._draw.polygon(points, fill=number)

    def box(self, x0: Real, y0: Real, x1: Real, y1: Real, colour: Colour, light: Real = 1.0):
        """Draws an upright rectangle."""
        self.poly(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour, light)

    def stroke(self, a: Point, b: Point, width: Real, colour: Colour, light: Real = 1.0) -> None:
        """Draws a straight bar from a to b."""
        dx, dy = b[0] - a[0], b[1] - a[1]
        k = 0.5 * width / max((dx * dx + dy * dy) ** 0.5, 1e-6)
        nx, ny = -dy * k, dx * k
        corners = (
            (a[0] + nx, a[1] + ny),
            (b[0] + nx, b[1] + ny),
            (b[0] - nx, b[1] - ny),
            (a[0] - nx, a[1] - ny),
        )
        self.poly(corners, colour, light)

    def outline(self, class_id: int, points: Sequence[Point]) -> None:
        """Labels a whole area that the picture only half covers: mesh, spokes.

        What has been drawn so far inside it takes the class; what is drawn later, in front, keeps
        its own.
        """
        self._outlines.append((len(self.colours), class_id, list(points)))

    def shadow(self, points: Sequence[Point], strength: Real) -> None:
        """Darkens the ground (and nothing that stands on it) inside a polygon."""
        k = 1.0 / self.samples
        flat = [(value + 0.5) * k - 0.5 for point in points for value in point]
        self._shadow_draw.polygon(flat, fill=int(255 * (1.0 - strength)))

    def end_ground(self) -> None:
        """Everything drawn so far is ground that shadows fall on."""
        self.last_ground = len(self.colours) - 1

    def numbers(self) -> np.ndarray:
        """int32 [H * samples, W * samples]."""
        H, W = self.pixel_size
        return np.frombuffer(self._numbers.tobytes(), np.int32).reshape(H, W)

    def palette(self) -> np.ndarray:
        """uint32: the colour of every number, red in the lowest byte."""
        channels = np.clip(np.array(self.colours, np.float32), 0, 255).astype(np.uint32)
        return channels @ np.array([1, 1 << 8, 1 << 16], np.uint32)

    def shadows(self) -> Image.Image:
        """A mode-L picture of the light that reaches the ground, 255 where all does."""
        return self._shadow

    def label(self, numbers: np.ndarray) -> np.ndarray:
        """Train ids uint8 [H, W] of the polygons seen, int32 [H, W]."""
        label = np.array(self.classes, np.uint8)[numbers]
        H, W = self.size
        k = 1.0 / self.samples
        for number, class_id, points in self._outlines:
            xs = [(x + 0.5) * k - 0.5 for x, _ in points]
            ys = [(y + 0.5) * k - 0.5 for _, y in points]
            x0, x1 = max(int(min(xs)), 0), min(int(max(xs)) + 2, W)
            y0, y1 = max(int(min(ys)), 0), min(int(max(ys)) + 2, H)
            if x0 >= x1 or y0 >= y1:
                continue
            mask = Image.new("L", (x1 - x0, y1 - y0), 0)
            flat = [v for x, y in zip(xs, ys, strict=True) for v in (x - x0, y - y0)]
            ImageDraw.Draw(mask).polygon(flat, fill=1)
            behind = numbers[y0:y1, x0:x1] < number
            inside = np.asarray(mask) > 0
            label[y0:y1, x0:x1][behind & inside] = class_id
        return label
