"""The maps of `scoring.softmax` on TPUs, by one kernel that keeps everything in vector memory.

XLA writes upsampled logits to memory and reads them again for every class that is taken out of
them. Here a matrix product stretches the columns (matrix units are what TPUs have most of), and the
kernel makes 8 rows by 128 columns of every class at once from the few stretched rows that they lie
between: weighted sums of rows that a load hands to all 8 sublanes for nothing. The classes of these
pixels then stay in registers until their maps are done.
"""

import functools
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from cbda_jax.acquisition.pallas import like
from cbda_jax.acquisition.scoring import planes as of_planes
from cbda_jax.acquisition.scoring.planes import EPSILON, total
from cbda_jax.acquisition.scoring.stencil import Stencil

_SUBLANES, _LANES = 8, 128
# Rows of uint8 come in packs of 32: so many are written at once.
_PACK = 32
# Columns that one matrix product stretches: their sources fit the 128 rows of a matrix unit if the
# image grows by four or more.
_PARTS = 2
_COLUMNS = _LANES << _PARTS
# Classes beyond these do not fit the registers, nor blocks of more bytes the vector memory.
_MOST_CLASSES, _MOST_BYTES = 64, 16 * 2**20
_VECTOR_MEMORY = 64 * 2**20


def fits(logits: jax.Array, rows: Stencil) -> bool:
    """Whether the kernel takes logits `[h, w, C]`: whether a block of them fits."""
    classes = logits.shape[-1]
    return classes <= _MOST_CLASSES and 4 * classes * rows.length * _LANES <= _MOST_BYTES


def upsampled_maps(
    centred: jax.Array,
    rows: Stencil,
    columns: Stencil,
    names: Collection[str],
    class_weight: jax.Array | None = None,
    *,
    interpret: bool = False,
) -> dict[str, jax.Array]:
    """Maps of logits that are interpolated on the way; those of `softmax_maps` but for rounding.

    Args:
        centred: `[C, h, w]` float32, at most 0 (`planes.centred`).
        rows: from h to H.
        columns: from w to W.
        names: which maps.
        class_weight: `[C]` float32, of "weight".
        interpret: run the kernel's operations on any platform, slowly.

    Returns:
        By name, `[H, W]` float32 (the prediction uint8).
    """
    classes, height, width = centred.shape
    size = (len(rows.start), len(columns.start))
    row_first, row_weight = rows.banded(_SUBLANES)
    column_first, column_weight = columns.banded(_COLUMNS)
    reach = column_weight.shape[2]
    # Small arrays are padded, not large ones.
    below = max(int(row_first.max()) + row_weight.shape[2] - height, 0)
    beyond = max(int(column_first.max()) + reach - width, 0)
    padded = jnp.pad(centred, ((0, 0), (0, below), (0, beyond)))
    bands = jnp.stack([padded[:, :, first : first + reach] for first in column_first])
    wide = jnp.einsum("nchk,nwk->nchw", bands, jnp.asarray(column_weight), precision="highest")

    block = min(8 * _PACK, -(-size[0] // _PACK) * _PACK)
    blocks = -(-size[0] // block)
    lines = row_weight.reshape(-1, row_weight.shape[2])
    lines = np.pad(lines, ((0, blocks * block - len(lines)), (0, _LANES - lines.shape[1])))
    row_first = np.pad(row_first, (0, blocks * block // _SUBLANES - len(row_first)))
    weight = jnp.zeros((classes,), jnp.float32) if class_weight is None else class_weight
    names = tuple(names)
    kernel = functools.partial(_kernel, names=names, reach=row_weight.shape[2])
    of_pixels = pl.BlockSpec((block, _LANES), lambda n, i, *_: (i, n))
    maps = pl.pallas_call(
        kernel,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=2,
            grid=(-(-size[1] // _LANES), blocks),
            in_specs=[
                pl.BlockSpec((block, _LANES), lambda n, i, *_: (i, 0)),
                pl.BlockSpec(
                    (1, classes, height + below, _LANES),
                    lambda n, i, *_: (n >> _PARTS, 0, 0, n & ((1 << _PARTS) - 1)),
                ),
            ],
            out_specs=[of_pixels] * len(names),
        ),
        out_shape=[
            like(centred, size, jnp.uint8 if name == "prediction" else jnp.float32)
            for name in names
        ],
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=_VECTOR_MEMORY),
        interpret=interpret,
    )(jnp.asarray(row_first), weight, jnp.asarray(lines), wide)
    return dict(zip(names, maps, strict=True))


def _kernel(
    first: Any,
    class_weight: Any,
    lines: Any,
    wide: Any,
    *maps: Any,
    names: tuple[str, ...],
    reach: int,
) -> None:
    """A block of rows, 128 columns wide.

    Args:
        first: int32 in scalar memory, by 8 rows of the result: the first stretched row they need.
        class_weight: float32 `[C]` in scalar memory.
        lines: float32 `[rows, 128]`: the weights of the stretched rows, of which `reach` count.
        wide: float32 `[1, C, h, 128]`, the stretched rows.
        maps: `[rows, 128]`, written.
        names: of the maps.
        reach: stretched rows for 8 rows.
    """
    rows, classes = maps[0].shape[0], wide.shape[1]
    shape = (_SUBLANES, _LANES)
    before = pl.program_id(1) * (rows // _SUBLANES)

    def eight(i: jax.Array) -> dict[str, jax.Array]:
        start = first[before + i]
        weights = lines[pl.ds(pl.multiple_of(_SUBLANES * i, _SUBLANES), _SUBLANES), :]
        weights = [jnp.broadcast_to(weights[:, j : j + 1], shape) for j in range(reach)]
        planes = [
            total(
                weights[j] * jnp.broadcast_to(wide[0, c, pl.ds(start + j, 1), :], shape)
                for j in range(reach)
            )
            for c in range(classes)
        ]
        return of_planes.maps(planes, names, class_weight, _MAPS)

    def pack(i: jax.Array, _: None) -> None:
        # Four times 8 rows in one go: work for the units while other results are on their way.
        parts = [eight(i * (_PACK // _SUBLANES) + k) for k in range(_PACK // _SUBLANES)]
        at = pl.ds(pl.multiple_of(_PACK * i, _PACK), _PACK)
        for name, out in zip(names, maps, strict=True):
            out[at, :] = jnp.concatenate([part[name] for part in parts]).astype(out.dtype)

    lax.fori_loop(0, rows // _PACK, pack, None)


def _entropy(planes: list[jax.Array]) -> jax.Array:
    """`planes.entropy` with as few operations as it takes.

    With h = e/2 times the sum: the sum over classes of p / (p + h) is C less h times the sum of
    1 / (p + h), of which a few bits will do: they end up times 1e-6.
    """
    powers = [jnp.exp(plane) for plane in planes]
    sum_ = total(powers)
    mean = total(power * plane for power, plane in zip(powers, planes, strict=True)) / sum_
    half = sum_ * jnp.float32(EPSILON / 2)
    absent = half * total(pl.reciprocal(power + half, approx=True) for power in powers)
    return jnp.log(sum_) - mean - jnp.float32(EPSILON) * (jnp.float32(len(planes)) - absent)


def _prediction(planes: list[jax.Array]) -> jax.Array:
    return of_planes.prediction(planes, jnp.int32)


_MAPS = of_planes.MAPS | {"entropy": _entropy, "prediction": _prediction}
