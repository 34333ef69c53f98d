import json

import jax
import numpy as np
import pytest
from flax import nnx
from networks import shapes

from cbda_jax import models
from cbda_jax.errors import InputError
from cbda_jax.models import weights

TORCHVISION = "feature_extractor.backbone."


def test_efficientnet_lite0_fills_the_backbone_and_leaves_the_head(golden):
    model = shapes("deeplabv3plus_efficientnet_lite0")
    entries = [entry for entry in weights.table(model) if entry.path[0] == "backbone"]
    variables = [path for path, _ in nnx.to_flat_state(nnx.state(model.backbone))]
    assert sorted(str(("backbone", *path)) for path in variables) == sorted(
        str(entry.path) for entry in entries
    )
    values = golden("efficientnet_lite0")
    content = {
        str(key): np.broadcast_to(np.float32(0.5), json.loads(str(shape)))
        for key, shape in zip(values["keys"], values["shapes"], strict=True)
    }
    content["_bn0.num_batches_tracked"] = np.int64(3)
    models.load_torch_weights(model, content)
    assert {float(x.max()) for x in jax.tree.leaves(nnx.state(model.backbone))} == {0.5}
    assert isinstance(model.head.classify.kernel.get_value(), jax.ShapeDtypeStruct)
    del content["_blocks.3._bn1.weight"]
    content["_blocks.3._se_reduce.weight"] = np.zeros((6, 144, 1, 1), np.float32)
    with pytest.raises(InputError, match=r"1 missing: _blocks\.3\._bn1\.weight; 1 unknown: .*_se_"):
        models.load_torch_weights(model, content)
