"""The networks by name: an open table."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from cbda_jax import plugins
from cbda_jax.errors import InputError
from cbda_jax.models.torch_names import TorchWeights

Create = Callable[..., nnx.Module]
"""A network's class, or a function: `create(num_classes, *, dtype, rngs)` gives the network."""


class Network(NamedTuple):
    """A network of the table.

    Attributes:
        create: makes it.
        weights: what torch checkpoints of it look like, None if there are none.
    """

    create: Create
    weights: TorchWeights | None


NETWORKS: dict[str, Network] = {}
"""All networks by name, in the order in which they were registered."""


def register_network(name: str, create: Create, *, weights: TorchWeights | None = None) -> None:
    """Adds a network to those that `create_model` and the config's `network` know.

    Args:
        name: letters, digits and underscores.
        create: `create(num_classes, *, dtype, rngs)` gives the network; its class, say. The network
            must do what `create_model` promises of its result.
        weights: what torch checkpoints of it look like; None if none are to be loaded.

    Raises:
        InputError: another network has the name already, or the name has other characters.
    """
    plugins.register(NETWORKS, name, Network(create, weights), "network")


def create_model(
    name: str, num_classes: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32
) -> nnx.Module:
    """A network with random weights.

    Its parameters (`nnx.Param`) are float32 and trained; `FrozenStat`s are float32 and not. Call
    it inside `jax.jit` or `nnx.eval_shape`: one by one the initial values take seconds.

    Args:
        name: "small_unet", "deeplabv2_resnet101", "deeplabv2_resnet101_caffe",
            "deeplabv3plus_resnet101", "deeplabv3plus_efficientnet_lite0", "segformer_b0" to
            "segformer_b5", a name given to `register_network`, or an import path such as
            "my_module:MyNet".
        num_classes: number of logits.
        rngs: stream "params".
        dtype: of the computation, float32 or bfloat16.

    Returns:
        `model(images, keys=None)`: normalised images float [N, H, W, 3] to logits float32
        [N, h, w, num_classes] at the network's stride. `keys` [N], a random key an image, turns
        dropout on. The last layers are `model.head`, the rest `model.backbone`.

    Raises:
        InputError: unknown name; a network that does not keep to the above.
    """
    found = plugins.find(NETWORKS, name, "network", example="my_module:MyNet")
    if plugins.is_path(name):
        _check(name, found)
    create = found if plugins.is_path(name) else found.create
    return create(num_classes, dtype=jnp.dtype(dtype), rngs=rngs)


@functools.cache
def _check(name: str, create: Create) -> None:
    """Raises where a network that is not of this package breaks what `create_model` promises."""
    classes, size = 5, 64

    def use(images: jax.Array, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        model = create(classes, dtype=jnp.dtype(jnp.float32), rngs=nnx.Rngs(0))
        for part in ("backbone", "head"):
            if not hasattr(model, part):
                raise InputError(
                    f"network {name!r}: a {type(model).__name__} without {part!r} found, expected "
                    "the last layers as model.head and the others as model.backbone; set both"
                )
        return model(images), model(images, keys)

    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    try:
        outputs = jax.eval_shape(use, images, keys)
    except InputError:
        raise
    # Whatever a user's code raises.
    except Exception as error:
        reason = plugins.one_line(error)[:300]
        raise InputError(
            f"network {name!r}: it cannot be called ({reason}), expected "
            f"create(num_classes, *, dtype, rngs) and model(images, keys=None); see "
            "docs/how_to/a_new_network.md"
        ) from error
    for out in outputs:
        good = getattr(out, "ndim", 0) == 4 and out.dtype == jnp.float32
        if not good or (out.shape[0], out.shape[3]) != (2, classes):
            found = (
                f"{out.dtype} {list(out.shape)}" if hasattr(out, "dtype") else type(out).__name__
            )
            raise InputError(
                f"network {name!r}: logits {found} of two images and {classes} classes found, "
                f"expected float32 [2, h, w, {classes}]; see docs/how_to/a_new_network.md"
            )
