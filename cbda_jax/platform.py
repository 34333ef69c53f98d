"""Which platform a program is compiled for: an argument, for programs of machines elsewhere too.

`jax.default_backend()` would say where Python runs, which is something else.
"""

import jax
from jax.sharding import Mesh

from cbda_jax.errors import InputError

PLATFORMS = ("cpu", "gpu", "tpu")

# What the compilers of GPUs call themselves.
_VENDORS = {"cuda": "gpu", "rocm": "gpu"}


def of(mesh: Mesh) -> str:
    """The platform of a mesh's devices: "cpu", "gpu" or "tpu"."""
    return resolve(mesh.devices.flat[0].platform)


def resolve(platform: str | None = None) -> str:
    """A platform by its one name.

    Args:
        platform: "cpu", "gpu" ("cuda", "rocm") or "tpu"; None: that of the first device here.

    Returns:
        "cpu", "gpu" or "tpu".

    Raises:
        InputError: it is none of these.
    """
    found = jax.devices()[0].platform if platform is None else platform
    name = _VENDORS.get(found, found)
    if name not in PLATFORMS:
        raise InputError(
            f"platform: {found!r} found, expected one of {', '.join(PLATFORMS)}; name one of these"
        )
    return name
