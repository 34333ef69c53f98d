"""A network's weights as a torch checkpoint has them: the tables of loading, read backwards."""

import numpy as np
from flax import nnx

from cbda_jax.errors import InputError
from cbda_jax.models import weights


def torch_weights(model: nnx.Module) -> dict[str, np.ndarray]:
    """The arrays of a network under the names and with the axes of its torch checkpoints.

    `load_torch_weights(other, torch_weights(model))` gives another network the same weights, bit
    for bit. Names are those that `load_torch_weights` lists: RIPU's (`feature_extractor.`,
    `classifier.`) for DeepLab, Hugging Face's for SegFormer. Where published checkpoints have a
    backbone alone (EfficientNet-lite0), the head has the names that it has here (`head.`).

    Args:
        model: of `create_model`.

    Returns:
        float32 arrays by name; convolutions as [out, in, height, width].

    Raises:
        InputError: the network has no torch counterpart.
    """
    entries = weights.table(model)
    if entries is None:
        raise InputError(
            f"{type(model).__name__}: no names of torch checkpoints found, expected a DeepLab or a "
            "SegFormer, or a network registered with `weights`; export it as .stablehlo"
        )
    variables = dict(nnx.to_flat_state(nnx.state(model)))
    named = {entry.path for entry in entries}
    unnamed = sorted(".".join(map(str, path)) for path in variables.keys() - named)
    if unnamed:
        raise InputError(
            f"{type(model).__name__}: no torch name found for {', '.join(unnamed[:5])}, expected "
            "one for each array; add them to the network's table (docs/how_to/a_new_network.md)"
        )
    return {
        entry.name: _their_axes(entry.axes, np.asarray(variables[entry.path].get_value()))
        for entry in entries
    }


def _their_axes(axes: str, array: np.ndarray) -> np.ndarray:
    """The inverse of `weights._our_axes`."""
    theirs, ours = axes.split("->")
    order = [ours.index(letter) for letter in theirs if letter != "1"]
    ones = tuple(place for place, letter in enumerate(theirs) if letter == "1")
    # A copy in one piece, which may be written to: what JAX gives may not.
    return np.array(np.expand_dims(array.transpose(order), ones), order="C")
