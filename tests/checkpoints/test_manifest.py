"""The list of what a checkpoint holds: made, read, compared; no bit of it changes unseen."""

import copy
import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from cbda_jax.checkpoints import manifest
from cbda_jax.checkpoints.manifest import DamagedError


@pytest.fixture
def arrays():
    return {
        "a": jnp.arange(6, dtype=jnp.float32).reshape(2, 3),
        "b": jnp.ones(4, jnp.bfloat16),
        "step": jnp.int32(7),
    }


def test_what_is_described_is_found_again(arrays):
    described = json.loads(json.dumps(manifest.describe(arrays)))
    held = manifest.entries(described)
    assert {name: (x["shape"], x["dtype"]) for name, x in held.items()} == {
        "a": ([2, 3], "float32"),
        "b": ([4], "bfloat16"),
        "step": ([], "int32"),
    }
    assert manifest.differences(arrays, held, exact=True) == []
    manifest.verify(jax.tree.map(np.asarray, arrays), held)


def test_a_bit_that_flipped_is_seen(arrays):
    held = manifest.entries(manifest.describe(arrays))
    changed = np.array(arrays["b"])
    changed.view(np.uint16)[2] ^= 1
    assert changed.dtype == ml_dtypes.bfloat16
    with pytest.raises(DamagedError, match="b is not what was saved"):
        manifest.verify({"b": changed}, held)


@pytest.mark.parametrize("damage", ["value", "missing", "no list"])
def test_a_manifest_that_was_changed_is_refused(arrays, damage):
    described = copy.deepcopy(manifest.describe(arrays))
    if damage == "value":
        described["arrays"]["a"]["crc32"] += 1
    elif damage == "missing":
        del described["crc32"]
    else:
        described = None
    with pytest.raises(DamagedError, match="its manifest is damaged"):
        manifest.entries(described)


def test_differences_name_each_array(arrays):
    held = manifest.entries(manifest.describe(arrays))
    wanted = {
        "a": jax.ShapeDtypeStruct((3, 2), jnp.float32),
        "b": jax.ShapeDtypeStruct((4,), jnp.float32),
        "new": jax.ShapeDtypeStruct((), jnp.int32),
    }
    found = manifest.differences(wanted, held, exact=False)
    assert found == [
        "a is float32(2, 3), expected float32(3, 2)",
        "b is bfloat16(4,), expected float32(4,)",
        "new is missing",
    ]
    exact = manifest.differences(wanted, held, exact=True)
    assert exact == [*found, "step is not of this config"]
