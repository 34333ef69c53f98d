"""CamVid: 701 photographs of five drives through Cambridge, by day and dusk.

Brostow, Fauqueur, Cipolla: Semantic object classes in video (2008). Two layouts: the one of the
SegNet tutorial, whose label files hold 11 classes, and the original, painted in 32 colours.
"""

from cbda_jax.data.declaration import declare

CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
"""The 11 classes that are evaluated, in the colours of SegNet (Badrinarayanan et al., 2015)."""

OF_CITYSCAPES = {
    "sidewalk": "pavement",
    "wall": "building",
    "traffic light": "sign",
    "traffic sign": "sign",
    "vegetation": "tree",
    "terrain": "tree",
    "person": "pedestrian",
    "rider": "bicyclist",
    "truck": "car",
    "bus": "car",
    "train": "car",
    "motorcycle": "bicyclist",
    "bicycle": "bicyclist",
}
"""What the 19 classes of Cityscapes, GTAV and the drawn scenes are among them."""

CAMVID = declare(
    "camvid",
    classes=CLASSES,
    void=[11],
    splits=["train", "val", "test"],
    images="{split}/{id}.{jpg|jpeg|png}",
    labels="{split}annot/{id}.png",
    size=(360, 480),
    about="CamVid of the SegNet tutorial: 367, 101 and 233 images of 480 x 360, 11 classes.",
)
"""`train/*.png` with `trainannot/*.png`, and so for val and test; images may be JPEG."""

_COLOURS = {
    "sky": [(128, 128, 128)],
    # Building, bridge, wall, tunnel, archway.
    "building": [(128, 0, 0), (0, 128, 64), (64, 192, 0), (64, 0, 64), (192, 0, 128)],
    # Column or pole, traffic cone.
    "pole": [(192, 192, 128), (0, 0, 64)],
    # Road, lane markings that bind drivers and that do not.
    "road": [(128, 64, 128), (128, 0, 192), (192, 0, 64)],
    # Sidewalk, parking block, road shoulder.
    "pavement": [(0, 0, 192), (64, 192, 128), (128, 128, 192)],
    # Tree, other vegetation.
    "tree": [(128, 128, 0), (192, 192, 0)],
    # Sign symbol, other text, traffic light.
    "sign": [(192, 128, 128), (128, 128, 64), (0, 64, 64)],
    "fence": [(64, 64, 128)],
    # Car, SUV or pickup, truck or bus, train, other moving things.
    "car": [(64, 0, 128), (64, 128, 192), (192, 128, 192), (192, 64, 128), (128, 64, 64)],
    # Pedestrian, child, luggage or pram, animal.
    "pedestrian": [(64, 64, 0), (192, 128, 64), (64, 0, 192), (64, 128, 64)],
    # Bicyclist, motorcycle or scooter.
    "bicyclist": [(0, 128, 192), (192, 0, 192)],
}

CAMVID_COLOURS = declare(
    "camvid_colours",
    classes=CLASSES,
    encoding="colour",
    values=_COLOURS,
    void=[(0, 0, 0)],
    splits={
        "train": {
            "images": "701_StillsRaw_full/{id}.png",
            "labels": "LabeledApproved_full/{id}_L.png",
        }
    },
    size=(360, 480),
    about="CamVid as published: 701 images of 960 x 720, 32 colours that are 11 classes.",
)
"""`701_StillsRaw_full/*.png` with `LabeledApproved_full/*_L.png`, all one split."""
