"""Looking at the files of a data set before it is prepared: all of them, and all that is wrong."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64, UInt8

from cbda_jax.data import images
from cbda_jax.data.datasets.folders import PairBuilder, parallel_map
from cbda_jax.data.datasets.pairs import Pair
from cbda_jax.errors import InputError

_WIDEST = 480  # of a sample, in pixels


@dataclasses.dataclass(frozen=True)
class Sample:
    """A pair to be shown, at most 480 pixels wide.

    Attributes:
        image_id: of it.
        image: RGB uint8 `[h, w, 3]`.
        label: train ids uint8 `[h, w]`, 255 for void.
    """

    image_id: str
    image: UInt8[np.ndarray, "height width 3"]
    label: UInt8[np.ndarray, "height width"]


@dataclasses.dataclass
class Split:
    """What is in the files of a split.

    Attributes:
        name: of the split.
        ids: of the images that can be read.
        labelled: whether there are labels.
        sizes: (height, width) -> how many images have it.
        class_pixels: int64 `[n, C]`, pixels of every class in the labels as they are.
        void: int64 `[n]`, pixels of no class.
        unreadable: the message of every pair that cannot be used, which names the file.
        samples: some pairs, spread over the split.
    """

    name: str
    ids: list[str]
    labelled: bool
    sizes: collections.Counter[tuple[int, int]]
    class_pixels: Int64[np.ndarray, "images classes"]
    void: Int64[np.ndarray, " images"]
    unreadable: list[str]
    samples: list[Sample]

    @property
    def empty(self) -> list[str]:
        """The ids of images of which no pixel is labelled, in a split with labels."""
        if not self.labelled:
            return []
        return [self.ids[i] for i in np.flatnonzero(~self.class_pixels.any(axis=1))]


def inspect(
    builder: PairBuilder,
    *,
    samples: int = 8,
    done: Callable[[str, int, int], None] = lambda split, so_far, all_of_them: None,
) -> list[Split]:
    """Reads all files of a data set, and goes on where one cannot be used. Nothing is written.

    Args:
        builder: of `create_builder`, with a root.
        samples: pairs of each split to keep for pictures.
        done: told the split, how many of its pairs are read and how many there are.

    Returns:
        The splits that there are.

    Raises:
        InputError: the folder is not there, or its files cannot be paired at all.
    """
    builder.find_splits()  # says where a data set without a root is expected
    assert builder.source.root is not None
    return [
        _inspect(builder, name, pairs, samples, done)
        for name, pairs in builder.pairs(builder.source.root).items()
    ]


def _inspect(
    builder: PairBuilder,
    name: str,
    pairs: Sequence[Pair],
    samples: int,
    done: Callable[[str, int, int], None],
) -> Split:
    space = builder.space
    shown = {int(i) for i in np.linspace(0, len(pairs) - 1, min(samples, len(pairs))).round()}
    found = Split(
        name=name,
        ids=[],
        labelled=any(pair.label is not None for pair in pairs),
        sizes=collections.Counter(),
        class_pixels=np.zeros((0, space.num_classes), np.int64),
        void=np.zeros(0, np.int64),
        unreadable=[],
        samples=[],
    )
    rows, void = [], []

    def read(pair: Pair):
        try:
            image, label = builder.read(pair)
        except InputError as error:
            return str(error)
        return image, label, space.class_pixels(label)

    for number, (pair, result) in enumerate(zip(pairs, parallel_map(read, pairs), strict=True)):
        done(name, number + 1, len(pairs))
        if isinstance(result, str):
            found.unreadable.append(result)
            continue
        image, label, counts = result
        found.ids.append(pair.image_id)
        found.sizes[image.shape[:2]] += 1
        rows.append(counts)
        void.append(label.size - int(counts.sum()))
        if number in shown:
            found.samples.append(_sample(pair.image_id, image, label))
    if rows:
        found.class_pixels, found.void = np.stack(rows), np.array(void, np.int64)
    return found


def _sample(image_id: str, image: np.ndarray, label: np.ndarray) -> Sample:
    height, width = image.shape[:2]
    shrunk = min(1.0, _WIDEST / width)
    size = max(round(height * shrunk), 1), max(round(width * shrunk), 1)
    return Sample(image_id, images.resize_image(image, size), images.resize_label(label, size))


def table(splits: Sequence[Split], classes: Sequence[str]) -> str:
    """What there is, as lines of text: sizes, and of every split the share of each class."""
    lines = []
    for split in splits:
        sizes = ", ".join(
            f"{width} x {height}{f' ({n})' * (len(split.sizes) > 1)}"
            for (height, width), n in split.sizes.most_common(8)
        )
        more = f", ... {len(split.sizes)} sizes" * (len(split.sizes) > 8)
        labels = "" if split.labelled else ", without labels"
        lines.append(f"  {split.name:<10}{len(split.ids):>7} images of {sizes}{more}{labels}")
        wrong = {"cannot be used": split.unreadable, "without a labelled pixel": split.empty}
        lines += [f"  {'':<10}{len(names):>7} {what}" for what, names in wrong.items() if names]
    labelled = [split for split in splits if split.labelled and len(split.ids)]
    if labelled:
        lines.append("")
        heads = "".join(f"{split.name:>12}{'images':>9}" for split in labelled)
        lines.append(f"  {'class':<22}{heads}")
        totals = [split.class_pixels.sum() + split.void.sum() for split in labelled]
        for number, name in enumerate(classes):
            cells = "".join(
                f"{100 * split.class_pixels[:, number].sum() / total:>10.3f} %"
                f"{int((split.class_pixels[:, number] > 0).sum()):>9}"
                for split, total in zip(labelled, totals, strict=True)
            )
            nowhere = all(not split.class_pixels[:, number].any() for split in labelled)
            lines.append(f"  {name:<22}{cells}{'  nowhere' * nowhere}")
        void = "".join(
            f"{100 * split.void.sum() / total:>10.3f} %{int((split.void > 0).sum()):>9}"
            for split, total in zip(labelled, totals, strict=True)
        )
        lines.append(f"  {'(void)':<22}{void}")
    return "\n".join(lines)
