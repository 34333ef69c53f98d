"""Region and pixel acquisition in PyTorch, one pick at a time."""

import math

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]


def _window_sum(x: torch.Tensor, radius: int) -> torch.Tensor:
    """Sum over the clipped window by a depthwise convolution: `[1, C, H, W]`."""
    channels, side = x.shape[1], 2 * radius + 1
    kernel = torch.ones(channels, 1, side, side)
    return functional.conv2d(x, kernel, padding=radius, groups=channels)


@torch.inference_mode()
def score(logits: np.ndarray, size: tuple[int, int], radius: int, unit: str) -> torch.Tensor:
    """RIPU's score of `[C, h, w]` logits: `[H, W]` float32."""
    classes = len(logits)
    full = functional.interpolate(
        torch.from_numpy(logits)[None], size, mode="bilinear", align_corners=True
    )
    p = full.softmax(dim=1)
    entropy = -(p * torch.log(p + 1e-6)).sum(dim=1, keepdim=True)
    one_hot = functional.one_hot(p.argmax(dim=1), classes).permute(0, 3, 1, 2).float()
    count = _window_sum(one_hot, radius)
    pixels = count.sum(dim=1, keepdim=True)
    q = count / pixels
    impurity = -(q * torch.log(q + 1e-6)).sum(dim=1, keepdim=True)
    if unit == "region":
        entropy = _window_sum(entropy, radius) / pixels / math.log(classes)
        impurity = impurity / math.log(classes)
    return (impurity * entropy)[0, 0]


@torch.inference_mode()
def select(score: torch.Tensor, budget: int, radius: int) -> list[tuple[int, int]]:
    """Take the best pixel, block the square around it, repeat. Picks are (row, col)."""
    left = score.clone()
    picks = []
    for _ in range(budget):
        best_of_column, row_of_column = left.max(dim=0)
        col = int(best_of_column.argmax())
        row = int(row_of_column[col])
        picks.append((row, col))
        left[
            max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1
        ] = -torch.inf
    return picks
