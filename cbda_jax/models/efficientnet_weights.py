"""The names that EfficientNet-PyTorch and timm give the arrays of EfficientNet-lite0."""

import re
from collections.abc import Iterator

import numpy as np

from cbda_jax.models import torch_names
from cbda_jax.models.efficientnet import EfficientNetLite0
from cbda_jax.models.torch_names import DEPTHWISE, POINTWISE, Arrays, Entry, Layout, Translation

_STEM = "_conv_stem.weight"
# Of the seven stages.
_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
# timm's names of the layers of a block, of those of the first stage, and of those around them.
_LAYERS = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
_FIRST_LAYERS = {
    "conv_dw": "_depthwise_conv",
    "bn1": "_bn1",
    "conv_pw": "_project_conv",
    "bn2": "_bn2",
}
_OUTER = {
    "conv_stem": "_conv_stem",
    "bn1": "_bn0",
    "conv_head": "_conv_head",
    "bn2": "_bn1",
    "classifier": "_fc",
}
_EXCITED = "it has squeeze-and-excitation (EfficientNet-B0), which lite0 has not"
_LIKE_TENSORFLOW = (
    "it is taken to be timm's tf_efficientnet_lite0 (padding of TensorFlow, epsilon 1e-3, images "
    "(x - 127) / 128); timm's efficientnet_lite0 has the same names, but pads both sides, has an "
    "epsilon of 1e-5 and ImageNet's mean: its features come out otherwise here"
)
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


def _kept(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays that `EfficientNetLite0` has."""
    return {name: value for name, value in arrays.items() if not _LEFT_OUT.fullmatch(name)}


def _pytorch(arrays: Arrays) -> Translation | None:
    if _STEM not in arrays:
        return None
    refusal = _EXCITED if "_blocks.0._se_reduce.weight" in arrays else ""
    return Translation(_kept(arrays), refusal=refusal)


def _timm(arrays: Arrays) -> Translation | None:
    if "conv_stem.weight" not in arrays:
        return None
    stages = [torch_names.blocks(arrays, rf"blocks\.{s}\.(\d+)\.") for s in range(7)]
    if torch_names.blocks(arrays, r"blocks\.\d+\.(\d+)\.se\."):
        return Translation(dict(arrays), refusal=_EXCITED)
    if tuple(stages) != _BLOCKS:
        return Translation(
            dict(arrays), refusal=f"its stages have {stages} blocks, those of lite0 {_BLOCKS}"
        )
    first = [sum(stages[:s]) for s in range(7)]
    renamed = {}
    for name, value in arrays.items():
        block = re.match(r"blocks\.(\d)\.(\d+)\.(\w+)\.(\w+)$", name)
        if block:
            s, b, layer, end = block.groups()
            layers = _FIRST_LAYERS if s == "0" else _LAYERS
            name = f"_blocks.{first[int(s)] + int(b)}.{layers.get(layer, layer)}.{end}"
        else:
            layer, _, end = name.partition(".")
            name = f"{_OUTER.get(layer, layer)}.{end}"
        renamed[name] = value
    return Translation(_kept(renamed), (_LIKE_TENSORFLOW,))


LAYOUTS = (
    Layout("EfficientNet-PyTorch's network", _pytorch),
    Layout("timm's EfficientNet", _timm),
)
"""In which the backbone comes."""
