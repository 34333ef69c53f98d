"""UAVid: oblique views of streets from a drone (Lyu et al., ISPRS Journal 2020)."""

from cbda_jax.data.declaration import declare

CLASSES = {
    "clutter": (0, 0, 0),
    "building": (128, 0, 0),
    "road": (128, 64, 128),
    "static car": (192, 0, 192),
    "tree": (0, 128, 0),
    "low vegetation": (128, 128, 0),
    "human": (64, 64, 0),
    "moving car": (64, 0, 128),
}
"""The 8 classes, all evaluated, in the order and colours of UAVid's tool kit."""


def _split(name: str, *, labelled: bool = True) -> dict[str, str]:
    images = {"images": f"uavid_{name}/{{sequence}}/Images/{{id}}.png"}
    return (
        {**images, "labels": f"uavid_{name}/{{sequence}}/Labels/{{id}}.png"} if labelled else images
    )


UAVID = declare(
    "uavid",
    classes=CLASSES,
    encoding="colour",
    splits={"train": _split("train"), "val": _split("val"), "test": _split("test", labelled=False)},
    size=(720, 1280),
    parents=("", "uavid_v1.5_official_release_image"),
    about="UAVid: 200, 70 and 150 images of 3840 x 2160 or 4096 x 2160; ids such as seq1/000000.",
)
"""`uavid_train/seq1/Images/*.png` and `Labels/*.png`, and so for val and test."""
