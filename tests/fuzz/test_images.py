import functools
import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cbda_jax.data import images
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.datasets.pairs import Pair
from cbda_jax.data.datasets.trees import File
from cbda_jax.data.prepare import create_builder
from cbda_jax.errors import InputError
from cbda_jax.label_space import IGNORE

COLOURS = np.array(list(LABEL_IDS.colours.values()), np.uint8)
FUZZ = settings.get_profile("fuzz")
READERS = {
    "image": images.read_image,
    "ids": functools.partial(images.read_label_ids, colours=LABEL_IDS.colours),
    "synthia": images.read_synthia_ids,
}
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _file(kind: str) -> bytes:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 23, (9, 14), np.uint8)
    if kind == "rgb16":
        return bytes(imagecodecs.png_encode(np.stack(3 * [ids.astype(np.uint16)], -1)))
    colours = {
        "colour": COLOURS[ids],
        "rgb": rng.integers(0, 256, (9, 14, 3), np.uint8),
    }
    image = Image.fromarray(colours.get(kind, ids))
    if kind in ("palette", "palette4"):
        image.putpalette(COLOURS.ravel().tolist())
    if kind == "rgba":
        image = image.convert("RGBA")
    stream = io.BytesIO()
    image.save(stream, "PNG", **({"bits": 4} if kind == "palette4" else {}))
    return stream.getvalue()


FILES = {
    kind: _file(kind) for kind in ("rgb", "rgba", "grey", "palette", "palette4", "colour", "rgb16")
}


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, position = [], len(SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        found.append((kind, data[position + 8 : position + 8 + length]))
        position += length + 12
    return found


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(data=st.data())
def test_random_bytes(reader, attempt, data):
    content = data.draw(st.sampled_from((b"", SIGNATURE, FILES["rgb"][:33])))
    content += data.draw(st.binary(max_size=200))
    assert attempt(READERS[reader], content, "x.png") is None


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(data=st.data())
def test_damage_is_noticed(reader, attempt, mutate, data):
    content = FILES[data.draw(st.sampled_from(sorted(FILES)))]
    found = attempt(READERS[reader], mutate(data.draw, content), "x.png")
    if found is not None:
        np.testing.assert_array_equal(found, READERS[reader](content, "x.png"))


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(data=st.data())
def test_forged_files_with_right_checksums(reader, attempt, mutate, data):
    chunks = _chunks(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    forged = SIGNATURE
    for kind, content in chunks:
        spoilt = content
        if kind == b"IHDR" and data.draw(st.booleans()):
            side = st.sampled_from((0, 1, 9, 14, 4000, 60_000, 2**31 - 1, 2**32 - 1))
            small = st.sampled_from((0, 1, 2, 3, 4, 6, 8, 16, 255))
            spoilt = struct.pack(
                ">IIBBBBB", *(data.draw(side) for _ in "wh"), *(data.draw(small) for _ in "dccfi")
            )
        elif data.draw(st.integers(0, 2)) == 0:
            spoilt = mutate(data.draw, content)
        forged += _chunk(kind, spoilt)
        if data.draw(st.integers(0, 5)) == 0:
            name = data.draw(
                st.sampled_from(["PLTE", "tRNS", "zTXt", "iCCP", "acTL", "fcTL", "IDAT"])
            )
            forged += _chunk(name.encode(), data.draw(st.binary(max_size=30)))
    found = attempt(READERS[reader], forged, "x.png")
    if found is not None:
        assert found.dtype == np.uint8
        assert found.ndim == 3 - (reader != "image")
        assert found.shape[0] * found.shape[1] <= images.MOST_PIXELS


@pytest.mark.parametrize("name", ["gtav", "synthia", "cityscapes"])
@settings(FUZZ, max_examples=max(FUZZ.max_examples // 2, 1))
@given(data=st.data())
def test_pairs_of_every_data_set(name, attempt, mutate, tmp_path_factory, data):
    builder = create_builder(name, data_dir=tmp_path_factory.getbasetemp() / "none", size=(6, 8))
    kinds = [data.draw(st.sampled_from(("rgb", "rgb", "rgba", "palette"))), None]
    kinds[1] = data.draw(st.sampled_from(("palette", "grey", "colour", "rgb16", "rgb16")))
    contents = [FILES[kind] for kind in kinds]
    spoilt = data.draw(st.sampled_from((0, 1, 2)))
    if spoilt < 2:
        contents[spoilt] = mutate(data.draw, contents[spoilt])
    image, label = (File("x.png", lambda content=content: content) for content in contents)
    found = attempt(builder._example, Pair("x", image, label))
    if found is not None:
        example, shape = found
        label = images.decode(example["label"])
        assert shape == (9, 14)
        assert set(np.unique(label).tolist()) <= {*range(builder.space.num_classes), IGNORE}
        assert images.decode(example["image"]).shape == (6, 8, 3)
        assert example["class_pixels"].sum() == (label != IGNORE).sum()


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**32 - 1, 1), (2**31 - 1, 2**31 - 1), (0, 5)])
@pytest.mark.parametrize("reader", READERS)
def test_a_header_is_not_believed(reader, size):
    depth, colour = (16, 2) if reader == "synthia" else (8, 2)
    content = SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    content += _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")
    with pytest.raises(
        InputError, match=rf"x\.png: a PNG of {size[0]} x {size[1]} pixels found, expected"
    ):
        READERS[reader](content, "x.png")
