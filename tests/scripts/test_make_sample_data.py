import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import headers
from cbda_jax.data.datasets.synthetic_city import draw_scene
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, SYNTHIA_16

SCRIPTS = Path(__file__).parents[2] / "scripts"
COUNTS = {"gtav": 2, "synthia": 1, "cityscapes_train": 2, "cityscapes_val": 1}
SCALE = 0.05


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        return runpy.run_path(str(SCRIPTS / "make_sample_data.py"))


@pytest.fixture(scope="module")
def samples(script, tmp_path_factory):
    out = tmp_path_factory.mktemp("samples")
    script["make_sample_data"](out, **COUNTS, seed=7, scale=SCALE)
    return out


def scaled(size):
    return tuple(round(n * SCALE) for n in size)


def test_layout_and_sizes(script, samples):
    found = sorted(str(path.relative_to(samples)) for path in samples.rglob("*.png"))
    assert found == [
        "cityscapes/gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
        "cityscapes/gtFine/train/bochum/bochum_000001_000019_gtFine_labelIds.png",
        "cityscapes/gtFine/val/frankfurt/frankfurt_000000_000019_gtFine_labelIds.png",
        "cityscapes/leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
        "cityscapes/leftImg8bit/train/bochum/bochum_000001_000019_leftImg8bit.png",
        "cityscapes/leftImg8bit/val/frankfurt/frankfurt_000000_000019_leftImg8bit.png",
        "gtav/images/00001.png",
        "gtav/images/00002.png",
        "gtav/labels/00001.png",
        "gtav/labels/00002.png",
        "synthia/RAND_CITYSCAPES/GT/LABELS/0000000.png",
        "synthia/RAND_CITYSCAPES/RGB/0000000.png",
    ]
    assert script["GTAV_SIZE"] == (1052, 1914)
    assert script["SYNTHIA_SIZE"] == (760, 1280)
    assert script["CITYSCAPES_SIZE"] == (1024, 2048)


def test_formats(samples):
    with Image.open(samples / "gtav/labels/00001.png") as label:
        assert label.mode == "P"
        assert label.getpalette()[3 * 7 : 3 * 8] == [128, 64, 128]
    path = samples / "synthia/RAND_CITYSCAPES/GT/LABELS/0000000.png"
    assert headers.read_png(path.read_bytes(), "").kind == "a 16-bit RGB PNG"


def test_samples_prepare_to_the_scenes_they_were_drawn_from(samples, script, tmp_path):
    def opened(name, **options):
        dataset = name.partition("/")[0]
        return open_records(name, data_dir=tmp_path, root=samples / dataset, **options)

    for name, seed, domain, size in (
        ("gtav", 7, "source", script["GTAV_SIZE"]),
        ("cityscapes/train", 10, "target", script["CITYSCAPES_SIZE"]),
        ("cityscapes/val", 12, "target", script["CITYSCAPES_SIZE"]),
    ):
        records = opened(name, size=scaled(size))
        image, label = draw_scene(domain, seed, *scaled(size))
        np.testing.assert_array_equal(records[0]["image"], image)
        np.testing.assert_array_equal(records[0]["label"], label)
    size = scaled(script["SYNTHIA_SIZE"])
    image, label = draw_scene("source", 9, *size)
    record = opened("synthia", size=size, label_space="cityscapes_19")[0]
    np.testing.assert_array_equal(record["image"], image)
    np.testing.assert_array_equal(record["label"], label)
    sixteen = opened("synthia", size=size)[0]["label"]
    assert set(np.unique(sixteen)) <= {*range(16), 255}
    to_19 = np.array([CITYSCAPES_19.classes.index(c) for c in SYNTHIA_16.classes])
    kept = sixteen != 255
    np.testing.assert_array_equal(to_19[sixteen[kept]], label[kept])


def test_writes_only_where_it_may(script, tmp_path):
    make = script["make_sample_data"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(InputError, match="not empty and not made by this script"):
        make(tmp_path / "mine", **COUNTS, scale=SCALE)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    make(tmp_path / "new", **COUNTS, scale=SCALE)
    make(tmp_path / "new", **{**COUNTS, "gtav": 1}, scale=SCALE)
    assert len(list((tmp_path / "new" / "gtav" / "images").iterdir())) == 1
    with pytest.raises(InputError, match="gtav: 0 found, expected at least 1"):
        make(tmp_path / "new", **{**COUNTS, "gtav": 0}, scale=SCALE)
    with pytest.raises(InputError, match="a folder that cannot be made"):
        make(tmp_path / "mine" / "thesis.tex", **COUNTS, scale=SCALE)
    with pytest.raises(InputError, match=r"'kiti' found, .*; did you mean 'kitti'"):
        make(tmp_path / "new", datasets=["kiti"], scale=SCALE)


def test_data_sets_are_chosen(script, tmp_path, capsys):
    main = script["main"]
    main([f"--out={tmp_path}", "--datasets=kitti,uavid", "--images=1", "--scale=0.1"])
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"kitti", "uavid", "made_by_make_sample_data.json"}
    assert f"{tmp_path / 'kitti'}: 5 files" in capsys.readouterr().out
    # What was chosen before is replaced.
    main([f"--out={tmp_path}", "--datasets=uavid", "--images=1", "--scale=0.1"])
    assert {path.name for path in tmp_path.iterdir()} == written - {"kitti"}


def test_prepare_data_prints_a_table(samples, tmp_path, capsys):
    main = runpy.run_path(str(SCRIPTS / "prepare_data.py"))["main"]
    arguments = [f"--root={samples / 'cityscapes'}", f"--data_dir={tmp_path}", "--size=32x64"]
    main(["cityscapes", *arguments])
    out = capsys.readouterr().out
    assert "cityscapes/train: 2 images of 64 x 32, labels of 102 x 51" in out
    assert "cityscapes/val: 1 images" in out
    assert sum(line.startswith("  road ") for line in out.splitlines()) == 2
    for arguments, message in (
        (["cityscapes", "--size=big"], "error: --size: 'big' found, expected HEIGHTxWIDTH"),
        (["city", f"--data_dir={tmp_path}"], "error: data set: 'city' found, expected one of"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(message)
