"""ONNX of a JAX function by jax2onnx: mended where need be, and compared before it is used."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cbda_jax.errors import InputError

_TOLERANCE = 1e-4  # of logits, absolute and relative


def convert(function: Callable[[jax.Array], jax.Array], size: tuple[int, int], name: str) -> bytes:
    """The function of one image as an ONNX model whose logits are its own.

    One image, as jax2onnx cannot resize features of a number of images that is not known.

    Args:
        function: RGB uint8 [1, H, W, 3] to logits float32 [1, H, W, C], the input `images` and the
            output `logits` of the model.
        size: (H, W).
        name: of the model.

    Raises:
        InputError: ONNX Runtime finds other logits than JAX in an image of random colours.
    """
    import jax2onnx  # pyright: ignore[reportMissingImports]

    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    names = {"input_names": ["images"], "output_names": ["logits"]}
    model = jax2onnx.to_onnx(function, [images], model_name=name, **names)
    pool_in_two_dimensions(model)
    content = model.SerializeToString()
    _compare(content, function, size)
    return content


def pool_in_two_dimensions(model: Any) -> None:
    """Rewrites pooling over all four axes of [N, H, W, C] as that of [N, C, H, W].

    A window of JAX has a length along every axis. jax2onnx puts two more axes before these, and
    takes all four for axes of an image; ONNX Runtime pools over three at most.

    Args:
        model: an `onnx.ModelProto`, changed in place.
    """
    from onnx import helper, numpy_helper  # pyright: ignore[reportMissingImports]

    nodes, axes = [], "axes_before_pooling"
    for node in model.graph.node:
        found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kernel = list(found.get("kernel_shape", ()))
        if node.op_type != "MaxPool" or len(kernel) != 4 or kernel[0] != 1 or kernel[3] != 1:
            nodes.append(node)
            continue
        (given,), (wanted,) = node.input, node.output
        four, first, pooled, last = (
            f"{wanted}_{step}" for step in ("four", "first", "pool", "last")
        )
        pads = found.get("pads", [0] * 8)
        nodes += [
            helper.make_node("Squeeze", [given, axes], [four]),
            helper.make_node("Transpose", [four], [first], perm=(0, 3, 1, 2)),
            helper.make_node(
                "MaxPool",
                [first],
                [pooled],
                kernel_shape=kernel[1:3],
                strides=list(found.get("strides", [1] * 4))[1:3],
                pads=[pads[place] for place in (1, 2, 5, 6)],
            ),
            helper.make_node("Transpose", [pooled], [last], perm=(0, 2, 3, 1)),
            helper.make_node("Unsqueeze", [last, axes], [wanted]),
        ]
    if len(nodes) == len(model.graph.node):
        return
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1], np.int64), axes))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _compare(content: bytes, function: Callable[..., jax.Array], size: tuple[int, int]) -> None:
    import onnxruntime  # pyright: ignore[reportMissingImports]

    images = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    # GPUs and TPUs would round products of float32.
    with jax.default_matmul_precision("highest"):
        expected = np.asarray(jax.jit(function)(jnp.asarray(images)))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": images})
    if not np.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        worst = float(np.abs(found - expected).max())
        raise InputError(
            f"logits that differ by up to {worst:.2g} from the network's found, expected "
            f"{_TOLERANCE:g} at most"
        )
