"""Predictions of Cityscapes' test split are what its server takes, by its own scripts' rules."""

import numpy as np
import pytest
import tiny
import waiting
from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import CArgs, getPrediction
from cityscapesscripts.helpers.labels import labels
from PIL import Image

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.run import experiment, predictor
from configs import synthetic

FRAMES = ("berlin_000000_000019", "berlin_000001_000019", "mainz_000001_036412")
SIZE = (1024, 2048)
EVALUATED = {label.id for label in labels if not label.ignoreInEval}


def write_tree(root):
    """`leftImg8bit/test/CITY/...`, and the empty labels that are published with it."""
    row = np.linspace(0, 255, SIZE[1]).astype(np.uint8)
    for number, frame in enumerate(FRAMES):
        image = np.stack([np.roll(row, 99 * number), row[::-1], row // 2], axis=-1)
        city = frame.partition("_")[0]
        for folder, ending, pixels in (
            ("leftImg8bit", "leftImg8bit", np.broadcast_to(image, (*SIZE, 3))),
            ("gtFine", "gtFine_labelIds", np.zeros(SIZE, np.uint8)),
        ):
            path = root / folder / "test" / city / f"{frame}_{ending}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).save(path, compress_level=1)


def config_of(folder):
    config = synthetic.get_config("method=ripu,steps=4")
    config.data.root, config.data.dir = str(folder / "files"), str(folder / "prepared")
    for split in ("source_train", "target_train", "target_val", "target_test"):
        config.data.synthetic_city[split] = 1
    config.data.source_size = config.data.target_size = (32, 64)
    config.data.source_batch = config.data.target_batch = 1
    config.acquisition.batch_per_device = config.evaluation.batch_per_device = 1
    config.training.optimizer = "sgd"
    config.acquisition.rounds = (2,)
    config.evaluation.flip = False
    return config


@pytest.mark.parametrize("by", ["data.test", "--images"])
def test_names_ids_and_sizes(tmp_path, monkeypatch, by):
    tiny.use(monkeypatch)
    files = tmp_path / "files" / "cityscapes"
    write_tree(files)
    config = config_of(tmp_path)
    experiment.run(config, tmp_path / "run", until=1)
    images = None
    if by == "data.test":
        config.data.test = "cityscapes/test"
    else:
        images = files / "leftImg8bit" / "test"
    predictor.predict(config, tmp_path / "run", images, tmp_path / "out")
    found = sorted((tmp_path / "out" / "labels").rglob("*.png"))
    assert len(found) == len(FRAMES)
    given = CArgs()
    given.predictionPath, given.predictionWalk = str(tmp_path / "out" / "labels"), None
    for frame, path in zip(FRAMES, found, strict=True):
        # It ends the process where there is none, or more than one.
        assert getPrediction(given, f"{frame}_gtFine_labelIds.png") == str(path)
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", SIZE[::-1])
            values = {*np.unique(np.asarray(image)).tolist()}
        assert len(values) > 1
        assert values <= EVALUATED


def test_the_values_are_those_of_the_data_set_that_is_predicted():
    """A run on BDD100K, whose files hold train ids, predicts Cityscapes in Cityscapes' ids."""
    config = config_of(waiting.ROOT)
    config.data.target, config.data.test = "bdd100k/train", "cityscapes/test"
    assert predictor.encoding_of(config, "test", CITYSCAPES_19) == LABEL_IDS
    written = {
        role: predictor.encoding_of(config, role, CITYSCAPES_19).inverse(CITYSCAPES_19)[:19]
        for role in ("target", "test")
    }
    assert written["target"].tolist() == [*range(19)]
    assert {*written["test"].tolist()} == EVALUATED
