"""The names that Hugging Face gives the arrays of SegFormer."""

from collections.abc import Iterator

from cbda_jax.models import segformer_layouts, torch_names
from cbda_jax.models.segformer import SegFormer, Size
from cbda_jax.models.torch_names import CONV, DEPTHWISE, LINEAR, POINTWISE, Arrays, Entry, Path

_ROOT = segformer_layouts.ROOT


def torch_weights(size: Size) -> torch_names.TorchWeights:
    """What checkpoints of a SegFormer of this size look like."""

    def identify(arrays: Arrays) -> int | None:
        if _depths(arrays) != size.depths:
            return None
        first = arrays.get(f"{_ROOT}.patch_embeddings.0.proj.bias")
        if first is None or first.shape != size.widths[:1]:
            return None
        return torch_names.count_classes(arrays.get("decode_head.classifier.bias"))

    return torch_names.TorchWeights(SegFormer, _table, identify, segformer_layouts.LAYOUTS)


def _depths(arrays: Arrays) -> tuple[int, ...]:
    """How many blocks each of the four stages has."""
    blocks = {tuple(name.split(".")[3:5]) for name in arrays if name.startswith(f"{_ROOT}.block")}
    return tuple(sum(block[:1] == (str(stage),) for block in blocks) for stage in range(4))


def _table(model: SegFormer) -> Iterator[Entry]:
    yield from _encoder(model)
    for i in range(len(model.head.project)):
        name, path = f"decode_head.linear_c.{i}.proj", ("head", "project", i)
        yield from torch_names.affine(name, path, LINEAR)
    yield Entry("decode_head.linear_fuse.weight", ("head", "fuse"), POINTWISE)
    yield from torch_names.norm("decode_head.batch_norm", ("head", "norm"))
    yield from torch_names.affine("decode_head.classifier", ("head", "classify"), POINTWISE)


def _encoder(model: SegFormer) -> Iterator[Entry]:
    affine, layer_norm = torch_names.affine, torch_names.layer_norm
    for s, stage in enumerate(model.backbone.stages):
        ours: Path = ("backbone", "stages", s)
        yield from affine(f"{_ROOT}.patch_embeddings.{s}.proj", (*ours, "embed"), CONV)
        yield from layer_norm(f"{_ROOT}.patch_embeddings.{s}.layer_norm", (*ours, "embed_norm"))
        yield from layer_norm(f"{_ROOT}.layer_norm.{s}", (*ours, "norm"))
        for b, block in enumerate(stage.blocks):
            name, path = f"{_ROOT}.block.{s}.{b}", (*ours, "blocks", b)
            yield from layer_norm(f"{name}.layer_norm_1", (*path, "norm1"))
            yield from layer_norm(f"{name}.layer_norm_2", (*path, "norm2"))
            inner, attention = f"{name}.attention.self", (*path, "attention")
            for part in ("query", "key", "value"):
                yield from affine(f"{inner}.{part}", (*attention, part), LINEAR)
            if block.attention.reduce is not None:
                yield from affine(f"{inner}.sr", (*attention, "reduce"), CONV)
                yield from layer_norm(f"{inner}.layer_norm", (*attention, "reduce_norm"))
            yield from affine(f"{name}.attention.output.dense", (*attention, "output"), LINEAR)
            yield from affine(f"{name}.mlp.dense1", (*path, "mlp", "expand"), LINEAR)
            yield from affine(f"{name}.mlp.dwconv.dwconv", (*path, "mlp", "mix"), DEPTHWISE)
            yield from affine(f"{name}.mlp.dense2", (*path, "mlp", "contract"), LINEAR)
