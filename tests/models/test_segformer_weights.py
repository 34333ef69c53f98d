import jax
import numpy as np
from networks import checkpoint, shapes

from cbda_jax import models

TORCHVISION = "feature_extractor.backbone."


def test_encoder_of_segformer():
    model = shapes("segformer_b0")
    content = {k: v for k, v in checkpoint(model).items() if not k.startswith("decode_head")}
    content |= {"classifier.weight": np.zeros((1000, 256)), "classifier.bias": np.zeros(1000)}
    models.load_torch_weights(model, content)
    assert isinstance(model.backbone.stages[3].norm.scale.get_value(), jax.Array)
    assert isinstance(model.head.fuse.get_value(), jax.ShapeDtypeStruct)
