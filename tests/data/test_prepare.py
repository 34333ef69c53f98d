import pytest

from cbda_jax.data import prepare
from cbda_jax.data.datasets.declared import builder_of
from cbda_jax.data.datasets.gtav import GTAV
from cbda_jax.data.datasets.synthetic_city.builder import SyntheticCity
from cbda_jax.errors import InputError


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(prepare, "_BUILDERS", dict(prepare._BUILDERS))


def test_the_projects_own():
    assert {"cityscapes", "gtav", "synthetic_city", "synthia"} < {*prepare.known_datasets()}
    for name in prepare.known_datasets():
        assert prepare.builder_class(name).name == name


def test_data_sets_are_registered_or_named_by_import_path():
    path = "cbda_jax.data.datasets.gtav:GTAV"
    assert prepare.builder_class(path) is builder_of(GTAV) is prepare.builder_class(GTAV)
    prepare.register_dataset("game", GTAV)
    prepare.register_dataset("game", GTAV)
    prepare.register_dataset("drawn", "cbda_jax.data.datasets.synthetic_city.builder:SyntheticCity")
    assert prepare.builder_class("game") is builder_of(GTAV)
    assert prepare.builder_class("drawn") is SyntheticCity
    with pytest.raises(InputError, match="data set 'game': a taken name found"):
        prepare.register_dataset("game", SyntheticCity)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gtaw", "data set: 'gtaw' found, expected one of .* cityscapes, .*; did you mean 'gtav'"),
        ("cbda_jax.data.datasets.gtav:GTAW", "found, expected an object .*; did you mean 'GTAV'"),
        ("cbda_jax.data.datasets.synthia:SYNTHIA_IDS", "found, expected a cbda_jax.data.declar"),
        ("no_such_module:Any", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_what_is_no_data_set(name, message):
    with pytest.raises(InputError, match=message):
        prepare.builder_class(name)


def test_options_are_the_fields_of_the_config(tmp_path):
    options = ("root", "size", "label_space", "files", "mapping", "native_labels", "label_size")
    assert prepare.builder_options("gtav") == options
    assert "root" not in prepare.builder_options("synthetic_city")
    builder = prepare.create_builder("synthetic_city", data_dir=tmp_path, size=(40, 72), seed=None)
    assert (builder.builder_config.height, builder.builder_config.width) == (40, 72)
    with pytest.raises(InputError, match=r"an option 'sise' found, .*; did you mean 'size'\?"):
        prepare.create_builder("gtav", data_dir=tmp_path, sise=(4, 4))
    assert list(tmp_path.iterdir()) == []
