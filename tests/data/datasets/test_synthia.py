import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import labels
from cbda_jax.data.datasets.declared import builder_of
from cbda_jax.data.datasets.synthia import SYNTHIA, SYNTHIA_IDS
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError
from cbda_jax.label_space import SYNTHIA_13, SYNTHIA_16


def label_png(ids):
    """SYNTHIA's format, made by hand: PNG stores 16-bit samples R, G, B in big-endian order."""
    rng = np.random.default_rng(1)
    instances = rng.integers(0, 65536, ids.shape, np.uint16)
    wide = np.stack([ids.astype(np.uint16), instances, instances], axis=-1)
    return bytes(imagecodecs.png_encode(wide))


def write(root, ids, parent="RAND_CITYSCAPES"):
    rng = np.random.default_rng(0)
    folder = root / parent
    (folder / "RGB").mkdir(parents=True)
    (folder / "GT" / "LABELS").mkdir(parents=True)
    for number in (1, 0):
        name = f"{number:07d}.png"
        Image.fromarray(rng.integers(0, 256, (*ids.shape, 3), np.uint8)).save(folder / "RGB" / name)
        (folder / "GT" / "LABELS" / name).write_bytes(label_png(np.roll(ids, number, axis=1)))
    return folder


def test_red_channel_is_the_class():
    # Against a decoder that is not ours: Pillow keeps the upper byte of each sample, in file order.
    ids = np.arange(23, dtype=np.uint8)[None].repeat(5, 0)
    data = bytes(
        imagecodecs.png_encode(
            np.stack([ids.astype(np.uint16) << 8] + 2 * [0 * ids.astype(np.uint16)], -1)
        )
    )
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)))[..., 0], ids)
    np.testing.assert_array_equal(labels.read_values(label_png(ids), "x", SYNTHIA_IDS), ids)


@pytest.mark.parametrize("parent", ["", "RAND_CITYSCAPES"])
@pytest.mark.parametrize(("name", "space"), [(None, SYNTHIA_16), ("synthia_13", SYNTHIA_13)])
def test_records(tmp_path, parent, name, space):
    ids = np.arange(23, dtype=np.uint8).repeat(2)[None].repeat(20, 0)
    write(tmp_path / "synthia", ids, parent)
    records = open_records(
        "synthia/train",
        data_dir=tmp_path / "data",
        root=tmp_path / "synthia",
        size=ids.shape,
        label_space=name,
    )
    assert records.ids == ("0000000", "0000001")
    assert (records.label_space, records.classes) == (space.name, space.classes)
    table = SYNTHIA_IDS.table(space)
    np.testing.assert_array_equal(records[0]["label"], table[ids])
    np.testing.assert_array_equal(records[1]["label"], table[np.roll(ids, 1, axis=1)])
    assert (records.class_pixels == 2 * 20).all()


def test_default_is_the_recipe():
    config = builder_of(SYNTHIA).BUILDER_CONFIGS[0]
    assert (config.size, config.label_space) == ((760, 1280), SYNTHIA_16)
    assert config.name == "h760_w1280_c16"


def test_other_kinds_of_label_files_are_refused(tmp_path):
    ids = np.zeros((20, 46), np.uint8)
    folder = write(tmp_path / "synthia", ids)

    def opened():
        return open_records(
            "synthia", data_dir=tmp_path / "d", root=tmp_path / "synthia", size=(20, 46)
        )

    path = folder / "GT" / "LABELS" / "0000001.png"
    Image.fromarray(ids).save(path)
    with pytest.raises(InputError, match=r"0000001\.png: an 8-bit grey PNG .* a 16-bit RGB PNG"):
        opened()
    path.write_bytes(label_png(ids)[:-200])
    with pytest.raises(InputError, match=r"0000001\.png: a damaged PNG"):
        opened()
    wide = np.zeros((20, 46, 3), np.uint16)
    wide[0, :3, 0] = 23, 300, 65535
    path.write_bytes(bytes(imagecodecs.png_encode(wide)))
    unknown = r"label values 23 \(1 pixel\), 300 \(1 pixel\), 65535 \(1 pixel\) that .* 0 to 22"
    with pytest.raises(InputError, match=rf"0000001\.png: {unknown}"):
        opened()
    path.write_bytes(label_png(ids))
    assert len(opened()) == 2


def test_the_archive_is_to_be_extracted(tmp_path):
    (tmp_path / "SYNTHIA_RAND_CITYSCAPES.rar").write_bytes(b"Rar!")
    with pytest.raises(
        InputError, match=r"RGB: nothing found.*; extract SYNTHIA_RAND_CITYSCAPES\.rar$"
    ):
        open_records("synthia", data_dir=tmp_path / "d", root=tmp_path)
