"""ResNet-101: its strides, its dilations, and what a block adds."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from networks import images

from cbda_jax import models
from cbda_jax.models import layers, resnet


def test_features_of_two_strides_and_rounded_sizes():
    model = nnx.eval_shape(lambda: resnet.ResNet101(dtype=jnp.bfloat16, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(model)
    features = jax.eval_shape(
        lambda state, x: nnx.merge(graphdef, state)(x),
        state,
        jax.ShapeDtypeStruct((2, 33, 50, 3), jnp.float32),
    )
    assert features.low.shape == (2, 9, 13, resnet.LOW_FEATURES)
    assert features.out.shape == (2, 5, 7, resnet.FEATURES)
    assert features.out.dtype == jnp.bfloat16


def test_the_last_stages_are_dilated_in_place_of_a_stride():
    model = nnx.eval_shape(lambda: resnet.ResNet101(rngs=nnx.Rngs(0)))
    assert [len(stage) for stage in model.stages] == [3, 4, 23, 3]
    dilations = [[block.conv2.kernel_dilation for block in stage] for stage in model.stages]
    assert dilations[2] == [1] + [2] * 22
    assert dilations[3] == [2, 4, 4]
    strides = [stage[0].conv2.strides for stage in model.stages]
    assert strides == [1, 2, 1, 1]


def test_a_block_adds_to_what_it_gets():
    block = jax.jit(lambda: resnet.Bottleneck(8, 2, 1, 1, dtype=jnp.float32, rngs=nnx.Rngs(0)))()
    assert len(block.downsample) == 0
    x = images(1, 4, 4, 8)
    assert float(jnp.abs(block(x) - nnx.relu(x)).max()) > 0
    block.bn3.scale[...] = jnp.zeros(8, jnp.float32)
    np.testing.assert_array_equal(block(x), nnx.relu(x))


def test_caffes_arithmetic():
    """AdaptSegNet's: the stride in the first convolution, one dilation a stage, an epsilon."""
    model = nnx.eval_shape(lambda: resnet.ResNet101(caffe=True, rngs=nnx.Rngs(0)))
    dilations = [{block.conv2.kernel_dilation for block in stage} for stage in model.stages]
    assert dilations == [{1}, {1}, {2}, {4}]
    assert [stage[0].conv1.strides for stage in model.stages] == [1, 2, 1, 1]
    assert {block.conv2.strides for stage in model.stages for block in stage} == {1}
    norms = [node for _, node in nnx.iter_graph(model) if isinstance(node, layers.FrozenBatchNorm)]
    assert len(norms) == 104
    assert {norm.epsilon for norm in norms} == {1e-5}


def test_caffes_images():
    """Blue first, 0 to 255, less the mean."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    found = resnet.caffe_images(models.normalize(jnp.asarray(pixels)))
    mean = np.float32((104.00698793, 116.66876762, 122.67891434))
    np.testing.assert_allclose(found, pixels[..., ::-1] - mean, atol=1e-4)
