"""The names that published code gives the arrays of ResNet-101."""

import re
from collections.abc import Iterator

import numpy as np

from cbda_jax.models import torch_names
from cbda_jax.models.resnet import ResNet101
from cbda_jax.models.torch_names import Arrays, Entry, Layout, Translation

ROOT = "feature_extractor.backbone"
"""What RIPU's checkpoints put before torchvision's names."""

_BLOCKS = (3, 4, 23, 3)
_EPSILON = 1e-5  # of torch's batch norm
_WITHOUT_EPSILON = (
    "batch norm is applied without its epsilon of 1e-5, as RIPU does with these weights"
)
_WITH_EPSILON = "its batch norm's epsilon of 1e-5 is in the variances now"


def table(model: ResNet101, root: str = ROOT) -> Iterator[Entry]:
    """Every array of a backbone of DeepLab; `root` is what stands before torchvision's names."""
    root = f"{root}." if root else ""
    ours = ("backbone",)
    yield from torch_names.conv(f"{root}conv1", (*ours, "conv1"))
    yield from torch_names.norm(f"{root}bn1", (*ours, "bn1"))
    for s, stage in enumerate(model.stages):
        for b, block in enumerate(stage):
            name, path = f"{root}layer{s + 1}.{b}", (*ours, "stages", s, b)
            for i in (1, 2, 3):
                yield from torch_names.conv(f"{name}.conv{i}", (*path, f"conv{i}"))
                yield from torch_names.norm(f"{name}.bn{i}", (*path, f"bn{i}"))
            if block.downsample:
                yield from torch_names.conv(f"{name}.downsample.0", (*path, "downsample", 0))
                yield from torch_names.norm(f"{name}.downsample.1", (*path, "downsample", 1))


def holds(arrays: Arrays) -> bool:
    """Whether a backbone is among arrays under RIPU's names."""
    return f"{ROOT}.conv1.weight" in arrays


def is_part(name: str) -> bool:
    """Whether torchvision gives this name to an array of a ResNet without its classifier."""
    return re.match(r"(conv1|bn1|layer[1-4])\.", name) is not None


def unlike(arrays: Arrays) -> str:
    """Why arrays under torchvision's names are no ResNet-101 with a stem of 7 x 7; "" if they are.

    Looked at are the stem and the numbers of blocks.
    """
    if "stem.0.weight" in arrays or "conv1.0.weight" in arrays:
        return (
            "its stem is three convolutions of 3 x 3 (ResNet-101-v1c, resnet101d), that of the "
            "networks here is one of 7 x 7"
        )
    found = tuple(
        torch_names.blocks(arrays, rf"layer{stage}\.(\d+)\.conv1\.weight$") for stage in range(1, 5)
    )
    if any(found) and found != _BLOCKS:
        known: dict[tuple[int, ...], str] = {
            (3, 4, 6, 3): "ResNet-50",
            (3, 8, 36, 3): "ResNet-152",
            (2, 2, 2, 2): "ResNet-18",
        }
        name = known.get(found, "a ResNet")
        return f"it is {name} of {found} blocks, the networks here have ResNet-101 of {_BLOCKS}"
    if torch_names.blocks(arrays, r"layer1\.0\.(se|conv2\.conv|avd|attn)\."):
        return "its blocks have more than the three convolutions of ResNet-101"
    return ""


def renamed(arrays: Arrays) -> dict[str, np.ndarray]:
    """Arrays under torchvision's names under RIPU's."""
    return {f"{ROOT}.{name}": value for name, value in arrays.items()}


def _plain(arrays: Arrays) -> Translation | None:
    """Classifiers of torchvision and timm, and encoders that others made of them."""
    if not {"conv1.weight", "conv1.0.weight"} & arrays.keys() or any(
        re.match(r"layer[56]\.", name) for name in arrays
    ):
        return None
    # ImageNet's thousand classes.
    kept = torch_names.without(arrays, "fc.weight", "fc.bias")
    return Translation(renamed(kept), (_WITHOUT_EPSILON,), unlike(kept))


def _with_head(arrays: Arrays, head: str) -> tuple[Arrays, tuple[str, ...]] | None:
    """The backbone of a segmentation network, and the names of all that is beside it."""
    backbone = torch_names.within(arrays, "backbone.")
    first = {"conv1.weight", "conv1.0.weight", "stem.0.weight"}
    if not first & backbone.keys() or not any(name.startswith(head) for name in arrays):
        return None
    beside = {name.split(".")[0] for name in arrays if not name.startswith("backbone.")}
    return backbone, tuple(sorted(beside))


def _torchvision(arrays: Arrays) -> Translation | None:
    found = _with_head(arrays, "classifier.")
    if found is None or "classifier.decoder.3.weight" in arrays:
        return None
    backbone, beside = found
    deeplab = "classifier.0.convs.0.0.weight" in arrays
    kind = (
        "deeplabv3's ASPP of 256 channels at rates 12, 24 and 36 without a decoder"
        if deeplab
        else "not that of a network here"
    )
    left = f"its head is left out ({', '.join(beside)}): it is {kind}"
    return Translation(
        renamed(torch_names.with_epsilon(backbone, _EPSILON)),
        (left, _WITH_EPSILON),
        unlike(backbone),
    )


def _mmseg(arrays: Arrays) -> Translation | None:
    found = _with_head(arrays, "decode_head.")
    if found is None:
        return None
    backbone, beside = found
    kind = (
        "mmseg's separable ASPP has rates 12, 24 and 36 and a separable bottleneck, RIPU's 6, 12 "
        "and 18 and a full one"
        if "decode_head.sep_bottleneck.0.depthwise_conv.conv.weight" in arrays
        else "it is not that of a network here"
    )
    return Translation(
        renamed(torch_names.with_epsilon(backbone, _EPSILON)),
        (
            f"its head is left out ({', '.join(beside)}): {kind}",
            _WITH_EPSILON,
            "the backbone is taken to be of style 'pytorch' with contract_dilation, which its "
            "names do not say",
        ),
        unlike(backbone),
    )


LAYOUTS = (
    Layout("mmsegmentation's network on ResNet", _mmseg),
    Layout("torchvision's deeplabv3 or fcn on ResNet", _torchvision),
    Layout("torchvision's or timm's ResNet", _plain),
)
"""In which checkpoints of DeepLab-v2 and v3+ come beside RIPU's: the backbone alone."""
