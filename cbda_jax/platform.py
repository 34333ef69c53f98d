"""Which platform a program is compiled for: an argument, for programs of machines elsewhere too.

`jax.default_backend()` would say where Python runs, which is something else.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
from jax.sharding import Mesh

from cbda_jax.errors import InputError

PLATFORMS = ("cpu", "gpu", "tpu")

# What the compilers of GPUs call themselves.
_VENDORS = {"cuda": "gpu", "rocm": "gpu"}

_target: contextvars.ContextVar[str | None] = contextvars.ContextVar("platform", default=None)


@contextlib.contextmanager
def compiling_for(platform: str) -> Iterator[None]:
    """Tells what is traced inside which platform it is for, where no argument does."""
    token = _target.set(resolve(platform))
    try:
        yield
    finally:
        _target.reset(token)


def of(mesh: Mesh) -> str:
    """The platform of a mesh's devices: "cpu", "gpu" or "tpu"."""
    return resolve(mesh.devices.flat[0].platform)


def resolve(platform: str | None = None) -> str:
    """A platform by its one name.

    Args:
        platform: "cpu", "gpu" ("cuda", "rocm") or "tpu"; None: that of `compiling_for`, or else of
            the first device here.

    Returns:
        "cpu", "gpu" or "tpu".

    Raises:
        InputError: it is none of these.
    """
    found = platform or _target.get() or jax.devices()[0].platform
    name = _VENDORS.get(found, found)
    if name not in PLATFORMS:
        raise InputError(
            f"platform: {found!r} found, expected one of {', '.join(PLATFORMS)}; name one of these"
        )
    return name
