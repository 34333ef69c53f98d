"""The names that torchvision gives the arrays of ResNet-101."""

from collections.abc import Iterator

import numpy as np

from cbda_jax.models import torch_names
from cbda_jax.models.resnet import ResNet101
from cbda_jax.models.torch_names import Arrays, Entry

ROOT = "feature_extractor.backbone"
"""What RIPU's checkpoints put before torchvision's names."""


def table(model: ResNet101) -> Iterator[Entry]:
    """Every array of a backbone of DeepLab."""
    ours = ("backbone",)
    yield from torch_names.conv(f"{ROOT}.conv1", (*ours, "conv1"))
    yield from torch_names.norm(f"{ROOT}.bn1", (*ours, "bn1"))
    for s, stage in enumerate(model.stages):
        for b, block in enumerate(stage):
            name, path = f"{ROOT}.layer{s + 1}.{b}", (*ours, "stages", s, b)
            for i in (1, 2, 3):
                yield from torch_names.conv(f"{name}.conv{i}", (*path, f"conv{i}"))
                yield from torch_names.norm(f"{name}.bn{i}", (*path, f"bn{i}"))
            if block.downsample:
                yield from torch_names.conv(f"{name}.downsample.0", (*path, "downsample", 0))
                yield from torch_names.norm(f"{name}.downsample.1", (*path, "downsample", 1))


def holds(arrays: Arrays) -> bool:
    """Whether a backbone is among arrays under RIPU's names."""
    return f"{ROOT}.conv1.weight" in arrays


def clean(arrays: Arrays) -> dict[str, np.ndarray] | None:
    """Arrays of torchvision under RIPU's names, without ImageNet's classifier; None for others."""
    if "conv1.weight" not in arrays:
        return None
    kept = torch_names.without(arrays, "fc.weight", "fc.bias")
    return {f"{ROOT}.{name}": value for name, value in kept.items()}
