"""DeepLab-v2 and v3+ in PyTorch, plainly written: the same layers and parameters as ours.

Module names are those of RIPU's checkpoints, so one state dict fits both.
"""
# ruff: noqa: D102 - every `forward` is said by its class

from collections.abc import Sequence
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

NETWORKS = ("deeplabv2_resnet101", "deeplabv3plus_resnet101")
# Of the four stages: blocks, channels, stride, dilation of the first block and of the others.
_STAGES = ((3, 64, 1, 1, 1), (4, 128, 2, 1, 1), (23, 256, 1, 1, 2), (3, 512, 1, 2, 4))


class FrozenBatchNorm(nn.Module):
    """(x - mean) / sqrt(var) * weight + bias with constants, no epsilon."""

    def __init__(self, features: int, weight: float = 1.0):
        super().__init__()
        self.register_buffer("weight", torch.full((features,), weight))
        self.register_buffer("bias", torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Any) -> Any:
        scale = self.weight * self.running_var.rsqrt()
        shift = self.bias - self.running_mean * scale
        # In the type of x, or autocast's bfloat16 would end at the first norm.
        scale, shift = scale.to(x.dtype), shift.to(x.dtype)
        return x * scale[:, None, None] + shift[:, None, None]


def _conv(features: int, out_features: int, size: int, **options: Any) -> nn.Conv2d:
    padding = (size - 1) // 2 * options.get("dilation", 1)
    conv = nn.Conv2d(features, out_features, size, padding=padding, bias=False, **options)
    nn.init.kaiming_normal_(conv.weight)
    return conv


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (strided and dilated), 1 x 1, and the shortcut."""

    def __init__(self, features: int, width: int, stride: int, dilation: int):
        super().__init__()
        wide = 4 * width
        self.conv1, self.bn1 = _conv(features, width, 1), FrozenBatchNorm(width)
        self.conv2 = _conv(width, width, 3, stride=stride, dilation=dilation)
        self.bn2 = FrozenBatchNorm(width)
        self.conv3, self.bn3 = _conv(width, wide, 1), FrozenBatchNorm(wide, 0.2)
        self.downsample = None
        if stride != 1 or features != wide:
            self.downsample = nn.Sequential(
                _conv(features, wide, 1, stride=stride), FrozenBatchNorm(wide)
            )

    def forward(self, x: Any) -> Any:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet101(nn.Module):
    """Features at strides 4 (256 channels) and 8 (2048 channels)."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 64, 7, stride=2), FrozenBatchNorm(64)
        features = 64
        for number, (count, width, stride, first, dilation) in enumerate(_STAGES):
            blocks = [Bottleneck(features, width, stride, first)]
            features = 4 * width
            blocks += [Bottleneck(features, width, 1, dilation) for _ in range(count - 1)]
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks))

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.bn1(self.conv1(x)))
        low = self.layer1(functional.max_pool2d(x, 3, stride=2, padding=1))
        return low, self.layer4(self.layer3(self.layer2(low)))


class AtrousClassifier(nn.Module):
    """The head of v2: four dilated 3 x 3 convolutions, summed."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv2d_list = nn.ModuleList(
            nn.Conv2d(2048, num_classes, 3, padding=d, dilation=d) for d in (6, 12, 18, 24)
        )
        for conv in self.conv2d_list:
            nn.init.normal_(conv.weight, std=0.01)

    def forward(self, features: Any) -> Any:
        return sum(conv(features[1]) for conv in self.conv2d_list)


class _Separable(nn.Module):
    def __init__(self, features: int, out_features: int, dilation: int):
        super().__init__()
        self.depthwise_conv = _conv(features, features, 3, dilation=dilation, groups=features)
        self.depthwise_bn = FrozenBatchNorm(features)
        self.pointwise_conv = _conv(features, out_features, 1)
        self.pointwise_bn = FrozenBatchNorm(out_features)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.depthwise_bn(self.depthwise_conv(x)))
        return functional.relu(self.pointwise_bn(self.pointwise_conv(x)))


class Decoder(nn.Module):
    """The head of v3+: separable ASPP of 512 channels, low-level features, dropout."""

    def __init__(self, num_classes: int):
        super().__init__()

        def block(features: int, out_features: int, size: int) -> list[nn.Module]:
            return [_conv(features, out_features, size), FrozenBatchNorm(out_features), nn.ReLU()]

        self.parallel_branches = nn.ModuleList(
            [nn.Sequential(*block(2048, 512, 1)), *(_Separable(2048, 512, d) for d in (6, 12, 18))]
        )
        self.global_branch = nn.Sequential(nn.AdaptiveAvgPool2d(1), *block(2048, 512, 1))
        self.bottleneck = nn.Sequential(*block(2560, 512, 3))
        self.shortcut = nn.Sequential(*block(256, 48, 1))
        self.decoder = nn.Sequential(
            _Separable(560, 512, 1),
            _Separable(512, 512, 1),
            nn.Dropout2d(0.1),
            nn.Conv2d(512, num_classes, 1),
        )

    def forward(self, features: Any) -> Any:
        low, x = features
        pooled = self.global_branch(x).expand(-1, -1, *x.shape[2:])
        x = torch.cat([*(branch(x) for branch in self.parallel_branches), pooled], dim=1)
        x = enlarge(self.bottleneck(x), low.shape[2:])
        return self.decoder(torch.cat([x, self.shortcut(low)], dim=1))


class Segmenter(nn.Module):
    """Logits at the network's stride, `[N, C, h, w]`, of normalised images `[N, 3, H, W]`."""

    def __init__(self, network: str, num_classes: int):
        super().__init__()
        self.feature_extractor = nn.ModuleDict({"backbone": ResNet101()})
        head = AtrousClassifier if network == "deeplabv2_resnet101" else Decoder
        self.classifier = head(num_classes)

    def forward(self, images: Any) -> Any:
        return self.classifier(self.feature_extractor["backbone"](images))


# Compiled together with convolutions, its gradient was zero (torch 2.13.0 on CPU; no error).
@torch.compiler.disable
def enlarge(x: Any, size: Sequence[int]) -> Any:
    """Bilinear, corners aligned."""
    return functional.interpolate(x, tuple(size), mode="bilinear", align_corners=True)
