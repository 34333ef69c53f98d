"""The training step of the recipe in PyTorch, plainly written, to be timed beside ours."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from baselines.segmentation_torch import Segmenter, enlarge

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Variant:
    """How the step is run. bfloat16 is autocast: parameters and losses stay float32."""

    dtype: str
    compiled: bool = False
    channels_last: bool = False


VARIANTS = {
    "eager": Variant("float32"),
    "eager-bf16": Variant("bfloat16", channels_last=True),
    "compile": Variant("float32", compiled=True),
    "compile-bf16": Variant("bfloat16", compiled=True, channels_last=True),
}


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Over the pixels whose label is not 255."""
    return functional.cross_entropy(logits, labels.long(), ignore_index=255)


def local_consistency(logits: Any, labels: Any) -> Any:
    """L1 distance of the softmax to its 3 x 3 mean, on label boundaries."""
    p = logits.softmax(dim=1)
    mean = functional.avg_pool2d(functional.pad(p, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    own = labels.float()
    box = functional.avg_pool2d(own[:, None], 3, stride=1, padding=1, divisor_override=1)[:, 0]
    mask = ((9 * own != box) & (labels != 255)).float()
    return ((p - mean).abs().sum(dim=1) * mask).sum() / mask.sum().clamp(min=1)


def negative_learning(logits: Any, threshold: float = 0.05) -> Any:
    """-log(1 - p) of the classes with p below the threshold."""
    p = logits.softmax(dim=1)
    mask = (p.detach() < threshold).float()
    return (-torch.log(1 - p + 1e-6) * mask).sum() / mask.sum().clamp(min=1)


def losses(model: nn.Module, source: Any, target: Any, dtype: Any = None) -> Any:
    """The four losses, `[4]` float32: of the source, consistency, of the target, negative.

    Args:
        model: a `Segmenter`.
        source: images [N, 3, H, W] uint8, or normalised; labels [N, H, W] uint8.
        target: the same.
        dtype: of autocast; None computes in float32.
    """
    device = source[0].device.type
    with torch.autocast(device, dtype, enabled=dtype is not None):
        images = [_normalize(images) for images, _ in (source, target)]
        if images[0].shape[2:] == images[1].shape[2:]:
            logits = model(torch.cat(images)).split([len(x) for x in images])
        else:
            logits = [model(x) for x in images]
    full = [
        enlarge(x.float(), labels.shape[1:])
        for x, (_, labels) in zip(logits, (source, target), strict=True)
    ]
    return torch.stack(
        [
            cross_entropy(full[0], source[1]),
            local_consistency(full[0], source[1]),
            cross_entropy(full[1], target[1]),
            negative_learning(full[1]),
        ]
    )


def _normalize(images: Any) -> Any:
    if images.dtype != torch.uint8:
        return images
    mean = torch.tensor(_MEAN, device=images.device)[:, None, None]
    std = torch.tensor(_STD, device=images.device)[:, None, None]
    return (images.float() / 255 - mean) / std


def step(
    model: nn.Module,
    optimizer: Any,
    number: int,
    source: Any,
    target: Any,
    *,
    dtype: Any = None,
    losses: Any = losses,
) -> Any:
    """One step of the recipe, in place; the losses before it, as `losses` gives them."""
    decay = (1 - number / 62_500) ** 0.9
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * decay
    optimizer.zero_grad(set_to_none=True)
    values = losses(model, source, target, dtype)
    (values[0] + 0.1 * values[1] + values[2] + values[3]).backward()
    optimizer.step()
    return values.detach()


class Steps:
    """Training steps on batches that are on the device already.

    Args:
        network: of `segmentation_torch.NETWORKS`.
        num_classes: number of logits.
        batches: pairs of source and target, each images [N, H, W, 3] and labels [N, H, W], uint8.
        variant: how to run it.
        learning_rate: of the backbone.

    Attributes:
        compiling: seconds of the first pass.
        loss: sum of the losses of the last step, a tensor on the device.

    Raises:
        RuntimeError: the compiled step has other gradients than the eager one.
    """

    def __init__(
        self,
        network: str,
        num_classes: int,
        batches: Sequence[Any],
        variant: Variant,
        learning_rate: float = 2.5e-4,
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        torch.manual_seed(0)
        self.model = Segmenter(network, num_classes).train().to(self.device, memory_format=layout)
        self.optimizer = sgd(self.model, learning_rate, fused=variant.compiled)
        self.dtype = None if variant.dtype == "float32" else getattr(torch, variant.dtype)
        self.losses = torch.compile(losses, dynamic=False) if variant.compiled else losses

        def place(domain: tuple[np.ndarray, np.ndarray]) -> tuple[Any, Any]:
            images = torch.from_numpy(domain[0].transpose(0, 3, 1, 2)).to(self.device)
            labels = torch.from_numpy(np.ascontiguousarray(domain[1]))
            return images.contiguous(memory_format=layout), labels.to(self.device)

        self.batches = [tuple(place(domain) for domain in batch) for batch in batches]
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
        start = time.perf_counter()
        norm = self._gradient_norm(self.losses)
        self.compiling = time.perf_counter() - start
        # Dropout differs from call to call; wrong gradients differ by more.
        if variant.compiled and not 0.4 < norm / self._gradient_norm(losses) < 2.5:
            raise RuntimeError("the compiled step's gradients are not those of the eager one")
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def _gradient_norm(self, losses: Any) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        losses(self.model, *self.batches[0], self.dtype).sum().backward()
        squares = [x.grad.square().sum() for x in self.model.parameters()]
        return float(torch.stack(squares).sum().sqrt())

    def dispatch(self, number: int) -> Any:
        """Starts step `number`; returns what `wait` takes."""
        batch = self.batches[number % len(self.batches)]
        self.loss = step(
            self.model, self.optimizer, number, *batch, dtype=self.dtype, losses=self.losses
        ).sum()
        if self.device.type == "cpu":
            return None
        event = torch.cuda.Event()
        event.record()
        return event

    def wait(self, started: Any) -> None:
        """Until that step is done."""
        if started is not None:
            started.synchronize()

    def peak_bytes(self) -> int:
        """Of the device's memory, since this object was made; 0 on a CPU."""
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else 0


def sgd(model: nn.Module, learning_rate: float = 2.5e-4, *, fused: bool = False) -> Any:
    """The optimizer of the recipe: the head learns ten times as fast."""
    groups = [
        {"params": list(part.parameters()), "initial_lr": factor * learning_rate}
        for part, factor in ((model.feature_extractor, 1.0), (model.classifier, 10.0))
    ]
    return torch.optim.SGD(
        groups, lr=learning_rate, momentum=0.9, weight_decay=5e-4, fused=fused or None
    )


def settings() -> str:
    """What PyTorch was allowed, in words."""
    if not torch.cuda.is_available():
        return f"PyTorch on {torch.get_num_threads()} threads"
    return (
        f"PyTorch on {torch.cuda.get_device_name()}, its defaults: TF32 in convolutions "
        f"{torch.backends.cudnn.allow_tf32}, float32 products "
        f"{torch.get_float32_matmul_precision()!r}; cuDNN chooses by measuring"
    )
