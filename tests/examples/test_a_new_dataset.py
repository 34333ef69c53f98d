import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from cbda_jax import label_space
from cbda_jax.data import prepare
from cbda_jax.run import experiment
from configs import synthetic

PROGRAM = Path(__file__).parents[2] / "examples" / "a_new_dataset.py"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setattr(label_space, "_SPACES", dict(label_space._SPACES))
    monkeypatch.setattr(prepare, "_BUILDERS", dict(prepare._BUILDERS))
    spec = importlib.util.spec_from_file_location("a_new_dataset", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "a_new_dataset", module)
    spec.loader.exec_module(module)
    return module


def config_of(folder):
    config = synthetic.get_config("method=ripu,steps=2")
    config.label_space, config.num_classes = "a_new_dataset:SHAPES", 4
    config.data.root, config.data.dir = str(folder / "files"), str(folder / "prepared")
    config.data.source = "a_new_dataset:Shapes/drawn"
    config.data.target = "shapes/photographed"
    config.data.val = config.data.test = "a_new_dataset:Shapes/val"
    config.data.source_size = config.data.target_size = (64, 96)
    # Of the optimizers, the one that keeps types as strictly as the tests do.
    config.training.optimizer = "sgd"
    config.acquisition.rounds = (1,)
    config.acquisition.batch_per_device = config.evaluation.batch_per_device = 1
    config.evaluation.every = 0
    config.data.source_batch = config.data.target_batch = 1
    config.evaluation.flip = False
    return config


@pytest.mark.timeout(300)
def test_a_new_dataset_is_prepared(program, tmp_path, capsys):
    program.main(tmp_path)
    out = capsys.readouterr().out
    assert "4 images of label space shapes_4" in out
    shares = [float(line.split()[1]) for line in out.splitlines()[-4:]]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert min(shares) > 1


@pytest.mark.timeout(500)
@pytest.mark.slow
def test_a_run_on_it(program, tmp_path, monkeypatch):
    tiny.use(monkeypatch)
    program.write_files(tmp_path / "files" / "shapes")
    config, workdir = config_of(tmp_path), tmp_path / "run"
    experiment.run(config, workdir)
    evaluation = json.loads((workdir / "result.json").read_text())["evaluation"]
    assert evaluation["iou"].keys() == {"table", "disc", "box", "stick"}
    assert list(evaluation["subsets"]) == ["round_or_square"]
    experiment.run(config, workdir, mode="evaluate")
    predictions = sorted(workdir.glob("evaluations/*/predictions/*"))
    assert [path.name for path in predictions] == [f"{i:03d}_pred.png" for i in range(4)]
    # In the data set's own numbers, the lowest of two that mean a class.
    for path in predictions:
        with Image.open(path) as image:
            assert set(np.unique(np.asarray(image)).tolist()) <= {10, 20, 30, 40}
