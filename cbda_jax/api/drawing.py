"""Score maps drawn with Matplotlib."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int, UInt8

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PHOTOGRAPH = 0.35  # how much of it shines through


def draw_score_map(
    score: Float32[np.ndarray, "height width"],
    *,
    image: UInt8[np.ndarray, "h w 3"] | None = None,
    picks: Int[np.ndarray, "n 2"] | None = None,
    axes: Any = None,
) -> "Axes":
    """Draws a score map: bright where a label is worth most.

    Colours reach from 0 to the 99.9th percentile. What is not finite stays empty.

    Args:
        score: of `Run.score_map`, or of `cbda_jax.acquisition`.
        image: RGB, of any size: is laid over it in grey.
        picks: (row, col) of what was asked, drawn as points.
        axes: Matplotlib's, to draw into; None: of a new figure.

    Returns:
        The axes, whose `figure` can be shown or saved.
    """
    # Here: it takes most of a second.
    import matplotlib.pyplot as plt

    if axes is None:
        _, axes = plt.subplots(layout="constrained")
    height, width = score.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    finite = score[np.isfinite(score)]
    highest = float(np.percentile(finite, 99.9)) if finite.size else 0.0
    shown = np.where(np.isfinite(score), score, np.nan)
    drawn = axes.imshow(shown, cmap="magma", vmin=0, vmax=max(highest, 1e-12), extent=extent)
    if image is not None:
        grey = image.mean(axis=-1)
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255, alpha=_PHOTOGRAPH, extent=extent)
    if picks is not None:
        axes.plot(picks[:, 1], picks[:, 0], ".", color="#00b4ff", markersize=3)
    axes.set_axis_off()
    axes.figure.colorbar(drawn, ax=axes, label="score")
    return axes
