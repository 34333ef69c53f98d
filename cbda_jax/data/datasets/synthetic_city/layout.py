"""What is where in a street, drawn from far to near."""

from collections.abc import Callable
from typing import no_type_check

import numpy as np

from cbda_jax.data.datasets.synthetic_city import buildings, furniture, people, vehicles
from cbda_jax.data.datasets.synthetic_city.canvas import Camera, Canvas, Dice, Real
from cbda_jax.data.datasets.synthetic_city.ground import CURB, Street
from cbda_jax.data.datasets.synthetic_city.look import Look

Job = tuple[float, int, Callable[[], None]]


@no_type_check
class Layout:
    """Collects what stands in a street and draws it from far to near."""

    def __init__(self, canvas: Canvas, camera: Camera, look: Look, street: Street, sun: Real):
        self.canvas, self.camera, self.look, self.street, self.sun = (
            canvas,
            camera,
            look,
            street,
            sun,
        )
        self.jobs: list[Job] = []
        self.taken: list[tuple[float, float, float, float]] = []

    def add(self, z: Real, draw: Callable, dice: Dice, *place, **options) -> None:
        """Plans a drawing at distance z, with random numbers of its own."""
        own = dice.child()
        common = self.canvas, self.camera, own, self.look
        self.jobs.append((z, len(self.jobs), lambda: draw(*common, *place, **options)))

    def draw(self) -> None:
        """Draws everything, the farthest first."""
        for _, _, job in sorted(self.jobs, key=lambda job: (-job[0], job[1])):
            job()

    def claim(self, s: Real, z: Real, half_width: Real, half_length: Real) -> bool:
        """Whether this piece of road is free; if so, it no longer is."""
        box = (s - half_width, s + half_width, z - half_length, z + half_length)
        for s0, s1, z0, z1 in self.taken:
            if box[0] < s1 and s0 < box[1] and box[2] < z1 and z0 < box[3]:
                return False
        self.taken.append(box)
        return True

    def line_street(self, dice: Dice) -> None:
        """Houses, parks, walls and fences on both sides."""
        look, street = self.look, self.street
        for side, sign in ((0, -1.0), (1, 1.0)):
            line = sign * street.house_line(side)
            park = dice.chance(0.25 * look.green)
            walled, fenced = dice.chance(look.walled), dice.chance(look.fenced)
            kinds = (1.0, look.trees * (4.0 if park else 1.0), 1.2 * walled, 1.0 * fenced)
            z = dice.uniform(-14.0, 1.0)
            while z < 130.0:
                length = dice.uniform(7.0, 18.0)
                end = z + length
                if street.crossing and end > street.crossing[0] and z < street.crossing[1]:
                    if z < street.crossing[0] - 4.0:
                        end = street.crossing[0] - 1.0
                    else:
                        z = street.crossing[1] + 1.5
                        continue
                if end > 1.6:
                    self._lot(dice, sign, line, (z, end), kinds)
                z = end + (dice.uniform(0.5, 3.0) if dice.chance(0.25) else 0.0)

    def _lot(self, dice: Dice, sign, line, span, kinds) -> None:
        far = span[1]
        house, green, wall, fence = kinds
        draw = dice.roll() * sum(kinds)
        back = line + sign * dice.uniform(0.0, 1.2)
        if draw < house:
            garden = dice.chance(0.18)
            setback = line + sign * (dice.uniform(3.0, 6.0) if garden else dice.uniform(0.0, 0.5))
            self.add(far, buildings.draw_house, dice, setback, span, self.sun)
            if garden:
                if dice.chance(0.5 if fence else 0.05):
                    self.add(far - 0.1, buildings.draw_fence, dice, back, span, 1.3)
                else:
                    height = dice.uniform(0.9, 1.7)
                    self.add(far - 0.1, buildings.draw_hedge, dice, back, span, height)
        elif draw < house + green:
            self._trees(dice, sign, line, span)
            if dice.chance(0.4):
                self.add(far, buildings.draw_hedge, dice, back, span, dice.uniform(0.8, 2.4))
        elif draw < house + green + wall:
            self._trees(dice, sign, line + sign * 1.5, span)
            self.add(far, buildings.draw_wall, dice, back, span, self.sun)
        else:
            self._trees(dice, sign, line + sign * 1.5, span)
            self.add(far, buildings.draw_fence, dice, back, span)

    def _trees(self, dice: Dice, sign, line, span) -> None:
        """A row of trees with a thicket behind it."""
        behind = line + sign * 7.0
        far = span[1]
        self.add(far + 0.2, buildings.draw_hedge, dice, behind, span, dice.uniform(3.0, 7.0))
        count = dice.integer(2, 4)
        for k in range(count):
            z = span[0] + (k + dice.roll()) * (span[1] - span[0]) / count
            s = line + sign * dice.uniform(1.0, 6.0)
            if z > 3.5:
                self.add(z + 0.1, furniture.draw_tree, dice, s, CURB, z, self.sun)
        for _ in range(2):
            z = dice.uniform(*span)
            s = line + sign * dice.uniform(0.5, 4.0)
            if z > 4.0:
                self.add(z, furniture.draw_bush, dice, s, CURB, z)

    def furnish(self, dice: Dice) -> None:
        """Trees, lamps, lights, signs and clutter on the sidewalks."""
        look, street = self.look, self.street
        for side, sign in ((0, -1.0), (1, 1.0)):
            curb = sign * (street.half + 0.55)
            if dice.chance(look.lamps):
                z, gap = dice.uniform(6.0, 18.0), dice.uniform(15.0, 26.0)
                while z < 80.0:
                    if not self._crossed(z):
                        self.add(z, furniture.draw_lamp, dice, curb, CURB, z)
                    z += gap
            if dice.chance(look.street_trees):
                z, gap = dice.uniform(6.0, 16.0), dice.uniform(6.0, 13.0)
                while z < 75.0:
                    if not self._crossed(z):
                        s = sign * (street.half + 0.9)
                        self.add(z, furniture.draw_tree, dice, s, CURB, z, self.sun)
                    z += gap
            for _ in range(3):
                if dice.chance(look.signs):
                    z = dice.uniform(8.0, 28.0)
                    if not self._crossed(z):
                        self.add(z, furniture.draw_sign, dice, curb, CURB, z)
            if dice.chance(0.5 * look.clutter + 0.2):
                z, gap = dice.uniform(5.0, 16.0), dice.uniform(1.6, 3.0)
                for k in range(dice.integer(1, 5)):
                    if not self._crossed(z + k * gap):
                        self.add(z + k * gap, furniture.draw_post, dice, curb, CURB, z + k * gap)
            if dice.chance(look.clutter):
                z = dice.uniform(4.5, 20.0)
                s = sign * (street.half + 0.6 * street.sidewalk[side])
                if not self._crossed(z):
                    self.add(z, furniture.draw_clutter, dice, s, CURB, z)
            if street.crossing and dice.chance(0.8):
                near, far = street.crossing
                self.add(near - 0.6, furniture.draw_traffic_light, dice, curb, CURB, near - 0.6)
                if dice.chance(0.5):
                    self.add(far + 0.6, furniture.draw_traffic_light, dice, curb, CURB, far + 0.6)

    def _crossed(self, z: Real) -> bool:
        crossing = self.street.crossing
        return crossing is not None and crossing[0] - 0.5 < z < crossing[1] + 0.5

    def drive(self, dice: Dice) -> None:
        """Everything with an engine, moving or parked."""
        look, street, sun = self.look, self.street, self.sun
        right, left = 0.48 * street.half, -0.48 * street.half
        if street.tracks is not None and dice.chance(0.75):
            z = dice.uniform(9.0, 24.0)
            if self.claim(street.tracks, z + 12.0, 1.5, 13.0):
                self.add(z, vehicles.draw_tram, dice, street.tracks, z, 0.0, sun)
        for kind, share in ((vehicles.draw_bus, look.buses), (vehicles.draw_truck, look.trucks)):
            for _ in range(2):
                if not dice.chance(share):
                    continue
                ahead = dice.chance(0.5)
                z = dice.uniform(14.0, 28.0)
                s = (right if ahead else left) + dice.uniform(-0.4, 0.4)
                if self.claim(s, z, 1.5, 7.0):
                    self.add(z, kind, dice, s, z, 0.0 if ahead else np.pi, sun)
        for sign in (-1.0, 1.0):
            if not dice.chance(look.parked):
                continue
            z = dice.uniform(3.5, 12.0)
            gap = dice.uniform(5.4, 6.4)
            s = sign * (street.half - 1.05)
            until = dice.uniform(20.0, 70.0)
            while z < until:
                if dice.chance(0.62) and not self._crossed(z) and self.claim(s, z, 1.0, 2.6):
                    heading = (0.0 if sign > 0 else np.pi) + dice.uniform(-0.05, 0.05)
                    self.add(z, vehicles.draw_car, dice, s, z, heading, sun)
                z += gap
        for _ in range(dice.integer(0, look.traffic)):
            ahead = dice.chance(0.55)
            z = dice.uniform(9.0, 55.0)
            s = (right if ahead else left) + dice.uniform(-0.6, 0.6)
            if self.claim(s, z, 1.1, 3.2):
                self.add(z, vehicles.draw_car, dice, s, z, 0.0 if ahead else np.pi, sun)
        if street.crossing and dice.chance(0.5):
            near, far = street.crossing
            z = dice.uniform(near + 1.5, far - 1.5)
            s = dice.uniform(-14.0, 14.0)
            if self.claim(s, z, 3.0, 1.5):
                heading = np.pi / 2 if dice.chance(0.5) else -np.pi / 2
                self.add(z, vehicles.draw_car, dice, s, z, heading, sun)

    def populate(self, dice: Dice) -> None:
        """People, riders, and the two-wheelers they left."""
        look, street = self.look, self.street
        count = dice.integer(*look.people)
        for _ in range(count):
            side, sign = (0, -1.0) if dice.chance(0.5) else (1, 1.0)
            s = sign * (street.half + dice.uniform(0.4, street.sidewalk[side] + 0.2))
            z = dice.uniform(4.5, 24.0)
            self.add(z, people.draw_person, dice, s, 0.0 if self._crossed(z) else CURB, z)
        if dice.chance(look.crowd):
            side, sign = (0, -1.0) if dice.chance(0.5) else (1, 1.0)
            centre = dice.uniform(6.0, 18.0)
            for _ in range(dice.integer(4, 9)):
                s = sign * (street.half + dice.uniform(0.3, street.sidewalk[side]))
                z = centre + dice.uniform(-1.5, 2.5)
                self.add(z, people.draw_person, dice, s, CURB, z)
        if street.crossing and street.zebra and dice.chance(0.5):
            for _ in range(dice.integer(1, 4)):
                s, z = dice.uniform(-street.half, street.half), street.crossing[0] - 1.8
                if self.claim(s, z, 0.4, 0.4):
                    self.add(z, people.draw_person, dice, s, 0.0, z)
        rides = ((people.draw_bicycle, look.riders), (people.draw_motorcycle, look.motorcycles))
        for draw, share in rides:
            for second in (False, True):
                if not dice.chance(0.5 * share if second else share):
                    continue
                sign = 1.0 if dice.chance(0.6) else -1.0
                s = sign * street.half * dice.uniform(0.15, 0.8)
                z = dice.uniform(4.8, 12.5)
                if self.claim(s, z, 0.6, 1.2):
                    self.add(z, draw, dice, s, 0.0, z, ridden=True)
        parked = (
            (people.draw_bicycle, look.bicycles, 5),
            (people.draw_motorcycle, 0.5 * look.motorcycles, 3),
        )
        for draw, share, most in parked:
            if not dice.chance(share):
                continue
            side, sign = (0, -1.0) if dice.chance(0.5) else (1, 1.0)
            s = sign * (street.half + dice.uniform(0.5, 0.8 * street.sidewalk[side]))
            z = dice.uniform(4.5, 11.0)
            for k in range(dice.integer(1, most)):
                self.add(z + 0.8 * k, draw, dice, s, CURB, z + 0.8 * k, ridden=False)
