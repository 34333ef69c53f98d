"""Workdirs of runs that wait for people, without a run: drawn images and queries about them."""

from pathlib import Path

import numpy as np

from cbda_jax.annotation import Queries, QueryLog
from cbda_jax.annotation.people.asked import Asked, write_asked
from cbda_jax.config import files
from cbda_jax.run import assembly, workdir


def make_run(folder, *, count=12, radius=0, size=(48, 96), images=2, redundancy=0.0, hidden=0.0):
    """A run of `synthetic` that has asked one round; gives its queries."""
    folder = Path(folder)
    config = files.load("synthetic")
    config.annotation.oracle = "people"
    config.data.dir = str(folder.parent / "data")
    config.data.target_size = size
    drawn = config.data.synthetic_city
    drawn.source_train = drawn.target_val = drawn.target_test = 1
    drawn.target_train = images
    workdir.claim(folder, config, write=True)
    ask(folder, 1, count=count, radius=radius, redundancy=redundancy, hidden=hidden)
    return QueryLog(folder / "queries").rounds[-1]


def ask(folder, number, *, count=12, radius=0, redundancy=0.0, hidden=0.0):
    """Has a run ask another round, as the oracle `people` does."""
    config = workdir.read_config(folder)
    pool = assembly.open_records(config, "target")
    height, width = pool.sizes[0].tolist()
    # Places that no two rounds have, some of them at the border.
    places = np.random.default_rng(0).permutation(height * width)[: number * count][-count:]
    if radius:
        side = 4 * radius + 2
        rows, cols = np.meshgrid(
            np.arange(0, height, side), np.arange(0, width, side), indexing="ij"
        )
        places = (rows * width + cols).ravel()[: number * count][-count:]
    row, col = np.divmod(places.astype(np.int32), np.int32(width))
    ids = tuple(sorted(pool.ids))
    labels = {image_id: pool.label(i) for i, image_id in enumerate(pool.ids)}
    image = (np.arange(count) % len(ids)).astype(np.int32)
    truth = [labels[ids[i]][r, c] for i, r, c in zip(image, row, col, strict=True)]
    queries = Queries(
        round=number,
        step=10 * number,
        image_ids=ids,
        image=image,
        row=row,
        col=col,
        score=np.linspace(1, 0.1, count, dtype=np.float32),
        predicted=np.array([v if v < 19 else 0 for v in truth], np.uint8),
        radius=radius,
        about={},
    )
    (folder / "answers").mkdir(exist_ok=True)
    QueryLog(folder / "queries").append(queries)
    asked = Asked(
        round=number,
        queries=queries.checksum,
        classes=pool.classes,
        sizes=dict.fromkeys(ids, (height, width)),
        redundancy=redundancy,
        hidden=hidden,
        seed=0,
    )
    write_asked(folder / "answers", asked)
