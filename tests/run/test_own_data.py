"""Runs over data sets that a config declares, and what is said before they start."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import own_data
import pytest
import tiny
from PIL import Image

from cbda_jax.annotation import QueryLog
from cbda_jax.data.datasets import folders, sources
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.run import experiment


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    tiny.use(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    own_data.write(tmp_path / "files" / "yard")
    return tmp_path


def refused(config, folder, message, **named):
    with pytest.raises(InputError, match=message) as error:
        experiment.run(config, folder / "run", **named)
    assert "\n" not in str(error.value)
    assert not (folder / "run").exists()


def test_a_run_from_files_to_report(folder, capsys):
    config, workdir = own_data.config_of(folder), folder / "run"
    experiment.run(config, workdir)
    files = [workdir / name for name in ("result.json", "config.json")]
    # A parser that takes no NaN.
    result, _ = (json.loads(path.read_text(), parse_constant=pytest.fail) for path in files)
    assert {*result["evaluation"]["iou"]} == {*own_data.CLASSES}
    (queries,) = QueryLog(workdir / "queries").rounds
    assert queries.image_ids == ("day_0/0", "day_0/2", "day_1/1")
    assert (workdir / "report" / "index.html").exists()
    # Predictions of the test split are in the values of its files.
    experiment.run(config, workdir, mode="evaluate")
    (written,) = workdir.glob("evaluations/*/predictions/day_0/0_pred.png")
    assert {*np.unique(np.asarray(Image.open(written)))} <= {*own_data.VALUES}
    # The files may go; a changed file may not.
    assert "finished" not in capsys.readouterr().err
    shutil.rmtree(folder / "files")
    experiment.run(config, workdir)
    assert "this run has finished" in capsys.readouterr().err


def test_files_are_looked_through_once_a_start(folder, monkeypatch):
    config = own_data.config_of(folder)
    experiment.run(config, folder / "run", until=1)
    looked = []

    def difference(directory, *given):
        looked.append(str(directory))
        return sources.difference(directory, *given)

    monkeypatch.setattr(
        folders, "sources", SimpleNamespace(**{**vars(sources), "difference": difference})
    )
    experiment.run(config, folder / "run", until=2)
    # Four roles are splits of two prepared folders, that of the source and that of the others.
    assert len(looked) == len({*looked}) == 2


def test_another_declaration_is_another_run(folder):
    config = own_data.config_of(folder)
    experiment.run(config, folder / "run", until=1)
    changed = own_data.config_of(folder, void=[0, 255])
    with pytest.raises(
        InputError, match=r"data\.declared\.yard\.void: \[0\] there, \[0, 255\] now"
    ):
        experiment.run(changed, folder / "run")


def test_changed_files_are_noticed_before_anything_is_done(folder):
    config = own_data.config_of(folder)
    experiment.run(config, folder / "run", until=1)
    before = sorted(path for path in (folder / "run").rglob("*"))
    label = folder / "files" / "yard" / "test_ids" / "day_0" / "0.png"
    Image.fromarray(np.full((32, 48), 3, np.uint8)).save(label)
    with pytest.raises(InputError, match=r"data\.t.* since then 1 changed \(test_ids/day_0/0\.png"):
        experiment.run(config, folder / "run")
    assert sorted(path for path in (folder / "run").rglob("*")) == before


@pytest.mark.parametrize(
    ("field", "value"), [("data.test", "yard/pool"), ("data.target", "yard/pool")]
)
def test_a_split_without_labels_is_told_where_they_are_needed(folder, field, value):
    own_data.write(folder / "files" / "yard", splits=["pool"])
    splits = {
        name: {"images": f"{name}/{{day}}/{{id}}.jpg", "labels": f"{name}_ids/{{day}}/{{id}}.png"}
        for name in ("train", "val")
    }
    splits["pool"] = {"images": "pool/{day}/{id}.jpg"}
    config = own_data.config_of(folder, splits=splits)
    config.data.test = "yard/val"
    config.update_from_flattened_dict({field: value})
    refused(config, folder, f"{field}: 'yard/pool' with 3 images without labels found, expected")


@pytest.mark.parametrize("value", [0, 3])
def test_placeholders_for_labels_are_told(folder, value, capsys):
    for path in (folder / "files" / "yard" / "test_ids").rglob("*.png"):
        Image.fromarray(np.full((32, 48), value, np.uint8)).save(path)
    config = own_data.config_of(folder)
    if value == own_data.VOID:
        refused(config, folder, "data.test: 'yard/test' with 3 images whose labels are void every")
    else:
        experiment.run(config, folder / "run", until=1)
        assert "all labelled pixels of 'yard/test' are of one class, 'grass'" in (
            capsys.readouterr().err
        )


def test_values_that_nobody_declared(folder):
    config = own_data.config_of(folder, void=[])
    refused(config, folder, r"_ids/day_\d/\d\.png: .* 0 \(\d+ pixels\)")
    assert not list((folder / "prepared").glob("yard/*/1.0.0"))


def test_a_split_that_is_not_there(folder):
    shutil.rmtree(folder / "files" / "yard" / "test")
    shutil.rmtree(folder / "files" / "yard" / "test_ids")
    refused(
        own_data.config_of(folder),
        folder,
        r"data\.test: 'yard/test' found, expected one of the splits train, val of yard, or images "
        r"like test/\{day\}/\{id\}\.\{jpg\|png\} in its folder",
    )


def test_drawn_scenes_as_source_by_a_mapping(folder):
    config = own_data.config_of(folder)
    config.data.source = "synthetic_city/source_train"
    for split in ("source_train", "target_train", "target_val", "target_test"):
        config.data.synthetic_city[split] = 2
    refused(config, folder, "data.source: .* or map the classes by name")
    config.data.source_mapping = {"vegetation": "grass", "terrain": "grass", "road": "path"}
    refused(config, folder, "class mapping: nothing for 'sidewalk', 'building', .* or None for")
    mapping = dict.fromkeys(CITYSCAPES_19.classes)
    mapping |= {"vegetation": "grass", "terrain": "grass", "road": "path", "building": "shed"}
    config.data.source_mapping = mapping
    experiment.run(config, folder / "run", until=1)
