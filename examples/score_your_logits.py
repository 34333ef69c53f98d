"""Logits in, picks out: acquisition alone, for a network and a training loop of one's own.

    python examples/score_your_logits.py

The logits may be NumPy arrays, or torch tensors ([C, h, w]), of a network in any framework.
"""

import importlib.util
from typing import Any

import jax.numpy as jnp
import numpy as np

from cbda_jax import acquisition

SIZE = (128, 256)  # of the image and of its label


def logits_of_a_network() -> Any:
    """Stands for a network: torch's [C, h, w] if torch is here, else NumPy's."""
    drawn = np.random.default_rng(0).normal(size=(19, 32, 64), scale=3).astype(np.float32)
    if importlib.util.find_spec("torch"):
        import torch

        return torch.from_numpy(drawn)
    return drawn


def ask(logits: Any, regions: int) -> list[tuple[int, int]]:
    """(row, column) of the 3 x 3 regions of an image that are most worth a label, best first."""
    # Classes last; a torch tensor on a GPU needs .cpu() first.
    channels_last = jnp.asarray(np.asarray(logits)).transpose(1, 2, 0)
    maps = acquisition.region_scores(channels_last, radius=1, size=SIZE)
    picks = acquisition.greedy_picks(maps.score, regions, radius=2, capacity=regions)
    return [(int(row), int(col)) for row, col in zip(picks.row, picks.col, strict=True)]


def main() -> None:
    """Asks for eight regions of one image."""
    print(*ask(logits_of_a_network(), regions=8), sep="\n")


if __name__ == "__main__":
    main()
