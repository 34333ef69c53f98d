"""The network of a checkpoint alone, or of a file."""

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from tiny import Tiny

from cbda_jax import models, sharding
from cbda_jax.checkpoints import Checkpoints
from cbda_jax.errors import InputError
from cbda_jax.models import registry, torch_names
from cbda_jax.run import assembly, trained
from configs import synthetic

CLASSES = 5


@pytest.fixture
def config(monkeypatch):
    table = dict(registry.NETWORKS)
    weights = torch_names.TorchWeights(
        Tiny,
        lambda model: [
            *torch_names.as_ours(model.backbone, ("backbone",)),
            *torch_names.as_ours(model.head, ("head",)),
        ],
        lambda arrays: torch_names.count_classes(arrays.get("head.classify.bias")),
    )
    table["tiny"] = registry.Network(Tiny, weights)
    monkeypatch.setattr(registry, "NETWORKS", table)
    config = synthetic.get_config("method=ripu")
    config.network = "tiny"
    return config


def saved(config, folder, *, ema):
    """A run's checkpoint of step 3; with averaged weights, these are all 0.25."""
    config.training.ema = 0.9 if ema else 0.0
    network = assembly.create_network(config, CLASSES, sharding.make_mesh())
    state = network.create()
    if ema:
        state = state._replace(
            ema=jax.tree.map(lambda x: np.full(x.shape, 0.25, np.float32), state.ema)
        )
    state = state._replace(step=np.int32(3))
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save(3, sharding.replicate(sharding.make_mesh(), state))
    checkpoints.close()
    return state


@pytest.mark.parametrize("ema", [False, True])
def test_a_checkpoint_without_its_optimizer(config, tmp_path, ema):
    state = saved(config, tmp_path, ema=ema)
    one = sharding.make_mesh(jax.devices()[:1])
    # Whatever it was trained with.
    config.training.optimizer, config.training.ema = "sgd", 0.0
    found = trained.restore(config, tmp_path, CLASSES, one)
    assert int(found.state.step) == 3
    assert found.state.opt_state == ()
    jax.tree.map(np.testing.assert_array_equal, found.state.params, state.inference_params)
    leaf = jax.tree.leaves(found.state.params)[0]
    assert len(leaf.sharding.device_set) == 1
    assert isinstance(found.model, Tiny)
    # A copy: what is done to it does not come back.
    found.model.head = None
    assert found.model.head is not None


def test_of_other_classes(config, tmp_path):
    saved(config, tmp_path, ema=False)
    with pytest.raises(InputError, match="does not hold the network"):
        trained.restore(config, tmp_path, CLASSES + 1, sharding.make_mesh())


def test_where_there_is_neither_run_nor_weights(config, tmp_path):
    with pytest.raises(InputError, match="no run found"):
        trained.of(config, tmp_path, CLASSES, sharding.make_mesh())
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match=r"run.*no checkpoint found"):
        trained.restore(config, tmp_path / "run", CLASSES, sharding.make_mesh())


def test_weights_of_a_file(config, tmp_path):
    model = Tiny(CLASSES, rngs=nnx.Rngs(9))
    arrays = models.torch_weights(model)
    backbone = {name: array for name, array in arrays.items() if name.startswith("backbone")}
    for name, content in (("whole", arrays), ("half", backbone)):
        safetensors.numpy.save_file(content, tmp_path / f"{name}.safetensors")
    config.pretrained = str(tmp_path / "whole.safetensors")
    found = trained.of(config, tmp_path / "none", CLASSES, sharding.make_mesh())
    jax.tree.map(np.testing.assert_array_equal, nnx.state(found.model), nnx.state(model))
    config.pretrained = str(tmp_path / "half.safetensors")
    with pytest.raises(
        InputError, match=r"without logits of road, .*found.*, expected those of every class"
    ):
        trained.of(config, tmp_path / "none", CLASSES, sharding.make_mesh())
