"""Region acquisition in NumPy, one pick at a time."""

import numpy as np

from cbda_jax.resize import taps


def upsample(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`[C, h, w]` to `[C, H, W]`, bilinear, corners aligned."""
    low, high, share = taps(logits.shape[1], size[0])
    logits = logits[:, low] * (1 - share)[:, None] + logits[:, high] * share[:, None]
    low, high, share = taps(logits.shape[2], size[1])
    return logits[:, :, low] * (1 - share) + logits[:, :, high] * share


def window_sum(x: np.ndarray, radius: int) -> np.ndarray:
    """Sum over the clipped window, `[..., H, W]`, as the sum of all shifted copies."""
    height, width = x.shape[-2:]
    pad = [(0, 0)] * (x.ndim - 2) + [(radius, radius)] * 2
    padded, total = np.pad(x, pad), np.zeros_like(x)
    for i in range(2 * radius + 1):
        for j in range(2 * radius + 1):
            total += padded[..., i : i + height, j : j + width]
    return total


def score(logits: np.ndarray, size: tuple[int, int], radius: int) -> np.ndarray:
    """RIPU's region score of `[C, h, w]` logits: `[H, W]` float32."""
    full = upsample(logits, size)
    p = np.exp(full - full.max(axis=0))
    p /= p.sum(axis=0)
    log_classes = np.float32(np.log(len(logits)))
    entropy = -(p * np.log(p + np.float32(1e-6))).sum(axis=0) / log_classes
    one_hot = p.argmax(axis=0)[None] == np.arange(len(logits))[:, None, None]
    count = window_sum(one_hot.astype(np.float32), radius)
    pixels = count.sum(axis=0)
    q = count / pixels
    impurity = -(q * np.log(q + np.float32(1e-6))).sum(axis=0) / log_classes
    return impurity * window_sum(entropy, radius) / pixels


def select(score: np.ndarray, budget: int, radius: int) -> list[tuple[int, int]]:
    """Take the best pixel, block the square around it, repeat. Picks are (row, col)."""
    # Transposed: the first maximum then has the smallest column, and of those the smallest row.
    left = np.array(score.T, order="C")
    picks = []
    for _ in range(budget):
        col, row = divmod(int(left.argmax()), left.shape[1])
        picks.append((row, col))
        columns, rows = (slice(max(i - radius, 0), i + radius + 1) for i in (col, row))
        left[columns, rows] = -np.inf
    return picks
