"""IDD: unstructured traffic in India, 26 classes (Varma et al., WACV 2019), both of its parts."""

from cbda_jax.data.declaration import declare

CLASSES = {
    "road": (128, 64, 128),
    "drivable fallback": (81, 0, 81),
    "sidewalk": (244, 35, 232),
    "non-drivable fallback": (152, 251, 152),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
    "autorickshaw": (255, 204, 54),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "vehicle fallback": (136, 143, 153),
    "curb": (220, 190, 40),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "guard rail": (180, 165, 180),
    "billboard": (174, 64, 67),
    "traffic sign": (220, 220, 0),
    "traffic light": (250, 170, 30),
    "pole": (153, 153, 153),
    "obs-str-bar-fallback": (169, 187, 214),
    "building": (70, 70, 70),
    "bridge": (150, 100, 100),
    "vegetation": (107, 142, 35),
    "sky": (70, 130, 180),
}
"""The classes of its "level 3", which are evaluated, in order; animals are of "person"."""

TO_CITYSCAPES = {
    **{name: name for name in CLASSES},
    "drivable fallback": None,
    "non-drivable fallback": "terrain",
    "autorickshaw": None,
    "vehicle fallback": None,
    "curb": None,
    "guard rail": None,
    "billboard": None,
    "obs-str-bar-fallback": None,
    "bridge": None,
}
"""What they are among Cityscapes' 19, where IDD's own table of labels has it; it has no "train"."""


def _split(name: str, *, labelled: bool = True) -> dict[str, str]:
    # The first part has images in PNG, the second in JPEG.
    images = {"images": f"leftImg8bit/{name}/{{drive}}/{{id}}_leftImg8bit.{{png|jpg}}"}
    labels = f"gtFine/{name}/{{drive}}/{{id}}_gtFine_labellevel3Ids.png"
    return {**images, "labels": labels} if labelled else images


IDD = declare(
    "idd",
    classes=CLASSES,
    void=[255],
    splits={"train": _split("train"), "val": _split("val"), "test": _split("test", labelled=False)},
    size=(720, 1280),
    # As its benchmark compares them: images come in several sizes.
    label_size=(720, 1280),
    about="IDD Segmentation, most images of 1920 x 1080; ids such as 201/frame0029.",
)
"""leftImg8bit/ and gtFine/, both parts in one folder, as tar.gz extracted.

The labels are published as polygons. The program of the authors (AutoNUE/public-code) writes the
files that are read here: `createLabels.py --id-type level3Id`.
"""
