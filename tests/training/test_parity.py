"""Four optimisation steps of DeepLab-v2, loss by loss those of the reference in PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cbda_jax import models, sharding, training


@pytest.mark.slow
def test_four_steps_of_deeplabv2(golden, reference_weights, monkeypatch):
    # The golden images are normalised already.
    monkeypatch.setattr(models, "normalize", lambda images: images)
    values, checkpoint = golden("deeplabv2_sgd"), golden("deeplabv2_resnet101")
    model = nnx.eval_shape(lambda: models.create_model("deeplabv2_resnet101", 19, rngs=nnx.Rngs(0)))
    models.load_torch_weights(model, reference_weights(checkpoint["keys"], checkpoint["shapes"]))
    graphdef, params, frozen = nnx.split(model, nnx.Param, ...)
    optimizer = training.create_optimizer(
        "sgd",
        training.poly_schedule(2.5e-4, power=0.9, steps=62_500),
        head_multiplier=10.0,
        is_head=models.is_head,
        momentum=0.9,
        weight_decay=5e-4,
    )
    # Two devices: one source and one target image each.
    mesh = sharding.make_mesh(jax.devices()[:2])
    state = training.TrainState(jnp.int32(0), params, frozen, jax.jit(optimizer.init)(params))
    state = sharding.replicate(mesh, state)
    step = training.make_train_step(
        graphdef, optimizer, mesh, seed=0, weights=training.LossWeights()
    )
    for number in range(4):
        batch = training.Batch(
            *(
                training.Examples(
                    np.moveaxis(values[f"{domain}_images"][number], 1, -1),
                    values[f"{domain}_labels"][number],
                )
                for domain in ("source", "target")
            )
        )
        state, losses = step(state, sharding.shard_batch(mesh, batch))
        found = [
            losses["cross_entropy_source"],
            losses["cross_entropy_target"],
            0.1 * losses["local_consistency"],
            losses["negative_learning"],
        ]
        np.testing.assert_allclose(found, values["losses"][number], rtol=1e-4)
