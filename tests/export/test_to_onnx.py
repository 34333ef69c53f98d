"""Pooling in ONNX, and the comparison that an export has to pass."""

import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.errors import InputError
from cbda_jax.export import to_onnx
from cbda_jax.models import layers

SIZE = (10, 14)


@pytest.fixture(autouse=True)
def _packages():
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")


def pooled(images):
    return layers.max_pool(layers.max_pool(images.astype(jnp.float32) - jnp.float32(300)))


def test_pooling_is_that_of_the_networks(monkeypatch):
    """The comparison within says so; without the rewriting it cannot even be run."""
    assert to_onnx.convert(pooled, SIZE, "pool")
    monkeypatch.setattr(to_onnx, "pool_in_two_dimensions", lambda model: None)
    with pytest.raises(Exception, match="MaxPool"):
        to_onnx.convert(pooled, SIZE, "pool")


def test_other_logits_are_refused(monkeypatch):
    import jax2onnx

    right = jax2onnx.to_onnx

    def wrong(function, *given, **named):
        return right(lambda x: function(x) + jnp.float32(0.5), *given, **named)

    monkeypatch.setattr(jax2onnx, "to_onnx", wrong)
    with pytest.raises(InputError, match=r"differ by up to 0\.5 from the network's found"):
        to_onnx.convert(lambda x: x.astype(jnp.float32)[..., :2], SIZE, "net")


def test_a_model_without_pooling_is_left_alone():
    from onnx import helper

    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    model = helper.make_model(graph)
    before = model.SerializeToString()
    to_onnx.pool_in_two_dimensions(model)
    assert model.SerializeToString() == before
    assert np.frombuffer(before, np.uint8).size
