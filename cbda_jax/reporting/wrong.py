"""The part of the report on what the network still gets wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Int64, UInt8
from matplotlib.figure import Figure

from cbda_jax.label_space import IGNORE, paint
from cbda_jax.reporting import gallery, label_plots, mistakes
from cbda_jax.reporting.plots import STYLE
from cbda_jax.reporting.tables import percent
from cbda_jax.stores import AnyPath

WRONG = "#d55e00"
"""Of pixels predicted wrong, over grey: told from it by everyone, and in print."""
_BYTES = 2_000_000  # of all pictures together
_SEVERAL = 5  # confusions named


def class_rows(
    confusion: Int64[np.ndarray, "classes classes"], class_names: Sequence[str]
) -> list[list[str]]:
    """A row of cells for each class that occurs, that of the lowest IoU first.

    The cells: class, its share of the pixels, IoU, recall, precision, what its pixels are taken for
    most, and what is taken for it most; in percent of the class's pixels, and of the predictions.
    """
    counts = confusion.astype(np.float64)
    right, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    present = np.flatnonzero(true)
    iou = right[present] / (true + predicted - right)[present]
    rows = []
    for i in present[np.argsort(iou, kind="stable")].tolist():
        wrong, false = counts[i].copy(), counts[:, i].copy()
        wrong[i] = false[i] = 0
        rows.append(
            [
                class_names[i],
                percent(float(true[i] / counts.sum()), 2),
                percent(right[i] / (true[i] + predicted[i] - right[i])),
                percent(right[i] / true[i]),
                percent(right[i] / predicted[i] if predicted[i] else None),
                _most(wrong, true[i], class_names),
                _most(false, predicted[i], class_names),
            ]
        )
    return rows


def _most(counts: np.ndarray, whole: float, class_names: Sequence[str], several: int = 2) -> str:
    order = np.argsort(-counts, kind="stable")[:several].tolist()
    named = [(class_names[j], percent(float(counts[j] / whole))) for j in order if counts[j]]
    return ", ".join(f"{name} {share}" for name, share in named) or "-"


def confused(
    confusion: Int64[np.ndarray, "classes classes"],
    class_names: Sequence[str],
    several: int = _SEVERAL,
) -> list[tuple[str, str, float]]:
    """The largest confusions: the class, what it is taken for, the share of all wrong pixels."""
    wrong = confusion * (1 - np.eye(len(confusion), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:several]
    places = (divmod(int(place), len(wrong)) for place in order)
    return [
        (class_names[i], class_names[j], float(wrong[i, j] / wrong.sum()))
        for i, j in places
        if wrong[i, j]
    ]


@mpl.rc_context(STYLE)
def confusion_figure(
    confusion: Int64[np.ndarray, "classes classes"], class_names: Sequence[str]
) -> Figure:
    """What the pixels of every class that occurs are predicted as, in percent of them."""
    present = np.flatnonzero(confusion.sum(1))
    return label_plots.shares_figure(
        confusion[present],
        [class_names[i] for i in present.tolist()],
        class_names,
        rows_name="true class",
        columns_name="predicted as",
    )


def worst_entries(
    workdir: AnyPath,
    split: str,
    last: mistakes.LastEvaluation,
    class_names: Sequence[str],
    palette: UInt8[np.ndarray, "classes 3"],
) -> list[dict[str, Any]]:
    """The images with most errors, the worst first.

    Returns:
        For each a dict of `image_id`, `text` (how much is wrong, and what most), and `pictures`
        (where it is wrong, prediction, ground truth, the image), each a dict of `caption` and
        `data`, a data URL.

    Raises:
        InputError: a file is damaged.
    """
    made, size = [], 0
    for index in last.worst:
        worst = mistakes.read_worst(workdir, split, index)
        if worst is None:
            continue
        entry = {
            "image_id": worst.image_id,
            "text": _of_image(worst, class_names),
            "pictures": _pictures(worst, palette),
        }
        size += sum(len(shown["data"]) for shown in entry["pictures"])
        if size > _BYTES and made:
            break
        made.append(entry)
    return made


def _of_image(worst: mistakes.Worst, class_names: Sequence[str]) -> str:
    known = worst.label != IGNORE
    label, prediction = worst.label[known].astype(np.int64), worst.prediction[known]
    classes = len(class_names)
    cells = np.bincount(label * classes + prediction, minlength=classes * classes)
    counts = cells.reshape(classes, classes)
    share = 1 - np.trace(counts) / max(counts.sum(), 1)
    named = [
        f"{name} taken for {other}, {percent(part * share)} %"
        for name, other, part in confused(counts, class_names, 3)
    ]
    return f"{percent(share)} % of its pixels are wrong: {'; '.join(named)}."


def _pictures(
    worst: mistakes.Worst, palette: UInt8[np.ndarray, "classes 3"]
) -> list[dict[str, str]]:
    size = worst.label.shape
    picture = gallery.picture
    return [
        gallery.shown("where it is wrong", picture(mistaken(worst), size=size)),
        gallery.shown("the image", picture(worst.image, size=size)),
        *(
            gallery.shown(caption, picture(paint(label, palette), size=size, photo=False))
            for caption, label in (
                ("prediction", worst.prediction),
                ("ground truth", worst.label),
            )
        ),
    ]


def mistaken(worst: mistakes.Worst) -> UInt8[np.ndarray, "height width 3"]:
    """The image in grey, its wrong pixels in `WRONG`, those without a class black."""
    height, width = worst.label.shape
    rows = np.arange(height) * worst.image.shape[0] // height
    cols = np.arange(width) * worst.image.shape[1] // width
    grey = worst.image[rows[:, None], cols].mean(axis=2)
    pixels = np.repeat((64 + grey * (180 / 255))[:, :, None], 3, axis=2)
    wrong = (worst.label != worst.prediction) & (worst.label != IGNORE)
    colour = np.array([int(WRONG[i : i + 2], 16) for i in (1, 3, 5)])
    pixels[wrong] = 0.15 * pixels[wrong] + 0.85 * colour
    pixels[worst.label == IGNORE] = 0
    return pixels.round().astype(np.uint8)


def section(
    workdir: AnyPath,
    result: Mapping[str, Any] | None,
    class_names: Sequence[str],
    palette: UInt8[np.ndarray, "classes 3"],
) -> dict[str, Any] | None:
    """What the template shows of the split that the headline is of; None where nothing is kept.

    Args:
        workdir: of the run.
        result: the "evaluation" record of the headline, if there is one.
        class_names: by train id.
        palette: RGB, by train id.

    Raises:
        InputError: a file of the evaluation is damaged.
    """
    last = None if result is None else mistakes.read_last(workdir, result["split"])
    # The counts of an earlier end say nothing of a run that has gone on.
    if result is None or last is None or last.step != result["step"] or not last.confusion.any():
        return None
    images = int(np.count_nonzero(last.pixels))
    wrong = np.divide(
        last.pixels - last.right, last.pixels, out=np.zeros(len(last.pixels)), where=last.pixels > 0
    )[last.pixels > 0]
    return {
        "split": result["split"],
        "rows": class_rows(last.confusion, class_names),
        "confused": [
            f"{name} taken for {other} ({percent(part)} %)"
            for name, other, part in confused(last.confusion, class_names)
        ],
        "figure": confusion_figure(last.confusion, class_names),
        "images": (
            f"Wrong pixels of an image, over {images} images: median "
            f"{percent(np.median(wrong))} %, a tenth of them above "
            f"{percent(np.quantile(wrong, 0.9))} %, the worst {percent(wrong.max())} %."
        ),
        "worst": worst_entries(workdir, result["split"], last, class_names, palette),
    }
