"""Images and their labels side by side, with the classes in their colours."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cbda_jax.files import write_atomic
from cbda_jax.label_space import IGNORE, paint

_ROW_INCHES = 1.9
_PAIRS_A_ROW = 2


def contact_sheet(
    pairs: Sequence[
        tuple[
            str, UInt8[np.ndarray, "height width 3"], UInt8[np.ndarray, "label_height label_width"]
        ]
    ],
    classes: Sequence[str],
    palette: UInt8[np.ndarray, "classes 3"],
    title: str,
) -> Figure:
    """A figure of images with their labels beside them.

    Args:
        pairs: (name, RGB, train ids) of each.
        classes: names, by train id.
        palette: RGB, by train id. Void is black.
        title: above it.
    """
    columns = 2 * min(_PAIRS_A_ROW, max(len(pairs), 1))
    rows = max(math.ceil(2 * len(pairs) / columns), 1)
    legend_rows = math.ceil((len(classes) + 1) / 6)
    height = rows * _ROW_INCHES + 0.25 * legend_rows + 0.6
    figure = Figure(figsize=(3.0 * columns, height), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (name, image, label) in enumerate(pairs):
        row, place = divmod(number, columns // 2)
        left, right = grid[row, 2 * place], grid[row, 2 * place + 1]
        left.imshow(image)
        left.set_title(name, fontsize=7, loc="left")
        right.imshow(paint(label, palette), interpolation="nearest")
        labelled = (label != IGNORE).mean()
        right.set_title(f"{100 * labelled:.0f} % labelled", fontsize=7, loc="left")
    handles = [
        Patch(facecolor=colour / 255, edgecolor="0.5", label=name)
        for name, colour in zip(classes, palette, strict=True)
    ]
    handles.append(Patch(facecolor="black", edgecolor="0.5", label="(void)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=7, frameon=False)
    return figure


def write_contact_sheet(path: Path, figure: Figure) -> None:
    """Writes the figure as PNG, whole or not at all.

    Raises:
        InputError: the folder cannot be written to.
    """
    write_atomic(path, lambda file: figure.savefig(file, format="png"))
