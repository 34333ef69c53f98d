"""A folder of a user's own images, and a config that declares it: see `write` and `config_of`."""

import numpy as np
from PIL import Image

from configs import synthetic

CLASSES = {"grass": (40, 160, 40), "path": (170, 150, 120), "shed": (130, 60, 30)}
VALUES = (3, 5, 9)
VOID = 0
HEIGHT, WIDTH = 32, 48


def write(root, splits=("train", "val", "test"), images=3):
    """JPEG photographs and palette labels of three classes: `SPLIT/DAY/N.jpg`, `SPLIT_ids/...`."""
    rng = np.random.default_rng(0)
    for split in splits:
        for number in range(images):
            stripes = rng.choice([*VALUES, VOID], p=[0.4, 0.3, 0.2, 0.1], size=(1, WIDTH // 6))
            ids = np.broadcast_to(stripes.repeat(6, axis=1), (HEIGHT, WIDTH)).astype(np.uint8)
            noise = rng.integers(0, 60, (HEIGHT, WIDTH, 3))
            image = np.stack([25 * ids, 255 - 25 * ids, 90 + 3 * ids], axis=-1) * 3 // 4 + noise
            day = f"day_{number % 2}"
            for folder, ending, pixels in (
                (split, "JPG", Image.fromarray(image.clip(0, 255).astype(np.uint8))),
                (f"{split}_ids", "png", Image.fromarray(ids)),
            ):
                (root / folder / day).mkdir(parents=True, exist_ok=True)
                pixels.save(root / folder / day / f"{number}.{ending}")


def config_of(folder, **declared):
    """A run of a few steps over `folder`/files/yard."""
    config = synthetic.get_config("method=cbda,steps=4")
    config.data.declared.yard = {
        "classes": CLASSES,
        "values": dict(zip(CLASSES, VALUES, strict=True)),
        "void": [VOID],
        "splits": ["train", "val", "test"],
        "images": "{split}/{day}/{id}.{jpg|png}",
        "labels": "{split}_ids/{day}/{id}.png",
        **declared,
    }
    config.label_space = "yard"
    config.data.root, config.data.dir = str(folder / "files"), str(folder / "prepared")
    config.data.source = config.data.target = "yard/train"
    config.data.val, config.data.test = "yard/val", "yard/test"
    config.data.source_size = config.data.target_size = (HEIGHT, WIDTH)
    config.data.source_batch = config.data.target_batch = 2
    config.training.optimizer = "sgd"
    config.acquisition.rounds = (2,)
    config.acquisition.budget = 0.1
    config.acquisition.batch_per_device = config.evaluation.batch_per_device = 1
    config.evaluation.every = 0
    config.evaluation.flip = False
    config.report.gallery = 1
    return config
