"""What a run takes of weights: files and other runs, of its classes and of others."""

import jax
import numpy as np
import published
import pytest
import safetensors.numpy
import tiny
from flax import nnx

from cbda_jax import models, sharding
from cbda_jax.checkpoints import Checkpoints
from cbda_jax.data.datasets.camvid import CLASSES, OF_CITYSCAPES
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, SYNTHIA_16
from cbda_jax.models import registry, torch_names
from cbda_jax.run import assembly, experiment, pretrained, trained, workdir
from configs import synthetic

CITY = CITYSCAPES_19.classes


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """A network with a torch counterpart that is loaded in no time."""

    def table(model):
        yield from torch_names.conv("stem", ("backbone",))
        yield from torch_names.affine("logits", ("head",), torch_names.POINTWISE)

    def identify(arrays):
        if "stem.weight" not in arrays:
            return None
        return torch_names.count_classes(arrays.get("logits.bias"))

    monkeypatch.setattr(registry, "NETWORKS", dict(registry.NETWORKS))
    weights = models.TorchWeights(tiny.Tiny, table, identify)
    models.register_network("tiny", tiny.Tiny, weights=weights)


def config_of(classes=19, **fields):
    config = synthetic.get_config()
    config.network = "tiny"
    if classes == 11:
        config.label_space = "camvid"
    else:
        config.num_classes = classes
    config.update(fields)
    return config


def arrays_of(classes):
    """Weights whose row of a class holds the class's number plus one."""
    arrays = {"stem.weight": np.full((16, 3, 3, 3), 7, np.float32)}
    if classes:
        rows = np.arange(1, classes + 1, dtype=np.float32)
        arrays["logits.bias"] = rows
        arrays["logits.weight"] = np.broadcast_to(rows[:, None, None, None], (classes, 16, 1, 1))
    return arrays


@pytest.fixture
def file(tmp_path):
    def write(classes):
        path = tmp_path / f"{classes}.safetensors"
        content = {n: np.ascontiguousarray(v) for n, v in arrays_of(classes).items()}
        safetensors.numpy.save_file({f"model.{n}": v for n, v in content.items()}, path)
        return str(path)

    return write


def start(config, **options):
    """What a run would start from: the numbers of its classes' rows, 0 for random ones; notes."""
    space = pretrained.data_sets.space(config)

    def create(classes):
        return models.create_model(config.network, classes, rngs=nnx.Rngs(3))

    model = jax.jit(lambda: create(space.num_classes))()
    found = pretrained.load(config, model, create, **options)
    assert {*np.asarray(model.backbone.kernel[...]).flat} == {7}
    kernel, bias = np.asarray(model.head.kernel[...]), np.asarray(model.head.bias[...])
    whole = (kernel == bias).all(axis=0) & (bias > 0)
    rows = dict(zip(space.classes, np.where(whole, bias, 0).tolist(), strict=True))
    assert [name for name, row in rows.items() if not row] == [*found.random]
    return rows, found.notes


def test_a_file_of_as_many_classes_is_taken_with_a_note(file):
    rows, notes = start(config_of(pretrained=file(19)))
    assert [*rows.values()] == [*range(1, 20)]
    assert "its 19 classes are taken to be those of the run in their order (road," in notes[0]
    rows, notes = start(config_of(pretrained=file(19), pretrained_classes="cityscapes_19"))
    assert [*rows.values()] == [*range(1, 20)]
    assert notes == ("a checkpoint of tiny: taken as a whole",)


def test_of_another_number_of_unknown_classes_the_backbone_alone(file):
    rows, notes = start(config_of(16, pretrained=file(19)))
    assert not any(rows.values())
    assert "the backbone is taken, and not the head of 19 classes" in notes[0]
    assert "pretrained_classes says it" in notes[0]


def test_19_classes_to_16_by_name(file):
    config = config_of(16, pretrained=file(19), pretrained_classes="cityscapes_19")
    rows, notes = start(config)
    assert rows == {name: CITY.index(name) + 1 for name in SYNTHIA_16.classes}
    assert "16 of 16 classes take the row of their name" in notes[0]


def test_16_classes_to_19_by_name(file):
    config = config_of(pretrained=file(16), pretrained_classes="synthia_16")
    rows, notes = start(config)
    assert [name for name, row in rows.items() if not row] == ["terrain", "truck", "train"]
    assert "at random start terrain, truck, train" in notes[0]


@pytest.mark.parametrize("field", ["pretrained_mapping", "data.source_mapping"])
def test_19_classes_to_those_of_camvid(file, field):
    config = config_of(11, pretrained=file(19), pretrained_classes="cityscapes_19")
    config.update_from_flattened_dict({field: OF_CITYSCAPES})
    rows, notes = start(config)
    place = {name: CITY.index(name) + 1 for name in CITY}
    assert rows["pavement"] == place["sidewalk"]
    assert rows["sky"] == place["sky"]
    assert rows["tree"] == (place["vegetation"] + place["terrain"]) / 2
    assert all(rows.values())
    assert "6 of 11 classes take the row of their name" in notes[0]
    assert "tree from vegetation and terrain" in notes[0]


def test_what_labels_of_the_source_are_void_keeps_its_weights(file):
    config = config_of(16, pretrained=file(19), pretrained_classes="cityscapes_19")
    config.data.source_mapping = {"wall": None, "fence": "wall", "terrain": "vegetation"}
    rows, _ = start(config)
    assert rows == {name: CITY.index(name) + 1 for name in SYNTHIA_16.classes}
    config.pretrained_mapping = {"wall": None}
    rows, _ = start(config)
    assert [name for name, row in rows.items() if not row] == ["wall"]


def test_classes_without_a_name_in_common_leave_the_head(file):
    config = config_of(pretrained=file(3), pretrained_classes="yard")
    config.data.declared.yard = {
        "classes": ["grass", "path", "shed"],
        "splits": ["train"],
        "images": "{id}.png",
    }
    rows, notes = start(config)
    assert not any(rows.values())
    assert "none of its classes (grass, path, shed) is one of the run's" in notes[0]


def test_only_the_backbone_where_it_is_asked_for(file):
    for path in (file(19), file(16), file(0)):
        rows, notes = start(config_of(pretrained=path, pretrained_part="backbone"))
        assert not any(rows.values())
        assert "the backbone is taken" in notes[0]


@pytest.mark.parametrize(
    ("classes", "said", "random"),
    [(0, "", "road, sidewalk"), (16, "", "road, sidewalk"), (16, "synthia_16", "terrain, truck")],
)
def test_all_refuses_what_leaves_a_class_random(file, classes, said, random):
    config = config_of(pretrained=file(classes), pretrained_classes=said)
    for fields, options, why in (
        ({"pretrained_part": "all"}, {}, "pretrained_part is 'all'"),
        ({}, {"whole": True}, "it is to predict without training"),
    ):
        config.pretrained_part = "auto"
        config.update(fields)
        with pytest.raises(InputError, match=f"without logits of {random}.*{why}") as error:
            start(config, **options)
        assert "\n" not in str(error.value)


def test_classes_that_are_said_wrong(file):
    config = config_of(pretrained=file(16), pretrained_classes="cityscapes_19")
    with pytest.raises(InputError, match="'cityscapes_19' of 19 classes found, expected the 16"):
        start(config)
    config.pretrained_classes = "citiscapes_19"
    with pytest.raises(
        InputError, match=r"pretrained_classes: 'citiscapes_19' found.*did you mean"
    ):
        start(config)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"sidewalk": "pavment"}, "'pavment' found, expected a class of the run: .*'pavement'"),
        ({"sidwalk": "pavement"}, "'sidwalk' found, expected a class of the weights: .*'sidewalk'"),
    ],
)
def test_a_mapping_with_a_slip(file, mapping, message):
    config = config_of(11, pretrained=file(19), pretrained_classes="cityscapes_19")
    config.pretrained_mapping = mapping
    with pytest.raises(InputError, match=f"pretrained_mapping: {message}"):
        start(config)


def test_what_is_of_another_network_names_it(tmp_path):
    path = tmp_path / "mit.safetensors"
    arrays = published.numbers(published.mit())
    safetensors.numpy.save_file(arrays, path)
    with pytest.raises(InputError, match="for the network segformer_b0; set network to that one"):
        start(config_of(pretrained=str(path)))


def test_what_does_not_fit_leaves_no_trace(file, tmp_path):
    config = config_of(pretrained=file(19), network="segformer_b0")
    config.data.dir = str(tmp_path / "data")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="does not fit SegFormer"):
        experiment.run(config, tmp_path / "run")
    assert sorted(tmp_path.iterdir()) == before


def test_classes_that_are_said_wrong_are_told_before_a_run(file):
    config = config_of(pretrained=file(19), pretrained_classes="synthia_16")
    with pytest.raises(InputError, match="'synthia_16' of 16 classes found, expected the 19"):
        pretrained.check(config, lambda classes: tiny.Tiny(classes, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize("part", ["auto", "backbone"])
@pytest.mark.parametrize("said", ["", "cityscapes_19"])
def test_what_can_be_loaded_passes_the_check(file, part, said):
    config = config_of(16, pretrained=file(19), pretrained_part=part, pretrained_classes=said)
    pretrained.check(config, lambda classes: tiny.Tiny(classes, rngs=nnx.Rngs(0)))


@pytest.fixture
def run(tmp_path):
    """A run of so many classes, with one checkpoint of the numbers of `arrays_of`."""

    def write(classes, **fields):
        config = config_of(classes, **fields)
        folder = tmp_path / f"run_{classes}"
        workdir.claim(folder, config, write=True)
        mesh = sharding.make_mesh(jax.devices()[:1])
        network = assembly.create_network(config, classes, mesh)
        state = network.initial()
        model = nnx.merge(network.graphdef, state.params, state.frozen)
        models.load_torch_weights(model, arrays_of(classes))
        _, params, frozen = nnx.split(model, nnx.Param, ...)
        checkpoints = Checkpoints(folder / "checkpoints")
        checkpoints.save(0, state._replace(params=params, frozen=frozen))
        checkpoints.close()
        return str(folder)

    return write


def test_another_run_knows_its_classes(run):
    folder = run(19)
    rows, notes = start(config_of(pretrained=folder))
    assert [*rows.values()] == [*range(1, 20)]
    assert notes == ()
    rows, notes = start(config_of(16, pretrained=folder))
    assert rows == {name: CITY.index(name) + 1 for name in SYNTHIA_16.classes}
    assert "16 of 16 classes take the row of their name" in notes[0]
    config = config_of(11, pretrained=folder, pretrained_mapping=OF_CITYSCAPES)
    rows, notes = start(config)
    assert [*rows] == [*CLASSES]
    assert rows["pedestrian"] == CITY.index("person") + 1
    rows, notes = start(config_of(pretrained=folder, pretrained_part="backbone"))
    assert not any(rows.values())


def test_notes_are_said_once(file, capsys):
    config = config_of(16, pretrained=file(19))
    network = assembly.create_network(config, 16, sharding.make_mesh(jax.devices()[:1]))
    network.initial()
    network.initial()
    said = capsys.readouterr().err
    assert said.count("note: pretrained: a checkpoint of tiny: the backbone is taken") == 1
    with pytest.raises(InputError, match="without logits of road"):
        trained.load(config, 16, sharding.make_mesh(jax.devices()[:1]))
