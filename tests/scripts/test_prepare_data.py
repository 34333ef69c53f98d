import runpy

import numpy as np
import own_data
import pytest
import waiting
from PIL import Image

CONFIG = """
from cbda_jax.config import apply_argument, base


def get_config(argument=None):
    config = base()
    config.data.declared.yard = {
        "classes": {"grass": (40, 160, 40), "path": (170, 150, 120), "shed": (130, 60, 30)},
        "values": {"grass": 3, "path": 5, "shed": [9, 10]},
        "void": [0, 255],
        "splits": ["train", "val", "test"],
        "images": "{split}/{day}/{id}.{jpg|png}",
        "labels": "{split}_ids/{day}/{id}.png",
    }
    config.label_space = "yard"
    config.data.source, config.data.target = "yard/train", "yard/train"
    config.data.val, config.data.test = "yard/val", "yard/test"
    config.data.source_size = config.data.target_size = (32, 48)
    apply_argument(config, argument)
    return config
"""


@pytest.fixture
def main():
    return runpy.run_path(str(waiting.ROOT / "scripts" / "prepare_data.py"))["main"]


@pytest.fixture
def root(tmp_path):
    own_data.write(tmp_path / "files" / "yard")
    (tmp_path / "mine.py").write_text(CONFIG)
    return tmp_path / "files"


def arguments(root, *more):
    folder = root.parent
    return [
        f"--config={folder / 'mine.py'}",
        f"--root={root}",
        f"--data_dir={folder / 'data'}",
        *more,
    ]


def test_the_config_of_the_guide_is_the_one_that_is_tried():
    guide = (waiting.ROOT / "docs" / "guide" / "own_data.md").read_text()
    assert CONFIG.strip().replace("(32, 48)", "(256, 512)") in guide


def test_looking_at_all_data_sets_of_a_config(main, root, capsys):
    main(arguments(root, "--inspect", f"--out={root.parent / 'sheets'}"))
    out = capsys.readouterr().out
    assert f"yard in {root / 'yard'}, label space yard" in out
    # One data set for all four roles.
    assert out.count("  train           3 images of 48 x 32") == 1
    assert "grass" in out
    assert sorted(path.name for path in (root.parent / "sheets").iterdir()) == [
        *("yard-test.png", "yard-train.png", "yard-val.png")
    ]
    assert not (root.parent / "data").exists()


def test_what_is_wrong_is_listed_and_told_by_the_status(main, root, capsys):
    label = root / "yard" / "val_ids" / "day_0" / "0.png"
    Image.fromarray(np.full((32, 48), 77, np.uint8)).save(label)
    (root / "yard" / "train" / "day_1" / "1.JPG").write_bytes(b"<!doctype html>")
    with pytest.raises(SystemExit) as ended:
        main(arguments(root, "--inspect", f"--out={root.parent}"))
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "cannot be used: " in out
    assert f"{label}: " in out
    assert "1.JPG: an HTML page found" in out


def test_preparing_all_data_sets_of_a_config(main, root, capsys):
    main(arguments(root))
    out = capsys.readouterr().out
    assert "yard/test: 3 images of 48 x 32, labels of 48 x 32" in out
    # Train, val and test are one as a target; a source has labels of another size.
    assert out.count("yard/test: ") == 2
    assert len(list((root.parent / "data" / "yard").glob("*/1.0.0"))) == 2


@pytest.mark.parametrize("given", [[], ["gtav", "--config=x.py"]])
def test_a_data_set_or_a_config(main, given, capsys):
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2
    assert "expected one of them" in capsys.readouterr().err


def test_drawn_data_has_no_files(main, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["synthetic_city", f"--data_dir={tmp_path}", "--inspect"])
    assert ended.value.code == 2
    assert "synthetic_city: a data set without files found" in capsys.readouterr().err
