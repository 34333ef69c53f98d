"""How often windows hold one predicted class, of all pixels and of each round's picks.

    python scripts/window_ratio.py
    python scripts/window_ratio.py --geometry 192x384:96x192:48x96 --workdir RUN ANOTHER
    python scripts/window_ratio.py --config configs/camvid.py --root DIR

Where predictions are coarse beside the labels that are asked for, boundaries are thin, and soon
used up: from then on picks are of windows without impurity, which scores of the impurity do not
rank. That share decides what a benchmark of acquisition can show at large budgets, so a setting
should have it as the data that it stands for.

A geometry is NATIVE:SEEN:OUTPUT, each HEIGHTxWIDTH: of labels and picks, of the network's input,
and of its logits, which are enlarged to the input's size and from there to the native one. It is
estimated: by embedded scenes of the target, drawn at the native size, and a network that knows
their labels as well as its output can say. Each of its logits is log(share + 0.01), with the share
of the class among the native pixels that the output pixel stands for; void is a class of its own.
It does not learn, so all rounds are of the same maps, by the score of RIPU and with the same budget
in each image. Real predictions have more boundaries, in other places in every round: the estimate
is for comparing geometries, and a lower bound of impurity.

A config is estimated in the same way: by the labels of its own target, the sizes that it names and
the output of its network.

A workdir is measured: the share of picks with a score of 0 or less in its query log (of scores of
the impurity), and all windows of its target by the network of its latest checkpoint.
"""

import argparse
import functools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import harness
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from cbda_jax import acquisition, models, sharding
from cbda_jax import config as config_
from cbda_jax.acquisition.scoring.impurity import one_class
from cbda_jax.annotation import QueryLog
from cbda_jax.config import data_sets
from cbda_jax.config import files as config_files
from cbda_jax.data.datasets.synthetic_city import draw_scene
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.run import assembly, trained, workdir

PRIOR = 0.01
"""Added to the share of a class in an output pixel, whose logarithm is its logit."""
_FIRST_SCENE = 1_000_000  # the seeds of the embedded target_train

Size = tuple[int, int]


class Geometry(NamedTuple):
    """Sizes, (height, width).

    Attributes:
        native: of labels and picks.
        seen: of the network's input.
        output: of its logits.
    """

    native: Size
    seen: Size
    output: Size

    def __str__(self) -> str:
        return ":".join(f"{height}x{width}" for height, width in self)


GEOMETRIES = {
    "RIPU and CBDA, DeepLab-v2 (stride 8)": "1024x2048:640x1280:80x160",
    "RIPU and CBDA, DeepLab-v3+ (stride 4)": "1024x2048:640x1280:160x320",
    "embedded scenes, native 1": "96x192:96x192:48x96",
    "embedded scenes, native 2": "192x384:96x192:48x96",
    "embedded scenes, native 3": "288x576:96x192:48x96",
    "embedded scenes, native 4": "384x768:96x192:48x96",
    "embedded scenes at CamVid's sizes": "360x480:180x240:90x120",
}


class Shares(NamedTuple):
    """Shares of windows of one predicted class, fractions.

    Attributes:
        pixels: among the windows around all pixels, for every radius asked for.
        picks: among the picks of each round, of radius 1; empty without rounds.
    """

    pixels: tuple[float, ...]
    picks: tuple[float, ...]


def read_geometry(text: str) -> Geometry:
    """Reads NATIVE:SEEN:OUTPUT.

    Raises:
        InputError: it is something else.
    """
    if not re.fullmatch(r"\d+x\d+:\d+x\d+:\d+x\d+", text):
        raise InputError(
            f"--geometry: {text!r} found, expected NATIVE:SEEN:OUTPUT, each HEIGHTxWIDTH, such as "
            "1024x2048:640x1280:80x160"
        )
    sizes = [(int(h), int(w)) for h, w in (part.split("x") for part in text.split(":"))]
    if min(min(size) for size in sizes) < 1 or min(sizes[0]) < 32:
        raise InputError(f"--geometry: {text!r} found, expected sizes above 0, native ones from 32")
    return Geometry(*sizes)


def knowing_logits(label: np.ndarray, output: Size, classes: int) -> np.ndarray:
    """The logits of a network that knows a label as well as its output can say.

    Args:
        label: uint8 `[H, W]`; from `classes` on: void.
        output: (h, w) of the logits.
        classes: C.

    Returns:
        `[h, w, C + 1]` float32, log(share + `PRIOR`), void last.
    """
    height, width = output
    own = np.minimum(label, classes)

    def share(c: int) -> np.ndarray:
        plane = Image.fromarray((own == c).astype(np.float32))
        return np.asarray(plane.resize((width, height), Image.Resampling.BOX))

    shares = np.stack([share(c) for c in range(classes + 1)], axis=-1)
    return np.log(shares.clip(0, 1) + np.float32(PRIOR))


@functools.partial(jax.jit, static_argnames=("native", "seen", "radii"))
def _maps(
    logits: jax.Array, *, native: Size, seen: Size, radii: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """RIPU's score map, and the share of windows of one class of every radius."""
    via = None if seen == native else seen
    maps = acquisition.region_scores(logits, size=native, via=via)
    shares = [jnp.mean(one_class(maps.prediction, radius=r), dtype=jnp.float32) for r in radii]
    return maps.score, jnp.stack(shares)


@functools.partial(jax.jit, static_argnames=("native", "budget", "radius"))
def _picks(
    score: jax.Array, blocked: jax.Array, *, native: Size, budget: int, radius: int
) -> tuple[jax.Array, jax.Array]:
    """How many picks of a round have a score of 0 or less, of how many; and what is blocked."""
    picks = acquisition.greedy_picks(score, budget, radius=radius, capacity=budget, blocked=blocked)
    taken = picks.row >= 0
    unranked = taken & (score[picks.row, picks.col] <= 0)
    more = acquisition.blocked_mask(picks.row, picks.col, native, radius)
    return jnp.stack([unranked.sum(), taken.sum()]), blocked | more


def scenes(geometry: Geometry, number: int) -> Iterator[np.ndarray]:
    """Labels of drawn target scenes at the native size, uint8 `[H, W]`."""
    for index in range(number):
        yield draw_scene("target", _FIRST_SCENE + index, *geometry.native)[1]


def of_config(config: assembly.Config, number: int) -> tuple[Geometry, Iterator[np.ndarray], int]:
    """The geometry of a config, labels of its target, and C.

    Args:
        config: of `cbda_jax.config`.
        number: of labels at most: the first of those as large as the first one.

    Raises:
        InputError: the data are not there.
    """
    config_.check(config)
    pool = assembly.open_records(config, "target")
    classes, seen = data_sets.space(config).num_classes, tuple(config.data.target_size)
    image = jax.ShapeDtypeStruct((1, *seen, 3), jnp.float32)
    create = assembly.model_maker(config, classes)
    output = jax.eval_shape(lambda x: create()(x), image).shape[1:3]
    alike = np.flatnonzero((pool.sizes == pool.sizes[0]).all(axis=1))[:number]
    geometry = Geometry(tuple(pool.sizes[0].tolist()), seen, tuple(output))
    return geometry, map(pool.label, alike.tolist()), classes


def estimate(
    geometry: Geometry,
    labels: Iterable[np.ndarray],
    *,
    classes: int = CITYSCAPES_19.num_classes,
    radii: Sequence[int] = (1,),
    budget: float = 0.2,
    rounds: int = 5,
) -> Shares:
    """The shares of a geometry, as the module says.

    Args:
        geometry: the sizes.
        labels: uint8 `[H, W]` at its native size, at least one.
        classes: C.
        radii: of the windows around all pixels.
        budget: fraction of the pixels that all rounds label together.
        rounds: how many there are.
    """
    squares = acquisition.geometry("region", 1)
    number = acquisition.picks_per_image(budget, geometry.native, rounds, squares)
    found, picked = [], np.zeros((rounds, 2), np.int64)
    for label in labels:
        logits = knowing_logits(label, geometry.output, classes)
        score, shares = _maps(
            jnp.asarray(logits), native=geometry.native, seen=geometry.seen, radii=tuple(radii)
        )
        found.append(np.asarray(shares))
        blocked = jnp.zeros(geometry.native, bool)
        for place in range(rounds):
            counts, blocked = _picks(
                score,
                blocked,
                native=geometry.native,
                budget=number,
                radius=squares.block_radius,
            )
            picked[place] += np.asarray(counts)
    mean = np.mean(np.array(found, np.float64), axis=0)
    return Shares(tuple(mean), tuple(picked[:, 0] / picked[:, 1].clip(1)))


def measure(folder: Path, *, radii: Sequence[int] = (1,), images: int = 50) -> tuple[str, Shares]:
    """The shares of a run, and its sizes in words.

    Args:
        folder: its workdir.
        radii: of the windows around all pixels.
        images: at most so many of its target, the first ones.

    Raises:
        InputError: there is no run, or it has no checkpoint.
    """
    workdir.check_run(folder)
    config = workdir.read_config(folder)
    pool = assembly.open_records(config, "target")
    classes = data_sets.space(config).num_classes
    network = trained.of(config, folder, classes, sharding.make_mesh())
    seen: Size = tuple(config.data.target_size)

    @functools.cache
    def program(native: Size):
        def shares(params, frozen, image):
            model = nnx.merge(network.graphdef, params, frozen)
            logits = model(models.normalize(image[None]))[0]
            return _maps(logits, native=native, seen=seen, radii=tuple(radii))[1]

        return jax.jit(shares)

    sums, number = np.zeros(len(radii)), min(images, len(pool))
    for index in range(number):
        native = tuple(pool.sizes[index].tolist())
        found = program(native)(network.state.params, network.state.frozen, pool.image(index))
        sums += np.asarray(found)
    picks = tuple(float((q.score <= 0).mean()) for q in QueryLog(folder / "queries").rounds)
    native = "x".join(map(str, pool.sizes[0].tolist()))
    return f"{native}:{seen[0]}x{seen[1]}", Shares(tuple(sums / number), picks)


def _table(
    rows: Sequence[tuple[str, str, float, Shares]], radii: Sequence[int], rounds: int
) -> Iterator[str]:
    windows = [f"{2 * r + 1} x {2 * r + 1}" for r in radii]
    columns = [
        *("", "native : seen : output", "training pixels a region"),
        *(f"{window} of one class %" for window in windows),
        *(f"of picks, round {place + 1} %" for place in range(rounds)),
    ]
    yield f"| {' | '.join(columns)} |"
    yield f"| --- | --- |{' ---: |' * (len(columns) - 2)}"
    for name, sizes, pixels, shares in rows:
        picks = [f"{100 * share:.1f}" for share in shares.picks]
        cells = [f"{100 * share:.1f}" for share in shares.pixels]
        cells += [*picks, *[""] * (rounds - len(picks))]
        yield f"| {name} | {sizes} | {pixels:.2f} | {' | '.join(cells)} |"


def _seen_of(sizes: str) -> float:
    """How many of a region's nine pixels are left at the size of training."""
    (height, width), (seen_height, seen_width), *_ = (
        (int(side) for side in part.split("x")) for part in sizes.split(":")
    )
    return 9 * seen_height * seen_width / (height * width)


def main(arguments: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--geometry",
        nargs="*",
        help="NATIVE:SEEN:OUTPUT; without what is to be looked at, those of papers",
    )
    parser.add_argument(
        "--config", nargs="*", default=[], help="FILE or FILE:name=value,... of experiments"
    )
    parser.add_argument("--root", default="", help="data.root of the configs")
    parser.add_argument("--native", type=int, default=1, help="of their drawn scenes")
    parser.add_argument("--workdir", nargs="*", default=[], type=Path, help="of runs")
    parser.add_argument(
        "--scenes", type=int, default=20, help="drawn, or read of a config's target"
    )
    parser.add_argument("--images", type=int, default=50, help="of a run's target, at most")
    parser.add_argument("--radius", nargs="*", type=int, default=[1], help="of windows")
    parser.add_argument("--budget", type=float, default=0.2, help="fraction of all pixels")
    parser.add_argument("--rounds", type=int, default=5, help="of a geometry")
    options = parser.parse_args(arguments)
    named = dict.fromkeys(options.geometry or (), "")
    if options.geometry is None and not (options.workdir or options.config):
        named = {text: name for name, text in GEOMETRIES.items()}
    settings = {"radii": options.radius, "budget": options.budget, "rounds": options.rounds}
    rows = []
    try:
        for text, name in named.items():
            geometry = read_geometry(text)
            shares = estimate(geometry, scenes(geometry, options.scenes), **settings)
            rows.append((name, text, _seen_of(text), shares))
        for text in options.config:
            config = config_files.load(text)
            config.data.root, config.data.synthetic_city.native = options.root, options.native
            geometry, labels, classes = of_config(config, options.scenes)
            shares = estimate(geometry, labels, classes=classes, **settings)
            rows.append((text, str(geometry), _seen_of(str(geometry)), shares))
        for folder in options.workdir:
            sizes, shares = measure(folder, radii=options.radius, images=options.images)
            rows.append((f"run {folder.name}", sizes, _seen_of(sizes), shares))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    facts = harness.environment()
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    print(f"{facts['command']}\n{facts['device']}, {facts['cores']} cores, {versions}\n")
    rounds = max((len(shares.picks) for *_, shares in rows), default=0)
    print("\n".join(_table(rows, options.radius, rounds)))


if __name__ == "__main__":
    main()
