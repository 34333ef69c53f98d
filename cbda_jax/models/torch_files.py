"""Files of torch checkpoints, read without running what is in them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from cbda_jax.errors import InputError


def read(path: Path) -> dict[str, Any]:
    """The arrays of a .safetensors file, or all that a .pth file holds, tensors as arrays.

    Raises:
        InputError: missing, of an unknown kind or damaged file; .pth without torch.
    """
    if not path.is_file():
        raise InputError(f"weights {path}: no such file; give a .safetensors or .pth file")
    if path.suffix == ".safetensors":
        try:
            return dict(safetensors.numpy.load_file(path))
        # Types that NumPy lacks, sizes that overflow: not only errors of the format.
        except Exception as error:
            raise InputError(
                f"weights {path}: not a readable safetensors file ({_one_line(error)}); convert or "
                "download it again"
            ) from error
    if path.suffix in (".pth", ".pt", ".bin"):
        return _read_torch(path)
    raise InputError(
        f"weights {path}: {path.suffix or 'no'} suffix found, expected .safetensors, .pth, .pt or "
        ".bin; rename or convert it"
    )


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f"weights {path}: torch, which reads this file, is not installed; install "
            "cbda_jax[convert], or convert it elsewhere: python scripts/convert_weights.py "
            f"{path} {path.with_suffix('.safetensors')}"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # Which of a dozen errors torch raises depends on where the file is damaged.
    except Exception as error:
        raise InputError(
            f"weights {path}: torch cannot read it as plain weights ({_one_line(error)}); save the "
            "state dict alone with torch.save"
        ) from error

    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): convert(v) for k, v in value.items()}
        if isinstance(value, torch.Tensor):
            value = value.detach()
            return (value.float() if value.is_floating_point() else value).numpy()
        return value

    if not isinstance(content, Mapping):
        raise InputError(
            f"weights {path}: a {type(content).__name__} found, expected a state dict; save "
            "model.state_dict()"
        )
    try:
        return convert(content)
    except (RecursionError, RuntimeError, TypeError) as error:
        raise InputError(
            f"weights {path}: holds what is no plain array ({_one_line(error)}), expected dense "
            "tensors; save model.state_dict()"
        ) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    # Of torch's advice, which is to load the file all the same, the reason alone.
    reason = re.search(r"WeightsUnpickler error: (Unsupported [^,;]*? was not|[^.]*)", text)
    return (reason[1].removesuffix(" was not") if reason else text)[:200]
