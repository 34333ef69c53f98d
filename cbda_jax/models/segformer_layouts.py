"""Layouts of SegFormer's checkpoints: the original's, mmsegmentation's, Hugging Face's.

The table of `segformer_weights` has Hugging Face's names.
"""

import re

import numpy as np

from cbda_jax.models import torch_names
from cbda_jax.models.torch_names import Arrays, Layout, Translation

ROOT = "segformer.encoder"
"""What Hugging Face puts before the names of the encoder."""

_EPSILON = (
    "layer norms have an epsilon of 1e-5 here, as in Hugging Face's network, most of its own 1e-6"
)

# Names within a block and around the blocks, theirs to Hugging Face's. {s} counts stages from 0,
# the original from 1. A pair of names stands for an array that is both, one after the other.
_ORIGINAL = (
    (r"patch_embed(\d)\.proj", "patch_embeddings.{s}.proj"),
    (r"patch_embed(\d)\.norm", "patch_embeddings.{s}.layer_norm"),
    (r"norm(\d)", "layer_norm.{s}"),
    (r"block(\d)\.(\d+)\.norm1", "block.{s}.{b}.layer_norm_1"),
    (r"block(\d)\.(\d+)\.norm2", "block.{s}.{b}.layer_norm_2"),
    (r"block(\d)\.(\d+)\.attn\.q", "block.{s}.{b}.attention.self.query"),
    (r"block(\d)\.(\d+)\.attn\.kv", "block.{s}.{b}.attention.self.key|value"),
    (r"block(\d)\.(\d+)\.attn\.proj", "block.{s}.{b}.attention.output.dense"),
    (r"block(\d)\.(\d+)\.attn\.sr", "block.{s}.{b}.attention.self.sr"),
    (r"block(\d)\.(\d+)\.attn\.norm", "block.{s}.{b}.attention.self.layer_norm"),
    (r"block(\d)\.(\d+)\.mlp\.fc1", "block.{s}.{b}.mlp.dense1"),
    (r"block(\d)\.(\d+)\.mlp\.dwconv\.dwconv", "block.{s}.{b}.mlp.dwconv.dwconv"),
    (r"block(\d)\.(\d+)\.mlp\.fc2", "block.{s}.{b}.mlp.dense2"),
)
_MMSEG = (
    (r"layers\.(\d)\.0\.projection", "patch_embeddings.{s}.proj"),
    (r"layers\.(\d)\.0\.norm", "patch_embeddings.{s}.layer_norm"),
    (r"layers\.(\d)\.2", "layer_norm.{s}"),
    (r"layers\.(\d)\.1\.(\d+)\.norm1", "block.{s}.{b}.layer_norm_1"),
    (r"layers\.(\d)\.1\.(\d+)\.norm2", "block.{s}.{b}.layer_norm_2"),
    (
        r"layers\.(\d)\.1\.(\d+)\.attn\.attn\.in_proj",
        "block.{s}.{b}.attention.self.query|key|value",
    ),
    (r"layers\.(\d)\.1\.(\d+)\.attn\.attn\.out_proj", "block.{s}.{b}.attention.output.dense"),
    (r"layers\.(\d)\.1\.(\d+)\.attn\.sr", "block.{s}.{b}.attention.self.sr"),
    (r"layers\.(\d)\.1\.(\d+)\.attn\.norm", "block.{s}.{b}.attention.self.layer_norm"),
    (r"layers\.(\d)\.1\.(\d+)\.ffn\.layers\.0", "block.{s}.{b}.mlp.dense1"),
    (r"layers\.(\d)\.1\.(\d+)\.ffn\.layers\.1", "block.{s}.{b}.mlp.dwconv.dwconv"),
    (r"layers\.(\d)\.1\.(\d+)\.ffn\.layers\.4", "block.{s}.{b}.mlp.dense2"),
)


def _huggingface(arrays: Arrays) -> Translation | None:
    if "patch_embeddings.0.proj.weight" in arrays:  # an encoder by itself
        arrays = {f"{ROOT}.{name}": value for name, value in arrays.items()}
    if not any(name.startswith("segformer.") for name in arrays):
        return None
    # The classifier of ImageNet's thousand classes, which published encoders have.
    return Translation(torch_names.without(arrays, "classifier.weight", "classifier.bias"))


def _original(arrays: Arrays) -> Translation | None:
    return _translated(arrays, "patch_embed1.proj.weight", _ORIGINAL, first_stage=1)


def _mmseg(arrays: Arrays) -> Translation | None:
    return _translated(arrays, "layers.0.0.projection.weight", _MMSEG, first_stage=0)


def _translated(
    arrays: Arrays, known_by: str, names: tuple[tuple[str, str], ...], first_stage: int
) -> Translation | None:
    """The encoder, and the head where it is one that the network here has."""
    # By itself, or within mmsegmentation's network.
    backbone = torch_names.within(arrays, "backbone.")
    whole = known_by in backbone
    if not whole:
        if known_by not in arrays:
            return None
        backbone = dict(arrays)
    # The classifier of ImageNet.
    backbone = torch_names.without(backbone, "head.weight", "head.bias")
    found: dict[str, np.ndarray] = {}
    for name, value in backbone.items():
        for ours, part in _renamed(name, value, names, first_stage):
            found[f"{ROOT}.{ours}"] = part
    if not whole:
        return Translation(found, (_EPSILON,))
    head = torch_names.within(arrays, "decode_head.")
    others = {
        name: value
        for name, value in arrays.items()
        if not name.startswith(("backbone.", "decode_head.", "auxiliary_head."))
    }
    ours, why = _head(head)
    notes = (f"its head (decode_head) is left out: {why}",) if why else ()
    return Translation({**found, **ours, **others}, (*notes, _EPSILON))


def _renamed(
    name: str, value: np.ndarray, names: tuple[tuple[str, str], ...], first_stage: int
) -> list[tuple[str, np.ndarray]]:
    """An array under Hugging Face's names, in so many parts as it has there."""
    for pattern, ours in names:
        match = re.fullmatch(rf"{pattern}[._](weight|bias)", name)
        if match is None:
            continue
        stage, *block, end = match.groups()
        ours = ours.format(s=int(stage) - first_stage, b=block[0] if block else "")
        start, _, last = ours.rpartition(".")
        parts = last.split("|")
        if len(parts) > 1 and (not value.ndim or len(value) % len(parts)):
            break
        if end == "weight" and value.ndim == 4 and value.shape[2:] == (1, 1) and "dense" in last:
            value = value[:, :, 0, 0]  # a convolution there, a linear layer here
        values = np.split(value, len(parts)) if len(parts) > 1 else [value]
        return [(f"{start}.{part}.{end}", of) for part, of in zip(parts, values, strict=True)]
    return [(name, value)]


def _head(head: Arrays) -> tuple[dict[str, np.ndarray], str]:
    """A head under Hugging Face's names, or nothing, and why."""
    if "convs.0.conv.weight" in head:
        return {}, (
            "mmsegmentation's has a norm and a ReLU after the projection of every stage, that of "
            "the paper and of the network here has none"
        )
    if "embed_layers.0.proj.weight" in head:
        return {}, "it is DAFormer's, with separable convolutions, of which there is none here"
    fuse = head.get("linear_fuse.conv.weight")
    if fuse is None:
        return {}, "it is not SegFormer's"
    if fuse.ndim != 4 or fuse.shape[2:] != (1, 1):
        return {}, f"it fuses with a kernel of {list(fuse.shape)}, SegFormer's with one of 1 x 1"
    deepest_first = "linear_c4.proj.weight" in head
    if not deepest_first and fuse.shape[1] % 4 == 0:
        # DAFormer's own concatenates the first stage first.
        fuse = np.concatenate(np.split(fuse, 4, axis=1)[::-1], axis=1)
    # conv_seg comes with every head of mmsegmentation; this one does not use it.
    kept = torch_names.without(head, "conv_seg.weight", "conv_seg.bias")
    found = {}
    for name, value in kept.items():
        name = re.sub(r"^linear_c(\d)\.", lambda m: f"linear_c.{int(m[1]) - 1}.", name)
        for theirs, ours in (
            ("linear_fuse.conv.", "linear_fuse."),
            ("linear_fuse.bn.", "batch_norm."),
            ("linear_pred.", "classifier."),
        ):
            name = f"{ours}{name.removeprefix(theirs)}" if name.startswith(theirs) else name
        found[f"decode_head.{name}"] = value
    found["decode_head.linear_fuse.weight"] = fuse
    return found, ""


LAYOUTS = (
    Layout("Hugging Face's SegFormer", _huggingface),
    Layout("the original SegFormer's or DAFormer's network", _original),
    Layout("mmsegmentation's SegFormer", _mmseg),
)
"""In which checkpoints come."""
