import jax
import numpy as np
import pytest
from flax import nnx
from networks import checkpoint, shapes

from cbda_jax import models

TORCHVISION = "feature_extractor.backbone."


@pytest.mark.parametrize("name", ["deeplabv2_resnet101", "deeplabv3plus_resnet101"])
def test_the_table_is_the_reference_state_dict(name, golden):
    values = golden(name)
    ours = checkpoint(shapes(name))
    assert set(ours) == {str(key) for key in values["keys"]}
    for key, shape in zip(values["keys"], values["shapes"], strict=True):
        assert str(list(ours[str(key)].shape)) == str(shape)


def test_torchvision_fills_the_backbone_and_leaves_the_head():
    model = shapes("deeplabv2_resnet101")
    content = {
        name.removeprefix(TORCHVISION): value
        for name, value in checkpoint(model).items()
        if name.startswith(TORCHVISION)
    }
    conv1 = np.random.default_rng(0).standard_normal((64, 3, 7, 7)).astype(np.float32)
    content |= {"conv1.weight": conv1, "fc.weight": np.zeros((1000, 2048)), "fc.bias": conv1[0]}
    models.load_torch_weights(model, content)
    kernel = model.backbone.conv1.kernel.get_value()
    np.testing.assert_array_equal(kernel, conv1.transpose(2, 3, 1, 0))
    assert all(
        isinstance(variable.get_value(), jax.ShapeDtypeStruct)
        for _, variable in nnx.to_flat_state(nnx.state(model.head))
    )
