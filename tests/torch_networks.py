"""Networks in PyTorch with the names and the arithmetic of published code, for evaluation alone.

Their `state_dict()` has the names of tests/published.py. Imported by tests that have found torch.
"""

import torch
from torch import nn
from torch.nn import functional


def _norm(width, eps=1e-5):
    return nn.BatchNorm2d(width, eps=eps)


class Bottleneck(nn.Module):
    """`caffe`: the stride lies in the first convolution, as in AdaptSegNet; else torchvision's."""

    def __init__(self, features, width, stride, dilation, downsample, *, caffe):
        super().__init__()
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1 = nn.Conv2d(features, width, 1, first, bias=False)
        self.bn1 = _norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, dilation, dilation, bias=False)
        self.bn2 = _norm(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = _norm(4 * width)
        self.downsample = None
        if downsample:
            conv = nn.Conv2d(features, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, _norm(4 * width))

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn3(self.conv3(self.bn2(self.conv2(y)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet101(nn.Module):
    def __init__(self, *, caffe=False):
        super().__init__()
        self.caffe = caffe
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), _norm(64)
        features = 64
        for stage, (count, width, stride, first, dilation) in enumerate(
            [(3, 64, 1, 1, 1), (4, 128, 2, 1, 1), (23, 256, 1, 1, 2), (3, 512, 1, 2, 4)], 1
        ):
            blocks = []
            for block in range(count):
                rate = first if block == 0 and not caffe else dilation
                step = stride if block == 0 else 1
                blocks.append(Bottleneck(features, width, step, rate, block == 0, caffe=caffe))
                features = 4 * width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))

    def stages(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = functional.max_pool2d(x, 3, 2, 1, ceil_mode=self.caffe)
        found = []
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            found.append(x)
        return found


class _Branches(nn.Module):
    """`summed`: how many branches are added up; two where the loop returns too early."""

    def __init__(self, features, classes, summed):
        super().__init__()
        self.summed = summed
        self.conv2d_list = nn.ModuleList(
            nn.Conv2d(features, classes, 3, 1, rate, rate) for rate in (6, 12, 18, 24)
        )

    def forward(self, x):
        return sum(conv(x) for conv in self.conv2d_list[: self.summed])


class AdaptSegNet(ResNet101):
    """Its logits: of the head on the last features; of two there, as CLAN, the sum."""

    def __init__(self, classes=19, heads=(("layer5", 1024), ("layer6", 2048)), summed=2):
        super().__init__(caffe=True)
        self.heads = heads
        for name, features in heads:
            setattr(self, name, _Branches(features, classes, summed))

    def forward(self, x):
        last = self.stages(x)[-1]
        return sum(getattr(self, name)(last) for name, width in self.heads if width == 2048)


class _Attention(nn.Module):
    def __init__(self, width, heads, reduce):
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.sr = None
        if reduce > 1:
            self.sr = nn.Conv2d(width, width, reduce, reduce)
            self.norm = nn.LayerNorm(width)

    def forward(self, x, size):
        n, length, width = x.shape

        def split(y):
            return y.reshape(n, -1, self.heads, width // self.heads).transpose(1, 2)

        memory = x
        if self.sr is not None:
            image = x.transpose(1, 2).reshape(n, width, *size)
            memory = self.norm(self.sr(image).flatten(2).transpose(1, 2))
        key, value = self.kv(memory).chunk(2, dim=-1)
        y = functional.scaled_dot_product_attention(split(self.q(x)), split(key), split(value))
        return self.proj(y.transpose(1, 2).reshape(n, length, width))


class _Depthwise(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, 1, 1, groups=width)


class _Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.dwconv = nn.Linear(width, 4 * width), _Depthwise(4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x, size):
        y = self.fc1(x).transpose(1, 2)
        y = self.dwconv.dwconv(y.reshape(*y.shape[:2], *size)).flatten(2).transpose(1, 2)
        return self.fc2(functional.gelu(y))


class _Block(nn.Module):
    def __init__(self, width, heads, reduce):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn, self.mlp = _Attention(width, heads, reduce), _Mlp(width)

    def forward(self, x, size):
        x = x + self.attn(self.norm1(x), size)
        return x + self.mlp(self.norm2(x), size)


class _Embed(nn.Module):
    def __init__(self, features, width, patch, stride):
        super().__init__()
        self.proj = nn.Conv2d(features, width, patch, stride, patch // 2)
        self.norm = nn.LayerNorm(width)


class Mit(nn.Module):
    """The encoder of NVlabs/SegFormer."""

    def __init__(self, widths, depths):
        super().__init__()
        features = 3
        shapes = zip(widths, depths, (1, 2, 5, 8), (8, 4, 2, 1), strict=True)
        for stage, (width, depth, heads, reduce) in enumerate(shapes, 1):
            patch = (features, width, 7, 4) if stage == 1 else (features, width, 3, 2)
            setattr(self, f"patch_embed{stage}", _Embed(*patch))
            blocks = nn.ModuleList(_Block(width, heads, reduce) for _ in range(depth))
            setattr(self, f"block{stage}", blocks)
            setattr(self, f"norm{stage}", nn.LayerNorm(width, 1e-6))
            features = width

    def forward(self, x):
        found = []
        for stage in range(1, 5):
            embed = getattr(self, f"patch_embed{stage}")
            x = embed.proj(x)
            n, width, *size = x.shape
            x = embed.norm(x.flatten(2).transpose(1, 2))
            for block in getattr(self, f"block{stage}"):
                x = block(x, size)
            x = getattr(self, f"norm{stage}")(x).transpose(1, 2).reshape(n, width, *size)
            found.append(x)
        return found


class _Project(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.proj = nn.Linear(features, width)


class _Head(nn.Module):
    def __init__(self, widths, embed, classes, daformer):
        super().__init__()
        self.daformer = daformer
        if daformer:
            self.linear_c = nn.ModuleDict(
                {str(i): _Project(width, embed) for i, width in enumerate(widths)}
            )
        else:
            for i, width in enumerate(widths, 1):
                setattr(self, f"linear_c{i}", _Project(width, embed))
        self.linear_fuse = nn.Module()
        self.linear_fuse.conv = nn.Conv2d(4 * embed, embed, 1, bias=False)
        self.linear_fuse.bn = _norm(embed)
        self.linear_pred = nn.Conv2d(embed, classes, 1)
        self.conv_seg = nn.Conv2d(embed, classes, 1)  # comes with the base class, is not used

    def forward(self, stages):
        size = stages[0].shape[2:]
        found = []
        for i, x in enumerate(stages):
            layer = self.linear_c[str(i)] if self.daformer else getattr(self, f"linear_c{i + 1}")
            y = layer.proj(x.flatten(2).transpose(1, 2)).transpose(1, 2)
            y = y.reshape(*y.shape[:2], *x.shape[2:])
            found.append(functional.interpolate(y, size, mode="bilinear", align_corners=False))
        # The original concatenates the deepest stage first, DAFormer's loop the first.
        joined = torch.cat(found if self.daformer else found[::-1], dim=1)
        return self.linear_pred(self.linear_fuse.bn(self.linear_fuse.conv(joined)).relu())


class SegFormer(nn.Module):
    def __init__(self, size, classes=19, *, daformer=False):
        super().__init__()
        widths, depths, embed = size
        self.backbone = Mit(widths, depths)
        self.decode_head = _Head(widths, embed, classes, daformer)

    def forward(self, x):
        return self.decode_head(self.backbone(x))


class _MmsegAttention(nn.Module):
    def __init__(self, width, heads, reduce):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.sr = None
        if reduce > 1:
            self.sr = nn.Conv2d(width, width, reduce, reduce)
            self.norm = nn.LayerNorm(width, 1e-6)

    def forward(self, x, size):
        memory = x
        if self.sr is not None:
            image = x.transpose(1, 2).reshape(*x.shape[::2], *size)
            memory = self.norm(self.sr(image).flatten(2).transpose(1, 2))
        return self.attn(x, memory, memory, need_weights=False)[0]


class _MmsegBlock(nn.Module):
    def __init__(self, width, heads, reduce):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn = _MmsegAttention(width, heads, reduce)
        wide = 4 * width
        self.ffn = nn.Module()
        self.ffn.layers = nn.Sequential(
            nn.Conv2d(width, wide, 1),
            nn.Conv2d(wide, wide, 3, 1, 1, groups=wide),
            nn.GELU(),
            nn.Dropout(0),
            nn.Conv2d(wide, width, 1),
            nn.Dropout(0),
        )

    def forward(self, x, size):
        x = x + self.attn(self.norm1(x), size)
        y = self.norm2(x).transpose(1, 2).reshape(*x.shape[::2], *size)
        return x + self.ffn.layers(y).flatten(2).transpose(1, 2)


class _MmsegEmbed(nn.Module):
    def __init__(self, features, width, patch, stride):
        super().__init__()
        self.projection = nn.Conv2d(features, width, patch, stride, patch // 2)
        self.norm = nn.LayerNorm(width, 1e-6)


class MmsegMit(nn.Module):
    """The encoder of mmsegmentation."""

    def __init__(self, widths, depths):
        super().__init__()
        self.layers = nn.ModuleList()
        features = 3
        for stage, (width, depth, heads, reduce) in enumerate(
            zip(widths, depths, (1, 2, 5, 8), (8, 4, 2, 1), strict=True)
        ):
            patch = (features, width, 7, 4) if stage == 0 else (features, width, 3, 2)
            blocks = nn.ModuleList(_MmsegBlock(width, heads, reduce) for _ in range(depth))
            norm = nn.LayerNorm(width, 1e-6)
            self.layers.append(nn.ModuleList([_MmsegEmbed(*patch), blocks, norm]))
            features = width

    def forward(self, x):
        found = []
        for embed, blocks, norm in self.layers:
            x = embed.projection(x)
            n, width, *size = x.shape
            x = embed.norm(x.flatten(2).transpose(1, 2))
            for block in blocks:
                x = block(x, size)
            x = norm(x).transpose(1, 2).reshape(n, width, *size)
            found.append(x)
        return found


def _same(conv, x):
    """A convolution with TensorFlow's padding "SAME"."""
    size, stride = conv.kernel_size[0], conv.stride[0]
    pads = []
    for length in (x.shape[3], x.shape[2]):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads += [total // 2, total - total // 2]
    return conv(functional.pad(x, pads))


class _Inverted(nn.Module):
    def __init__(self, features, width, size, expand, stride):
        super().__init__()
        wide = expand * features
        self.first = expand == 1
        self.residual = stride == 1 and features == width
        depthwise = nn.Conv2d(wide, wide, size, stride, groups=wide, bias=False)
        if self.first:
            self.conv_dw, self.bn1 = depthwise, _norm(wide, 1e-3)
            self.conv_pw, self.bn2 = nn.Conv2d(wide, width, 1, bias=False), _norm(width, 1e-3)
        else:
            self.conv_pw, self.bn1 = nn.Conv2d(features, wide, 1, bias=False), _norm(wide, 1e-3)
            self.conv_dw, self.bn2 = depthwise, _norm(wide, 1e-3)
            self.conv_pwl, self.bn3 = nn.Conv2d(wide, width, 1, bias=False), _norm(width, 1e-3)

    def forward(self, x):
        if self.first:
            y = functional.relu6(self.bn1(_same(self.conv_dw, x)))
            y = self.bn2(self.conv_pw(y))
        else:
            y = functional.relu6(self.bn1(self.conv_pw(x)))
            y = functional.relu6(self.bn2(_same(self.conv_dw, y)))
            y = self.bn3(self.conv_pwl(y))
        return x + y if self.residual else y


class TfLite0(nn.Module):
    """timm's tf_efficientnet_lite0: the features after every stage."""

    def __init__(self, stages):
        super().__init__()
        self.conv_stem, self.bn1 = nn.Conv2d(3, 32, 3, 2, bias=False), _norm(32, 1e-3)
        self.blocks = nn.Sequential()
        features = 32
        strides = (1, 2, 2, 2, 1, 2, 1)
        for (count, size, expand, width), stride in zip(stages, strides, strict=True):
            stage = nn.Sequential()
            for block in range(count):
                step = stride if block == 0 else 1
                stage.append(_Inverted(features, width, size, expand, step))
                features = width
            self.blocks.append(stage)
        self.conv_head, self.bn2 = nn.Conv2d(320, 1280, 1, bias=False), _norm(1280, 1e-3)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, x):
        x = functional.relu6(self.bn1(_same(self.conv_stem, x)))
        found = []
        for stage in self.blocks:
            x = stage(x)
            found.append(x)
        return found
