"""The names of RIPU's checkpoints of DeepLab-v2 and v3+, and of EfficientNet-lite0's weights."""

from collections.abc import Iterator

from cbda_jax.models import efficientnet_weights, resnet_weights, torch_names
from cbda_jax.models.deeplab import DeepLabV2, DeepLabV3Plus, DeepLabV3PlusLite
from cbda_jax.models.torch_names import CONV, DEPTHWISE, POINTWISE, VECTOR, Arrays, Entry

_V2 = "classifier.conv2d_list.0.weight"
_V3_PLUS = "classifier.decoder.3.weight"


def _table_v2(model: DeepLabV2) -> Iterator[Entry]:
    yield from resnet_weights.table(model.backbone)
    for i in range(len(model.head.dilations)):
        name = f"classifier.conv2d_list.{i}"
        yield Entry(f"{name}.weight", ("head", "kernels", i), CONV)
        yield Entry(f"{name}.bias", ("head", "biases", i), VECTOR)


def _identify_v2(arrays: Arrays) -> int | None:
    if _V2 in arrays:
        return torch_names.count_classes(arrays[_V2])
    # Both networks have this backbone. Alone, it is taken for v2's.
    if _V3_PLUS not in arrays and resnet_weights.holds(arrays):
        return torch_names.UNKNOWN_CLASSES
    return None


def _table_v3_plus(model: DeepLabV3Plus) -> Iterator[Entry]:
    yield from resnet_weights.table(model.backbone)
    for name, layer, first in (
        ("parallel_branches.0", "point", 0),
        ("global_branch", "pooled", 1),
        ("bottleneck", "bottleneck", 0),
        ("shortcut", "shortcut", 0),
    ):
        yield from torch_names.conv(f"classifier.{name}.{first}", ("head", layer, "conv"))
        yield from torch_names.norm(f"classifier.{name}.{first + 1}", ("head", layer, "norm"))
    for name, path in (
        ("parallel_branches.1", ("atrous", 0)),
        ("parallel_branches.2", ("atrous", 1)),
        ("parallel_branches.3", ("atrous", 2)),
        ("decoder.0", ("refine", 0)),
        ("decoder.1", ("refine", 1)),
    ):
        name, path = f"classifier.{name}", ("head", *path)
        yield Entry(f"{name}.depthwise_conv.weight", (*path, "depthwise", "kernel"), DEPTHWISE)
        yield from torch_names.norm(f"{name}.depthwise_bn", (*path, "norm"))
        yield from torch_names.conv(f"{name}.pointwise_conv", (*path, "pointwise", "conv"))
        yield from torch_names.norm(f"{name}.pointwise_bn", (*path, "pointwise", "norm"))
    yield from torch_names.affine("classifier.decoder.3", ("head", "classify"), POINTWISE)


def _identify_v3_plus(arrays: Arrays) -> int | None:
    return torch_names.count_classes(arrays[_V3_PLUS]) if _V3_PLUS in arrays else None


def _table_lite(model: DeepLabV3PlusLite) -> Iterator[Entry]:
    yield from efficientnet_weights.table(model.backbone)
    # No published checkpoint has its head; exported ones do.
    yield from torch_names.as_ours(model.head, ("head",))


V2 = torch_names.TorchWeights(DeepLabV2, _table_v2, _identify_v2, resnet_weights.LAYOUTS)
V3_PLUS = torch_names.TorchWeights(
    DeepLabV3Plus, _table_v3_plus, _identify_v3_plus, resnet_weights.LAYOUTS
)
V3_PLUS_LITE = torch_names.TorchWeights(
    DeepLabV3PlusLite,
    _table_lite,
    efficientnet_weights.identify,
    efficientnet_weights.LAYOUTS,
)
