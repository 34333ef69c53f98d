"""Random keys by image: the same however many devices share the batch, and apart by stream."""

import jax
import numpy as np
import pytest

from cbda_jax import sharding
from cbda_jax.training import Augment
from cbda_jax.training.batch import Batch, Examples, Stream, augmented, image_keys


def _batch(count=8):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 6, 8, 3)).astype(np.uint8)
    labels = rng.integers(0, 19, (count, 6, 8)).astype(np.uint8)
    return Batch(Examples(images, labels), None)


def _keys(devices, stream, root=0):
    mesh = sharding.make_mesh(jax.devices()[:devices])

    def function(batch, root):
        return jax.random.key_data(image_keys(batch, root, stream).source)

    mapped = sharding.per_replica(
        function,
        mesh,
        in_specs=(sharding.BATCH, sharding.REPLICATED),
        out_specs=sharding.BATCH,
    )
    return np.asarray(mapped(sharding.shard_batch(mesh, _batch()), jax.random.key(root)))


def test_keys_do_not_depend_on_the_devices_and_no_two_are_the_same():
    keys = _keys(1, Stream.DROPOUT)
    np.testing.assert_array_equal(_keys(4, Stream.DROPOUT), keys)
    others = [keys, _keys(1, Stream.AUGMENTATION), _keys(1, Stream.DROPOUT, root=1)]
    assert len(np.unique(np.concatenate(others), axis=0)) == 3 * 8


def test_a_domain_that_rests_has_no_keys():
    mesh = sharding.make_mesh(jax.devices()[:1])
    mapped = sharding.per_replica(
        lambda batch: image_keys(batch, jax.random.key(0), Stream.DROPOUT).target is None,
        mesh,
        in_specs=(sharding.BATCH,),
        out_specs=sharding.REPLICATED,
    )
    assert mapped(sharding.shard_batch(mesh, _batch()))


def test_without_a_setting_nothing_is_augmented():
    batch = _batch()
    assert augmented(batch, jax.random.key(0), Augment()) is batch


@pytest.mark.parametrize("devices", [2])
def test_what_is_augmented_keeps_its_shape_and_void(devices):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    batch = _batch()
    mapped = sharding.per_replica(
        lambda batch: augmented(batch, jax.random.key(0), Augment(colour=0.5)),
        mesh,
        in_specs=(sharding.BATCH,),
        out_specs=sharding.BATCH,
    )
    found = mapped(sharding.shard_batch(mesh, batch))
    assert found.target is None
    assert found.source.image.shape == batch.source.image.shape
    np.testing.assert_array_equal(found.source.label, batch.source.label)
    assert (np.asarray(found.source.image) != batch.source.image).any()
