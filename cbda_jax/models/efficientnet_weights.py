"""The names that EfficientNet-PyTorch gives the arrays of EfficientNet-lite0."""

import re
from collections.abc import Iterator

import numpy as np

from cbda_jax.models import torch_names
from cbda_jax.models.efficientnet import EfficientNetLite0
from cbda_jax.models.torch_names import DEPTHWISE, POINTWISE, Arrays, Entry

_STEM = "_conv_stem.weight"
# The classifier and the blocks at stride 32, which `EfficientNetLite0` leaves out.
_LEFT_OUT = re.compile(r"(_conv_head|_bn1|_fc|_blocks\.1[1-5])\..*")


def table(model: EfficientNetLite0) -> Iterator[Entry]:
    """Every array of the backbone. Their blocks of all stages are numbered in one row."""
    yield from torch_names.conv("_conv_stem", ("backbone", "stem"))
    yield from torch_names.norm("_bn0", ("backbone", "norm"))
    places = [(s, b) for s, stage in enumerate(model.stages) for b in range(len(stage))]
    for number, (s, b) in enumerate(places):
        block = model.stages[s][b]
        name, path = f"_blocks.{number}", ("backbone", "stages", s, b)
        if block.expand:
            yield Entry(f"{name}._expand_conv.weight", (*path, "expand", 0, "kernel"), POINTWISE)
            yield from torch_names.norm(f"{name}._bn0", (*path, "expand", 1))
        depthwise = (*path, "depthwise", "kernel")
        yield Entry(f"{name}._depthwise_conv.weight", depthwise, DEPTHWISE)
        yield from torch_names.norm(f"{name}._bn1", (*path, "norm"))
        yield Entry(f"{name}._project_conv.weight", (*path, "project", "kernel"), POINTWISE)
        yield from torch_names.norm(f"{name}._bn2", (*path, "project_norm"))


def identify(arrays: Arrays) -> int | None:
    """The number of classes of arrays of this backbone and a head; None for others."""
    return torch_names.count_classes(arrays.get("head.classify.bias")) if _STEM in arrays else None


def clean(arrays: Arrays) -> dict[str, np.ndarray] | None:
    """The arrays that `EfficientNetLite0` has, None for arrays of other networks."""
    if _STEM not in arrays:
        return None
    return {name: value for name, value in arrays.items() if not _LEFT_OUT.fullmatch(name)}
