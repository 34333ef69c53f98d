import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cbda_jax import evaluation, models, sharding, training
from cbda_jax.errors import InputError
from cbda_jax.resize import bilinear
from cbda_jax.run.evaluator import Evaluator

CLASSES = 5
INPUT, NATIVE = (64, 96), (80, 130)


class Tiny(nnx.Module):
    """Logits at stride 4, of any image."""

    def __init__(self):
        self.head = nnx.Conv(3, CLASSES, (7, 7), strides=4, padding=3, rngs=nnx.Rngs(2))

    def __call__(self, images, keys=None):
        return 3 * self.head(images)


@pytest.fixture(scope="module")
def model():
    return Tiny()


def pictures(count, size=INPUT):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, size=(count, size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def expected(model, images, sizes, flip):
    """All terms of the mean, one after another; in one program, which is compiled sooner."""

    @jax.jit
    def terms(images):
        found = []
        for size in sizes:
            for step in (1, -1) if flip else (1,):
                x = bilinear(models.normalize(images[:, :, ::step]), size)
                logits = bilinear(bilinear(model(x), INPUT), NATIVE)
                found.append(jax.nn.softmax(logits, axis=-1)[:, :, ::step])
        return found

    return np.mean(terms(images), axis=0)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("scales", "sizes"),
    [
        ((1.0,), [INPUT]),
        ((0.75,), [(64, 64)]),
        ((0.5, 1.0, 1.6), [(32, 64), INPUT, (96, 160)]),
    ],
)
def test_mean_over_scales_and_mirror_images(model, flip, scales, sizes):
    images = jnp.asarray(pictures(2))
    found = jax.jit(
        lambda images: evaluation.probabilities(model, images, NATIVE, flip=flip, scales=scales)
    )(images)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected(model, images, sizes, flip), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_scale_one_changes_no_bit(model, flip):
    def plain(images):
        def one(images):
            logits = bilinear(model(models.normalize(images)), INPUT)
            return jax.nn.softmax(bilinear(logits, NATIVE), axis=-1)

        if not flip:
            return one(images)
        return (one(images) + one(images[:, :, ::-1])[:, :, ::-1]) / jnp.float32(2)

    images = jnp.asarray(pictures(2))
    for scales in ((1.0,), None):
        options = {} if scales is None else {"scales": scales}
        found = jax.jit(
            lambda images, options=options: evaluation.probabilities(
                model, images, NATIVE, flip=flip, **options
            )
        )(images)
        np.testing.assert_array_equal(found, jax.jit(plain)(images))


@pytest.mark.parametrize(
    ("size", "scale", "scaled"),
    [
        ((640, 1280), 0.75, (480, 960)),
        ((640, 1280), 1.25, (800, 1600)),
        ((720, 1280), 1.0, (720, 1280)),
        ((720, 1280), 0.75, (544, 960)),
        ((24, 40), 0.5, (32, 32)),
    ],
)
def test_sizes_that_the_network_sees(size, scale, scaled):
    seen = []

    def network(images):
        seen.append(images.shape[1:3])
        return images

    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    jax.eval_shape(
        lambda x: evaluation.probabilities(network, x, size, flip=False, scales=(scale,)), images
    )
    assert set(seen) == {scaled}


def test_memory_does_not_grow_with_the_scales(model):
    size = (256, 512)

    def bytes_of(scales):
        images = jax.ShapeDtypeStruct((1, 64, 128, 3), jnp.uint8)
        compiled = (
            jax.jit(lambda x: evaluation.probabilities(model, x, size, flip=True, scales=scales))
            .lower(images)
            .compile()
        )
        memory = compiled.memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    one_map = size[0] * size[1] * CLASSES * 4
    assert bytes_of((0.5, 0.75, 1.0, 1.25)) < bytes_of((0.5, 1.0)) + one_map / 2


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -0.5), (float("inf"),), (float("nan"),)])
def test_scales_must_be_positive_numbers(model, scales):
    images = jnp.asarray(pictures(1))
    with pytest.raises(InputError, match=r"evaluation.scales: \(.*\) found, expected one or more"):
        evaluation.probabilities(model, images, NATIVE, flip=False, scales=scales)
    graphdef, _ = nnx.split(model)
    with pytest.raises(InputError, match=r"evaluation.scales"):
        evaluation.make_evaluate_step(
            graphdef, sharding.make_mesh(), num_classes=CLASSES, flip=False, scales=scales
        )


class Pictures:
    """Eleven labelled images, which eight devices cannot share evenly."""

    ids = tuple(f"image{i}" for i in range(11))
    sizes = np.tile(np.array(NATIVE, np.int32), (11, 1))
    images = pictures(11)
    labels = np.random.default_rng(1).choice([0, 1, 2, 3, 4, 255], (11, *NATIVE)).astype(np.uint8)

    def __len__(self):
        return len(self.ids)

    def image(self, index):
        return self.images[index]

    def label(self, index):
        return self.labels[index]


@pytest.mark.parametrize(("devices", "batch"), [(1, 1), (4, 4)])
def test_an_image_counts_at_the_size_of_its_own_label(devices, batch):
    class Mixed(Pictures):
        def __init__(self):
            sizes = [NATIVE, (20, 50), NATIVE, (33, 31), (20, 50), *6 * [NATIVE]]
            self.sizes = np.array(sizes, np.int32)

        def label(self, index):
            height, width = self.sizes[index]
            return np.resize(self.labels[index], (height, width))

    optimizer = training.create_optimizer(
        "sgd", lambda _: np.float32(0.1), head_multiplier=1.0, is_head=models.is_head
    )
    graphdef, state = training.create_state(Tiny, optimizer)
    mesh = sharding.make_mesh(jax.devices()[:devices])
    records, predictions, handed, judged = Mixed(), {}, [], {}
    evaluator = Evaluator(graphdef, mesh, num_classes=CLASSES, flip=True, batch=batch)
    confusion = evaluator.confusion(
        sharding.replicate(mesh, state),
        records,
        keep=predictions.__setitem__,
        judge=lambda index, *pair: judged.setdefault(index, pair),
        done=handed.append,
    )
    for index, (label, prediction) in judged.items():
        np.testing.assert_array_equal(label, records.label(index))
        np.testing.assert_array_equal(prediction, predictions[index])
    assert len(judged) == 11
    assert evaluator.program._cache_size() == 3
    assert sum(handed) == 11
    model = nnx.merge(graphdef, state.params, state.frozen)
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    for index in range(11):
        label, image = records.label(index), jnp.asarray(records.image(index))[None]
        p = evaluation.probabilities(model, image, label.shape, flip=True)
        best = np.asarray(jnp.argmax(p[0], axis=-1))
        found = predictions.pop(index)
        assert (found.shape, found.dtype) == (label.shape, np.uint8)
        assert (found != best).mean() < 1e-3  # classes that are equally probable to rounding
        known = label != 255
        np.add.at(counts, (label[known], found[known]), 1)
    assert not predictions
    np.testing.assert_array_equal(confusion, counts)


def test_evaluator_counts_what_the_probabilities_say():
    optimizer = training.create_optimizer(
        "sgd", lambda _: np.float32(0.1), head_multiplier=1.0, is_head=models.is_head
    )
    graphdef, state = training.create_state(Tiny, optimizer)
    mesh = sharding.make_mesh()
    records, scales = Pictures(), (0.5, 1.0)
    evaluator = Evaluator(
        graphdef, mesh, num_classes=CLASSES, flip=True, scales=scales, batch=mesh.size
    )
    # The average of the parameters predicts where there is one.
    averaged = state._replace(params=jax.tree.map(jnp.zeros_like, state.params), ema=state.params)
    predictions, handed = {}, []
    confusion = evaluator.confusion(
        sharding.replicate(mesh, averaged),
        records,
        keep=predictions.__setitem__,
        done=handed.append,
    )
    model = nnx.merge(graphdef, state.params, state.frozen)

    @jax.jit
    def best_classes(images):
        found = [
            evaluation.probabilities(model, images, NATIVE, flip=True, scales=one)
            for one in (scales, (1.0,))
        ]
        return [jnp.argmax(p, axis=-1) for p in found]

    best, plain = map(np.asarray, best_classes(jnp.asarray(records.images)))
    assert sorted(predictions) == list(range(11))
    assert sum(handed) == 11
    found = np.stack([predictions[i] for i in range(11)])
    assert (found != best).mean() < 1e-4  # classes that are equally probable to rounding
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    known = records.labels != 255
    np.add.at(counts, (records.labels[known], found[known]), 1)
    np.testing.assert_array_equal(confusion, counts)
    # The scales matter to these images.
    assert (plain != best).mean() > 0.01
