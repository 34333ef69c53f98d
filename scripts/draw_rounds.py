"""Draws what a run asked in one target image, beside score map, prediction and ground truth.

python scripts/draw_rounds.py --workdir=RUN --out=docs/images/rounds.png --image=1
"""

import io
import json
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image

from cbda_jax.annotation import QueryLog
from cbda_jax.label_space import paint, resolve_label_space
from cbda_jax.reporting import gallery

_WORKDIR = flags.DEFINE_string("workdir", None, "Of a run with rounds.", required=True)
_OUT = flags.DEFINE_string("out", None, "The PNG to write.", required=True)
_IMAGE = flags.DEFINE_integer("image", 0, "Which image of the run's gallery.")
_WIDTH = flags.DEFINE_integer("width", 640, "Of each of the four pictures, in pixels.")


def main(_: list[str]) -> None:
    """Draws the last round's picture of one image."""
    workdir = Path(_WORKDIR.value)
    config = json.loads((workdir / "config.json").read_text())
    space = resolve_label_space(config.get("label_space"), config["num_classes"])
    log = QueryLog(workdir / "queries").rounds
    paths = sorted((workdir / "gallery").glob(f"round_{len(log):02d}_*.npz"))
    with np.load(paths[_IMAGE.value]) as arrays:
        image_id, size = str(arrays["image_id"]), arrays["label"].shape
        palette = space.palette
        pixels = [
            arrays["image"],
            gallery.grey_scores(arrays["score"]),
            paint(arrays["prediction"], palette),
            paint(arrays["label"], palette),
        ]
    colours = gallery.round_colours(len(log))
    nothing = np.zeros(0, np.int32), np.zeros(0, np.int32)
    picks = [
        (colour, np.stack(queries.by_image.get(image_id, nothing), axis=1), queries.radius)
        for colour, queries in zip(colours, log, strict=True)
    ]
    drawn = [
        gallery.picture(pixels[0], size=size, picks=picks, width=_WIDTH.value),
        gallery.picture(pixels[1], size=size, picks=picks[-1:], width=_WIDTH.value),
        *(gallery.picture(p, size=size, width=_WIDTH.value, photo=False) for p in pixels[2:]),
    ]
    tiles = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in drawn]
    gap = np.full((tiles[0].shape[0], 8, 3), 255, np.uint8)
    rows = [np.concatenate([tiles[i], gap, tiles[i + 1]], axis=1) for i in (0, 2)]
    between = np.full((8, rows[0].shape[1], 3), 255, np.uint8)
    sheet = np.concatenate([rows[0], between, rows[1]], axis=0)
    Path(_OUT.value).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(_OUT.value, optimize=True)


if __name__ == "__main__":
    app.run(main)
