"""Where each array of a torch checkpoint goes: one explicit table a network."""

from collections.abc import Iterator
from typing import NamedTuple

from flax import nnx

from cbda_jax.models.deeplab import DeepLabV2, DeepLabV3Plus, DeepLabV3PlusLite
from cbda_jax.models.efficientnet import EfficientNetLite0
from cbda_jax.models.resnet import ResNet101
from cbda_jax.models.segformer import SegFormer

CONV = "oihw->hwio"
DEPTHWISE = "c1hw->hwc"
POINTWISE = "oi11->io"
LINEAR = "oi->io"
VECTOR = "c->c"

Path = tuple[str | int, ...]


class Entry(NamedTuple):
    """One array: its torch name, its path in our state, and the order of its axes there.

    `axes` reads "theirs->ours", a letter an axis; "1" is an axis of length one that we leave out.
    """

    name: str
    path: Path
    axes: str


def table(model: nnx.Module) -> list[Entry] | None:
    """The table of a network, or None if no torch checkpoint of it exists."""
    if isinstance(model, DeepLabV2):
        return [*_resnet(model.backbone), *_deeplab_v2(model)]
    if isinstance(model, DeepLabV3Plus):
        return [*_resnet(model.backbone), *_deeplab_v3_plus()]
    if isinstance(model, DeepLabV3PlusLite):
        return [*_efficientnet(model.backbone)]
    if isinstance(model, SegFormer):
        return [*_mix_transformer(model), *_segformer_head(model)]
    return None


def _norm(name: str, path: Path) -> Iterator[Entry]:
    for theirs, ours in (
        ("weight", "scale"),
        ("bias", "bias"),
        ("running_mean", "mean"),
        ("running_var", "var"),
    ):
        yield Entry(f"{name}.{theirs}", (*path, ours), VECTOR)


def _conv(name: str, path: Path) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", (*path, "kernel"), CONV)


def _resnet(model: ResNet101) -> Iterator[Entry]:
    root, ours = "feature_extractor.backbone", ("backbone",)
    yield from _conv(f"{root}.conv1", (*ours, "conv1"))
    yield from _norm(f"{root}.bn1", (*ours, "bn1"))
    for s, stage in enumerate(model.stages):
        for b, block in enumerate(stage):
            name, path = f"{root}.layer{s + 1}.{b}", (*ours, "stages", s, b)
            for i in (1, 2, 3):
                yield from _conv(f"{name}.conv{i}", (*path, f"conv{i}"))
                yield from _norm(f"{name}.bn{i}", (*path, f"bn{i}"))
            if block.downsample:
                yield from _conv(f"{name}.downsample.0", (*path, "downsample", 0))
                yield from _norm(f"{name}.downsample.1", (*path, "downsample", 1))


def _deeplab_v2(model: DeepLabV2) -> Iterator[Entry]:
    for i in range(len(model.head.dilations)):
        name = f"classifier.conv2d_list.{i}"
        yield Entry(f"{name}.weight", ("head", "kernels", i), CONV)
        yield Entry(f"{name}.bias", ("head", "biases", i), VECTOR)


def _deeplab_v3_plus() -> Iterator[Entry]:
    for name, layer, first in (
        ("parallel_branches.0", "point", 0),
        ("global_branch", "pooled", 1),
        ("bottleneck", "bottleneck", 0),
        ("shortcut", "shortcut", 0),
    ):
        yield from _conv(f"classifier.{name}.{first}", ("head", layer, "conv"))
        yield from _norm(f"classifier.{name}.{first + 1}", ("head", layer, "norm"))
    for name, path in (
        ("parallel_branches.1", ("atrous", 0)),
        ("parallel_branches.2", ("atrous", 1)),
        ("parallel_branches.3", ("atrous", 2)),
        ("decoder.0", ("refine", 0)),
        ("decoder.1", ("refine", 1)),
    ):
        name, path = f"classifier.{name}", ("head", *path)
        yield Entry(f"{name}.depthwise_conv.weight", (*path, "depthwise", "kernel"), DEPTHWISE)
        yield from _norm(f"{name}.depthwise_bn", (*path, "norm"))
        yield from _conv(f"{name}.pointwise_conv", (*path, "pointwise", "conv"))
        yield from _norm(f"{name}.pointwise_bn", (*path, "pointwise", "norm"))
    yield Entry("classifier.decoder.3.weight", ("head", "classify", "kernel"), POINTWISE)
    yield Entry("classifier.decoder.3.bias", ("head", "classify", "bias"), VECTOR)


def _efficientnet(model: EfficientNetLite0) -> Iterator[Entry]:
    """The names of EfficientNet-PyTorch, which numbers the blocks of all stages in one row."""
    yield from _conv("_conv_stem", ("backbone", "stem"))
    yield from _norm("_bn0", ("backbone", "norm"))
    places = [(s, b) for s, stage in enumerate(model.stages) for b in range(len(stage))]
    for number, (s, b) in enumerate(places):
        block = model.stages[s][b]
        name, path = f"_blocks.{number}", ("backbone", "stages", s, b)
        if block.expand:
            yield Entry(f"{name}._expand_conv.weight", (*path, "expand", 0, "kernel"), POINTWISE)
            yield from _norm(f"{name}._bn0", (*path, "expand", 1))
        depthwise = (*path, "depthwise", "kernel")
        yield Entry(f"{name}._depthwise_conv.weight", depthwise, DEPTHWISE)
        yield from _norm(f"{name}._bn1", (*path, "norm"))
        yield Entry(f"{name}._project_conv.weight", (*path, "project", "kernel"), POINTWISE)
        yield from _norm(f"{name}._bn2", (*path, "project_norm"))


def _affine(name: str, path: Path, axes: str) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", (*path, "kernel"), axes)
    yield Entry(f"{name}.bias", (*path, "bias"), VECTOR)


def _layer_norm(name: str, path: Path) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", (*path, "scale"), VECTOR)
    yield Entry(f"{name}.bias", (*path, "bias"), VECTOR)


def _mix_transformer(model: SegFormer) -> Iterator[Entry]:
    root = "segformer.encoder"
    for s, stage in enumerate(model.backbone.stages):
        ours: Path = ("backbone", "stages", s)
        yield from _affine(f"{root}.patch_embeddings.{s}.proj", (*ours, "embed"), CONV)
        yield from _layer_norm(f"{root}.patch_embeddings.{s}.layer_norm", (*ours, "embed_norm"))
        yield from _layer_norm(f"{root}.layer_norm.{s}", (*ours, "norm"))
        for b, block in enumerate(stage.blocks):
            name, path = f"{root}.block.{s}.{b}", (*ours, "blocks", b)
            yield from _layer_norm(f"{name}.layer_norm_1", (*path, "norm1"))
            yield from _layer_norm(f"{name}.layer_norm_2", (*path, "norm2"))
            for part in ("query", "key", "value"):
                yield from _affine(
                    f"{name}.attention.self.{part}", (*path, "attention", part), LINEAR
                )
            if block.attention.reduce is not None:
                inner = f"{name}.attention.self"
                yield from _affine(f"{inner}.sr", (*path, "attention", "reduce"), CONV)
                yield from _layer_norm(f"{inner}.layer_norm", (*path, "attention", "reduce_norm"))
            yield from _affine(
                f"{name}.attention.output.dense", (*path, "attention", "output"), LINEAR
            )
            yield from _affine(f"{name}.mlp.dense1", (*path, "mlp", "expand"), LINEAR)
            yield from _affine(f"{name}.mlp.dwconv.dwconv", (*path, "mlp", "mix"), DEPTHWISE)
            yield from _affine(f"{name}.mlp.dense2", (*path, "mlp", "contract"), LINEAR)


def _segformer_head(model: SegFormer) -> Iterator[Entry]:
    for i in range(len(model.head.project)):
        yield from _affine(f"decode_head.linear_c.{i}.proj", ("head", "project", i), LINEAR)
    yield Entry("decode_head.linear_fuse.weight", ("head", "fuse"), POINTWISE)
    yield from _norm("decode_head.batch_norm", ("head", "norm"))
    yield from _affine("decode_head.classifier", ("head", "classify"), POINTWISE)
