import functools
import re

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import checkpoint, shapes

from cbda_jax.errors import InputError
from cbda_jax.models import layouts, weights
from cbda_jax.models.layouts import Checkpoint

FUZZ = settings.get_profile("fuzz")
SMALL = {
    "conv1.weight": np.zeros((2, 3, 1, 1), np.float32),
    "module.bn1.bias": np.ones(2, np.float16),
    "step": np.array(7),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("weights") / "weights.safetensors"


@functools.cache
def segformer():
    """The shapes of the smallest network with a torch counterpart, and weights that fit it."""
    model = shapes("segformer_b0")
    return model, checkpoint(model)


@FUZZ
@given(data=st.data())
def test_safetensors(path, attempt, mutate, data):
    path.write_bytes(mutate(data.draw, safetensors.numpy.save(SMALL)))
    content = attempt(weights.read, path)
    if content is not None:
        found = attempt(layouts.interpret, content)
        if found is not None:
            layouts.identify(found.arrays)
            attempt(weights.matches, segformer()[0], found)


KEYS = st.sampled_from(
    [
        *(
            "model",
            "state_dict",
            "module",
            "optimizer",
            "epoch",
            "conv1.weight",
            "fc.bias",
            "",
            "a\n",
        ),
        *("feature_extractor", "backbone.conv1.weight", "classifier.conv2d_list.0.weight"),
        *(
            "segformer.encoder.block.0",
            "segformer.encoder.patch_embeddings.0.proj.bias",
            "x.module",
        ),
        *("classifier.decoder.3.weight", "decode_head.classifier.bias"),
    ]
)
LEAVES = st.sampled_from(
    [
        *(None, "text", 3, [1, [2, 3]], [], b"x", np.zeros((0, 3)), np.array(5.0), np.array("x")),
        *(np.zeros(32), np.array([None]), np.full((2, 2), np.nan), np.zeros((2, 2), complex)),
    ]
)
TREES = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=4),
    lambda inner: st.dictionaries(KEYS, LEAVES | inner, max_size=3),
    max_leaves=10,
)


@FUZZ
@given(content=TREES)
def test_checkpoints_of_any_structure(attempt, content):
    found = attempt(layouts.interpret, content)
    if found is not None:
        known = layouts.identify(found.arrays)
        assert known is None or 1 <= known[1] <= 256
        # None of these trees is a network's.
        assert attempt(weights.matches, segformer()[0], found) is None


@settings(FUZZ, max_examples=max(FUZZ.max_examples // 4, 1))
@given(data=st.data())
def test_one_wrong_array_is_named(attempt, data):
    model, whole = segformer()
    name = data.draw(st.sampled_from(sorted(whole)))
    kind = data.draw(st.sampled_from(["nan", "inf", "int", "float64", "shape", "text", "scalar"]))
    array = {
        "nan": np.full(whole[name].shape, np.nan, np.float32),
        "inf": np.full(whole[name].shape, 1e39),
        "int": np.zeros(whole[name].shape, np.int8),
        "float64": np.zeros(whole[name].shape),
        "shape": np.zeros((1, *whole[name].shape), np.float32),
        "text": np.full(whole[name].shape, "x"),
        "scalar": np.array(1, np.float32),
    }[kind]
    spoilt = {**whole, name: array}
    if kind == "float64":
        assert len(weights.matches(model, Checkpoint(spoilt))) == len(whole)
    else:
        with pytest.raises(InputError, match=re.escape(name)):
            weights.matches(model, Checkpoint(spoilt))
