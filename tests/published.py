"""Names and shapes of checkpoints as published code writes them; nothing of the package is used.

Each function gives name -> shape. Where torch is installed, tests compare them with `state_dict()`
of networks written after that code (tests/torch_networks.py).
"""

import functools
import zlib

import numpy as np

RESNET_101 = (3, 4, 23, 3)
RESNET_50 = (3, 4, 6, 3)
MIT = {
    "b0": ((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "b1": ((64, 128, 320, 512), (2, 2, 2, 2), 256),
    "b2": ((64, 128, 320, 512), (3, 4, 6, 3), 768),
    "b5": ((64, 128, 320, 512), (3, 6, 40, 3), 768),
}
LITE0 = (
    (1, 3, 1, 16),
    (2, 3, 6, 24),
    (2, 5, 6, 40),
    (3, 3, 6, 80),
    (3, 5, 6, 112),
    (4, 5, 6, 192),
    (1, 3, 6, 320),
)


def numbers(shapes, prefix=""):
    """Random arrays of names and shapes, each array's numbers from its name without the prefix.

    Variances are positive, and residual branches small, so that 101 layers stay in range.
    """
    return {f"{prefix}{name}": _numbers(name, shape) for name, shape in shapes.items()}


def _numbers(name, shape):
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    x = rng.standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return np.array(7)
    if name.endswith("running_var"):
        # Small enough for an epsilon of 1e-5 to be seen.
        x = 0.01 * (1 + 0.1 * np.abs(x))
    elif name.endswith(("running_mean", "bias")):
        x = 0.1 * x
    elif len(shape) == 1:
        x = (0.02 if name.endswith("bn3.weight") else 0.1) * (1 + 0.1 * x)
    else:
        x = x * np.prod(shape[1:]) ** -0.5
    return x.astype(np.float32)


def constants(shapes):
    """Arrays of names and shapes that take no memory, each of one number, from 1 on."""
    return {
        name: np.broadcast_to(np.float32(number), shape)
        for number, (name, shape) in enumerate(shapes.items(), 1)
    }


def norm(name, width, tracked=True):
    ends = ("weight", "bias", "running_mean", "running_var")
    found = {f"{name}.{end}": (width,) for end in ends}
    return {**found, **({f"{name}.num_batches_tracked": ()} if tracked else {})}


def resnet(blocks=RESNET_101, tracked=True, deep_stem=False):
    """torchvision's ResNet without its classifier: torchvision/models/resnet.py."""
    found = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64, tracked)}
    if deep_stem:  # mmseg/models/backbones/resnet.py, ResNetV1c
        found = {}
        for at, (inside, out) in zip((0, 3, 6), ((3, 32), (32, 32), (32, 64)), strict=True):
            found[f"stem.{at}.weight"] = (out, inside, 3, 3)
            found |= norm(f"stem.{at + 1}", out, tracked)
    features = 64
    for stage, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), 1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            for i, shape in enumerate(
                [(width, features, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)], 1
            ):
                found[f"{name}.conv{i}.weight"] = shape
                found |= norm(f"{name}.bn{i}", shape[0], tracked)
            if block == 0:
                found[f"{name}.downsample.0.weight"] = (4 * width, features, 1, 1)
                found |= norm(f"{name}.downsample.1", 4 * width, tracked)
            features = 4 * width
    return found


def adaptsegnet(classes=19, heads=(("layer5", 1024), ("layer6", 2048))):
    """DeepLab-v2 of wasidennis/AdaptSegNet, model/deeplab_multi.py.

    Its model/deeplab.py, and DACS: heads (("layer5", 2048),). ADVENT without multi_level:
    (("layer6", 2048),). CLAN: both on 2048.
    """
    found = resnet(tracked=False)
    for head, features in heads:
        for branch in range(4):
            found[f"{head}.conv2d_list.{branch}.weight"] = (classes, features, 3, 3)
            found[f"{head}.conv2d_list.{branch}.bias"] = (classes,)
    return found


def first_numbers(arrays, head, branches, features=2048):
    """Branches of a head as torch and AdaptSegNet initialise them; changes `arrays`."""
    rng = np.random.default_rng(0)
    bound = (9 * features) ** -0.5
    for branch in branches:
        name = f"{head}.conv2d_list.{branch}"
        shape = arrays[f"{name}.weight"].shape
        arrays[f"{name}.weight"] = rng.normal(0, 0.01, shape).astype(np.float32)
        arrays[f"{name}.bias"] = rng.uniform(-bound, bound, shape[:1]).astype(np.float32)


def deeplabv3(classes=21):
    """torchvision/models/segmentation/deeplabv3.py on ResNet-101, with its auxiliary head."""
    found = {f"backbone.{name}": shape for name, shape in resnet().items()}
    for i in range(5):
        at = 1 if i == 4 else 0
        size = 3 if i in (1, 2, 3) else 1
        found[f"classifier.0.convs.{i}.{at}.weight"] = (256, 2048, size, size)
        found |= norm(f"classifier.0.convs.{i}.{at + 1}", 256)
    found["classifier.0.project.0.weight"] = (256, 1280, 1, 1)
    found |= norm("classifier.0.project.1", 256)
    found["classifier.1.weight"] = (256, 256, 3, 3)
    found |= norm("classifier.2", 256)
    found |= {"classifier.4.weight": (classes, 256, 1, 1), "classifier.4.bias": (classes,)}
    found["aux_classifier.0.weight"] = (256, 1024, 3, 3)
    found |= norm("aux_classifier.1", 256)
    return found | {
        "aux_classifier.4.weight": (classes, 256, 1, 1),
        "aux_classifier.4.bias": (classes,),
    }


def mmseg_deeplabv3plus(classes=19, deep_stem=True):
    """mmseg's deeplabv3plus_r101-d8: ResNetV1c and mmseg/models/decode_heads/sep_aspp_head.py."""
    found = {f"backbone.{name}": s for name, s in resnet(deep_stem=deep_stem).items()}
    head = {"conv_seg.weight": (classes, 512, 1, 1), "conv_seg.bias": (classes,)}

    def conv(name, inside, out, size=1, groups=1):
        head[f"{name}.conv.weight"] = (out, inside // groups, size, size)
        head.update(norm(f"{name}.bn", out))

    def separable(name, inside, out):
        conv(f"{name}.depthwise_conv", inside, inside, 3, inside)
        conv(f"{name}.pointwise_conv", inside, out)

    conv("image_pool.1", 2048, 512)
    conv("aspp_modules.0", 2048, 512)
    for i in (1, 2, 3):
        separable(f"aspp_modules.{i}", 2048, 512)
    conv("bottleneck", 5 * 512, 512, 3)
    conv("c1_bottleneck", 256, 48)
    separable("sep_bottleneck.0", 560, 512)
    separable("sep_bottleneck.1", 512, 512)
    found |= {f"decode_head.{name}": shape for name, shape in head.items()}
    found["auxiliary_head.convs.0.conv.weight"] = (256, 1024, 3, 3)
    return found | norm("auxiliary_head.convs.0.bn", 256)


def _affine(found, name, *shape):
    found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[:1]


def mit(size="b0"):
    """The encoder of NVlabs/SegFormer, mmseg/models/backbones/mix_transformer.py."""
    widths, depths, _ = MIT[size]
    found, features = {}, 3
    affine = functools.partial(_affine, found)

    for s, (width, depth, patch, reduce) in enumerate(
        zip(widths, depths, (7, 3, 3, 3), (8, 4, 2, 1), strict=True), 1
    ):
        affine(f"patch_embed{s}.proj", width, features, patch, patch)
        affine(f"patch_embed{s}.norm", width)
        for b in range(depth):
            name = f"block{s}.{b}"
            affine(f"{name}.norm1", width)
            affine(f"{name}.attn.q", width, width)
            affine(f"{name}.attn.kv", 2 * width, width)
            affine(f"{name}.attn.proj", width, width)
            if reduce > 1:
                affine(f"{name}.attn.sr", width, width, reduce, reduce)
                affine(f"{name}.attn.norm", width)
            affine(f"{name}.norm2", width)
            affine(f"{name}.mlp.fc1", 4 * width, width)
            affine(f"{name}.mlp.dwconv.dwconv", 4 * width, 1, 3, 3)
            affine(f"{name}.mlp.fc2", width, 4 * width)
        affine(f"norm{s}", width)
        features = width
    return found


def segformer(size="b0", classes=19, daformer=False):
    """NVlabs/SegFormer, segformer_head.py in mmseg's segmentor; or the head that DAFormer has."""
    widths, _, embed = MIT[size]
    found = {f"backbone.{name}": shape for name, shape in mit(size).items()}
    head = {"conv_seg.weight": (classes, embed, 1, 1), "conv_seg.bias": (classes,)}
    for i, width in enumerate(widths):
        name = f"linear_c.{i}" if daformer else f"linear_c{i + 1}"
        head |= {f"{name}.proj.weight": (embed, width), f"{name}.proj.bias": (embed,)}
    head["linear_fuse.conv.weight"] = (embed, 4 * embed, 1, 1)
    head |= norm("linear_fuse.bn", embed)
    head |= {"linear_pred.weight": (classes, embed, 1, 1), "linear_pred.bias": (classes,)}
    return found | {f"decode_head.{name}": shape for name, shape in head.items()}


def mmseg_mit(size="b0"):
    """The encoder of open-mmlab/mmsegmentation, mmseg/models/backbones/mit.py."""
    widths, depths, _ = MIT[size]
    found, features = {}, 3
    affine = functools.partial(_affine, found)

    for s, (width, depth, patch, reduce) in enumerate(
        zip(widths, depths, (7, 3, 3, 3), (8, 4, 2, 1), strict=True)
    ):
        affine(f"layers.{s}.0.projection", width, features, patch, patch)
        affine(f"layers.{s}.0.norm", width)
        for b in range(depth):
            name = f"layers.{s}.1.{b}"
            affine(f"{name}.norm1", width)
            found[f"{name}.attn.attn.in_proj_weight"] = (3 * width, width)
            found[f"{name}.attn.attn.in_proj_bias"] = (3 * width,)
            affine(f"{name}.attn.attn.out_proj", width, width)
            if reduce > 1:
                affine(f"{name}.attn.sr", width, width, reduce, reduce)
                affine(f"{name}.attn.norm", width)
            affine(f"{name}.norm2", width)
            affine(f"{name}.ffn.layers.0", 4 * width, width, 1, 1)
            affine(f"{name}.ffn.layers.1", 4 * width, 1, 3, 3)
            affine(f"{name}.ffn.layers.4", width, 4 * width, 1, 1)
        affine(f"layers.{s}.2", width)
        features = width
    return found


def mmseg_segformer(size="b0", classes=19):
    """mmsegmentation's own SegFormer: mit.py and mmseg/models/decode_heads/segformer_head.py."""
    widths, _, _ = MIT[size]
    found = {f"backbone.{name}": shape for name, shape in mmseg_mit(size).items()}
    for i, width in enumerate(widths):
        found[f"decode_head.convs.{i}.conv.weight"] = (256, width, 1, 1)
        found |= norm(f"decode_head.convs.{i}.bn", 256)
    found["decode_head.fusion_conv.conv.weight"] = (256, 1024, 1, 1)
    found |= norm("decode_head.fusion_conv.bn", 256)
    return found | {
        "decode_head.conv_seg.weight": (classes, 256, 1, 1),
        "decode_head.conv_seg.bias": (classes,),
    }


def timm_lite0():
    """timm's (tf_)efficientnet_lite0: timm/models/efficientnet.py."""
    found = {"conv_stem.weight": (32, 3, 3, 3), **norm("bn1", 32)}
    features = 32
    for stage, (count, size, expand, width) in enumerate(LITE0):
        for block in range(count):
            name, wide = f"blocks.{stage}.{block}", expand * features
            layers = [("conv_dw", (wide, 1, size, size)), ("conv_pwl", (width, wide, 1, 1))]
            if expand == 1:
                layers[1] = ("conv_pw", (width, wide, 1, 1))
            else:
                layers.insert(0, ("conv_pw", (wide, features, 1, 1)))
            for i, (layer, shape) in enumerate(layers, 1):
                found[f"{name}.{layer}.weight"] = shape
                found |= norm(f"{name}.bn{i}", shape[0])
            features = width
    found |= {"conv_head.weight": (1280, 320, 1, 1), **norm("bn2", 1280)}
    return found | {"classifier.weight": (1000, 1280), "classifier.bias": (1000,)}
