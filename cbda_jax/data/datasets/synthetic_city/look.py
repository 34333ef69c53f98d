"""How the two domains differ: what streets are made of, and in which colours.

`SOURCE` is a computer game: wide sunny streets in clean colours, few people. `TARGET` is an old
town under a changeable sky. Several colours change sides on purpose: the source's pavement is the
target's road, the source's facades have the hues of the target's trees and walls, and the target's
sky is as pale as the source's houses, so a network that goes by colour alone is lost.
"""

import dataclasses

from cbda_jax.data.datasets.synthetic_city.canvas import Colour, Real

Range = tuple[Real, Real]
Colours = tuple[Colour, ...]


@dataclasses.dataclass(frozen=True)
class Look:
    """Statistics of one domain: lengths in metres, colours RGB in 0..255, the rest shares of 1."""

    # Camera
    focal: Range
    camera_height: Range
    horizon: Range
    roll: float
    # Streets
    road_half: Range
    sidewalk: Range
    curve: float
    crossing: float
    green: float
    building_height: Range
    trees: float  # lots with trees, for one with a house
    walled: float  # sides with walls
    fenced: float
    street_trees: float
    parked: float
    traffic: int
    people: tuple[int, int]
    crowd: float
    riders: float
    bicycles: float
    motorcycles: float
    trucks: float
    buses: float
    trams: float
    lamps: float
    signs: float
    clutter: float
    hood: bool
    # Colours
    road: Colours
    marking: Colour
    sidewalk_colours: Colours
    curb: Colour
    facades: Colours
    roofs: Colours
    glass: Colours
    shops: Colours
    walls: Colours
    fences: Colours
    poles: Colours
    leaves: Colours
    bark: Colours
    terrain: Colours
    cars: Colours
    trucks_colours: Colours
    buses_colours: Colours
    trams_colours: Colours
    clothes: Colours
    sky: tuple[tuple[Colour, Colour], ...]  # (at the zenith, at the horizon)
    # Light
    haze: Range  # metres to 1/e of the contrast
    texture: float
    noise: Range
    blur: Range  # in pixels of an image 96 high, growing with the root of the height
    vignette: Range
    sunny: float
    exposure: Range
    cast: float
    contrast: Range


SOURCE = Look(
    focal=(1.35, 1.85),
    camera_height=(1.3, 2.1),
    horizon=(0.40, 0.50),
    roll=0.004,
    road_half=(4.5, 7.5),
    sidewalk=(2.6, 5.0),
    curve=0.003,
    crossing=0.45,
    green=0.5,
    building_height=(6.0, 20.0),
    trees=0.3,
    walled=0.28,
    fenced=0.24,
    street_trees=0.45,
    parked=0.36,
    traffic=4,
    people=(0, 6),
    crowd=0.08,
    riders=0.14,
    bicycles=0.2,
    motorcycles=0.17,
    trucks=0.09,
    buses=0.06,
    trams=0.09,
    lamps=0.75,
    signs=0.45,
    clutter=0.3,
    hood=False,
    road=((74, 76, 88), (92, 92, 96), (66, 70, 84), (108, 106, 104)),
    marking=(240, 238, 225),
    sidewalk_colours=((152, 150, 146), (168, 156, 140), (140, 142, 146), (162, 136, 118)),
    curb=(196, 194, 188),
    facades=(
        (206, 168, 104),
        (190, 108, 78),
        (226, 208, 168),
        (128, 142, 96),
        (122, 152, 178),
        (216, 150, 138),
        (168, 176, 186),
        (108, 116, 84),
    ),
    roofs=((150, 62, 44), (92, 92, 104), (120, 80, 60)),
    glass=((72, 122, 166), (96, 150, 190), (54, 84, 120)),
    shops=((220, 60, 50), (40, 120, 200), (240, 190, 40), (40, 160, 110)),
    walls=((204, 190, 160), (186, 172, 148), (210, 200, 186)),
    fences=((60, 66, 74), (150, 104, 60), (196, 200, 204)),
    poles=((58, 62, 68), (84, 88, 92), (48, 74, 62)),
    leaves=((62, 140, 44), (84, 150, 50), (48, 112, 52), (104, 140, 50), (76, 104, 52)),
    bark=((104, 72, 46), (88, 62, 44)),
    terrain=((112, 176, 66), (128, 182, 80), (150, 172, 78)),
    cars=(
        (200, 32, 36),
        (32, 84, 190),
        (236, 196, 40),
        (240, 240, 240),
        (34, 150, 90),
        (236, 120, 30),
        (40, 42, 48),
        (120, 60, 150),
        (150, 154, 160),
        (60, 62, 66),
    ),
    trucks_colours=((230, 230, 226), (60, 110, 180), (200, 80, 40), (90, 130, 90)),
    buses_colours=((230, 170, 30), (210, 60, 50), (60, 140, 200), (208, 190, 140)),
    trams_colours=((40, 140, 120), (220, 220, 226), (180, 60, 60)),
    clothes=(
        (220, 60, 60),
        (60, 110, 210),
        (240, 220, 90),
        (90, 180, 110),
        (230, 230, 230),
        (160, 80, 170),
        (60, 60, 70),
        (70, 50, 50),
    ),
    sky=(
        ((58, 128, 220), (170, 208, 242)),
        ((84, 150, 230), (206, 226, 244)),
        ((168, 190, 214), (224, 230, 234)),
    ),
    haze=(250.0, 900.0),
    texture=0.4,
    noise=(0.5, 3.0),
    blur=(0.0, 0.0),
    vignette=(0.0, 0.0),
    sunny=0.75,
    exposure=(0.86, 1.12),
    cast=0.03,
    contrast=(0.95, 1.05),
)

TARGET = Look(
    focal=(1.6, 2.1),
    camera_height=(1.15, 1.5),
    horizon=(0.37, 0.46),
    roll=0.012,
    road_half=(3.4, 5.6),
    sidewalk=(2.4, 4.8),
    curve=0.004,
    crossing=0.42,
    green=0.55,
    building_height=(10.0, 22.0),
    trees=0.19,
    walled=0.26,
    fenced=0.24,
    street_trees=0.42,
    parked=0.36,
    traffic=3,
    people=(2, 9),
    crowd=0.2,
    riders=0.18,
    bicycles=0.32,
    motorcycles=0.14,
    trucks=0.085,
    buses=0.055,
    trams=0.085,
    lamps=0.7,
    signs=0.5,
    clutter=0.6,
    hood=True,
    road=((126, 124, 120), (114, 112, 112), (138, 132, 126), (100, 100, 104)),
    marking=(206, 204, 196),
    sidewalk_colours=((150, 122, 108), (126, 112, 106), (112, 116, 122), (168, 148, 128)),
    curb=(150, 148, 142),
    facades=(
        (166, 154, 134),
        (140, 128, 116),
        (126, 92, 78),
        (188, 176, 152),
        (112, 108, 106),
        (172, 132, 98),
        (150, 152, 150),
        (98, 82, 74),
        (196, 190, 178),
    ),
    roofs=((112, 68, 54), (72, 70, 72), (90, 76, 68)),
    glass=((58, 64, 68), (84, 92, 98), (112, 122, 128), (40, 44, 48)),
    shops=((150, 50, 44), (50, 74, 110), (180, 150, 80), (60, 92, 72), (190, 188, 182)),
    walls=((112, 104, 94), (132, 112, 96), (96, 98, 92), (136, 132, 124)),
    fences=((34, 66, 48), (176, 176, 170), (138, 88, 48)),
    poles=((96, 100, 98), (118, 118, 112), (78, 84, 80), (140, 138, 130)),
    leaves=((66, 84, 44), (82, 94, 48), (54, 76, 50), (108, 98, 54), (92, 80, 48)),
    bark=((70, 62, 54), (86, 78, 68)),
    terrain=((118, 116, 72), (102, 110, 66), (134, 122, 84)),
    cars=(
        (36, 38, 42),
        (58, 60, 64),
        (150, 152, 154),
        (196, 198, 198),
        (110, 114, 118),
        (44, 54, 84),
        (110, 36, 38),
        (72, 84, 80),
        (168, 158, 140),
    ),
    trucks_colours=((190, 190, 184), (96, 110, 128), (150, 86, 60), (120, 124, 110)),
    buses_colours=((192, 148, 54), (168, 52, 46), (190, 164, 104)),
    trams_colours=((62, 122, 108), (188, 190, 186), (84, 132, 122)),
    clothes=(
        (44, 44, 50),
        (52, 62, 96),
        (150, 48, 52),
        (184, 70, 60),
        (206, 202, 196),
        (62, 96, 84),
        (186, 148, 70),
        (48, 82, 150),
    ),
    sky=(
        ((206, 210, 212), (228, 228, 224)),
        ((176, 184, 190), (216, 216, 212)),
        ((150, 176, 204), (214, 220, 222)),
        ((224, 222, 214), (240, 236, 226)),
    ),
    haze=(120.0, 350.0),
    texture=0.8,
    noise=(1.5, 4.0),
    blur=(0.1, 0.35),
    vignette=(0.08, 0.3),
    sunny=0.45,
    exposure=(0.86, 1.18),
    cast=0.05,
    contrast=(0.88, 1.05),
)

LOOKS = {"source": SOURCE, "target": TARGET}
