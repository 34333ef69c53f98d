"""What the Pallas kernels share."""

from collections.abc import Sequence

import jax
from jax.typing import DTypeLike


def like(x: jax.Array, shape: Sequence[int], dtype: DTypeLike) -> jax.ShapeDtypeStruct:
    """A kernel's result, which differs between devices where an argument x does.

    `jax.shard_map` wants to know; what it is told by has another name in every other release.
    """
    for name in ("manual_axis_type", "vma"):
        varying = getattr(jax.typeof(x), name, None)
        if varying is not None:
            return jax.ShapeDtypeStruct(shape, dtype, **{name: varying})
    return jax.ShapeDtypeStruct(shape, dtype)
