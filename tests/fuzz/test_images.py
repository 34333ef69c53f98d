import dataclasses
import struct
import zlib

import image_files
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import PNG_SIGNATURE, chunk
from PIL import Image

from cbda_jax.data import images, labels
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.datasets.pairs import Pair
from cbda_jax.data.datasets.synthia import SYNTHIA_IDS
from cbda_jax.data.datasets.trees import File
from cbda_jax.data.prepare import create_builder
from cbda_jax.errors import InputError
from cbda_jax.label_space import IGNORE

COLOURS = np.array(list(LABEL_IDS.colours.values()), np.uint8)
FUZZ = settings.get_profile("fuzz")


def _photograph(content, where):
    return images.read_photograph(content, where).pixels


def _label_reader(encoding):
    return lambda content, where: labels.read_values(content, where, encoding)


READERS = {
    "image": _photograph,
    "index": _label_reader(LABEL_IDS),
    "grey": _label_reader(dataclasses.replace(LABEL_IDS, form="grey")),
    "colour": _label_reader(dataclasses.replace(LABEL_IDS, form="colour")),
    "red16": _label_reader(SYNTHIA_IDS),
}


def _file(kind: str) -> bytes:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 23, (9, 14), np.uint8)
    if kind in ("rgb16", "grey16"):
        wide = ids.astype(np.uint16)
        return bytes(imagecodecs.png_encode(wide if kind == "grey16" else np.stack(3 * [wide], -1)))
    colours = {
        "colour": COLOURS[ids],
        "rgb": rng.integers(0, 256, (9, 14, 3), np.uint8),
        "grey_as_rgb": ids[..., None].repeat(3, -1),
    }
    image = Image.fromarray(colours.get(kind, ids))
    if kind in ("palette", "palette4"):
        image.putpalette(COLOURS.ravel().tolist())
    if kind == "ramp":
        image = image.convert("P")
    if kind in ("rgba", "grey_alpha"):
        image = image.convert("RGBA" if kind == "rgba" else "LA")
    options = {"bits": 4} if kind == "palette4" else {}
    if kind == "turned":
        options = {"exif": image_files.oriented(6)}
    return image_files.saved(image, "PNG", **options)


def _jpeg(kind: str) -> bytes:
    image = Image.fromarray(image_files.scene(21, 34))
    if kind == "jpeg_mpo":
        return image_files.saved(image, "MPO", save_all=True, append_images=[image.rotate(9)])
    options = {
        "jpeg": {"exif": image_files.oriented(8), "icc_profile": bytes(99)},
        "jpeg_progressive": {"progressive": True},
        "jpeg_grey": {"restart_marker_blocks": 2},
    }
    image = image.convert({"jpeg_grey": "L", "jpeg_cmyk": "CMYK"}.get(kind, "RGB"))
    return image_files.saved(image, "JPEG", **options.get(kind, {}))


FILES = {
    kind: _file(kind)
    for kind in (
        *("rgb", "rgba", "grey", "grey_alpha", "grey_as_rgb", "palette", "palette4", "ramp"),
        *("colour", "rgb16", "grey16", "turned"),
    )
}
JPEGS = {
    kind: _jpeg(kind) for kind in ("jpeg", "jpeg_progressive", "jpeg_grey", "jpeg_cmyk", "jpeg_mpo")
}
# A form has files enough of its own that are read, so that damage of these is what is tried.
OF_FORM = {
    "image": ("rgb", "rgba", "grey", "palette", "palette4", "colour", "turned"),
    "index": (
        "grey",
        "grey_alpha",
        "grey_as_rgb",
        "palette",
        "palette4",
        "ramp",
        "colour",
        "grey16",
    ),
    "grey": ("grey", "grey_alpha", "grey_as_rgb", "ramp", "grey16"),
    "colour": ("colour", "palette"),
    "red16": ("rgb16",),
}


def _check(reader: str, found) -> None:
    """A valid array."""
    assert found.dtype == np.uint8
    assert found.ndim == 3 - (reader != "image")
    assert 1 <= found.shape[0] * found.shape[1] <= images.MOST_PIXELS
    if reader != "image":
        declared = SYNTHIA_IDS if reader == "red16" else LABEL_IDS
        assert set(np.unique(found).tolist()) <= declared.classes.keys()


@pytest.mark.parametrize("reader", READERS)
def test_files_are_read_before_they_are_spoilt(reader):
    for kind in OF_FORM[reader]:
        _check(reader, READERS[reader](FILES[kind], "x.png"))
    for content in JPEGS.values():
        if reader == "image":
            _check(reader, READERS[reader](content, "x.jpg"))
        else:
            with pytest.raises(InputError, match="a label needs PNG"):
                READERS[reader](content, "x.jpg")


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(data=st.data())
def test_random_bytes(reader, attempt, data):
    starts = (b"", PNG_SIGNATURE, FILES["rgb"][:33], JPEGS["jpeg"][:2], JPEGS["jpeg"][:24])
    content = data.draw(st.sampled_from(starts)) + data.draw(st.binary(max_size=200))
    assert attempt(READERS[reader], content, "x.png") is None


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(data=st.data())
def test_damage_is_noticed(reader, attempt, mutate, data):
    kinds = st.sampled_from(OF_FORM[reader]) | st.sampled_from(sorted(FILES))
    content = FILES[data.draw(kinds)]
    found = attempt(READERS[reader], mutate(data.draw, content), "x.png")
    if found is not None:
        np.testing.assert_array_equal(found, READERS[reader](content, "x.png"))


@FUZZ
@given(data=st.data())
def test_damaged_jpegs(attempt, mutate, data):
    """They have no checksums: what is refused is what cannot be decoded."""
    content = mutate(data.draw, JPEGS[data.draw(st.sampled_from(sorted(JPEGS)))])
    found = attempt(_photograph, content, "x.jpg")
    if found is not None:
        _check("image", found)


@pytest.mark.parametrize("kind", JPEGS)
def test_jpegs_that_end_early_are_refused(kind):
    content = JPEGS[kind]
    whole = content.index(b"\xff\xd9") + 2
    for length in range(0, whole, 7):
        with pytest.raises(InputError, match=r"x\.jpg: .*found, expected"):
            images.read_photograph(content[:length], "x.jpg")
    with pytest.raises(InputError, match="truncated"):
        images.read_photograph(content[: whole - 1], "x.jpg")
    assert images.read_photograph(content[:whole], "x.jpg").pixels.size


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(data=st.data())
def test_forged_files_with_right_checksums(reader, attempt, mutate, data):
    kinds = st.sampled_from(OF_FORM[reader]) | st.sampled_from(sorted(FILES))
    chunks = image_files.chunks(FILES[data.draw(kinds)])
    forged = PNG_SIGNATURE
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
        forged += chunk(kind, spoilt)
        if data.draw(st.integers(0, 5)) == 0:
            name = data.draw(
                st.sampled_from(["PLTE", "tRNS", "eXIf", "zTXt", "iCCP", "acTL", "fcTL", "IDAT"])
            )
            forged += chunk(name.encode(), data.draw(st.binary(max_size=30)))
    found = attempt(READERS[reader], forged, "x.png")
    if found is not None:
        _check(reader, found)


@pytest.mark.parametrize("name", ["gtav", "synthia", "cityscapes"])
@settings(FUZZ, max_examples=max(FUZZ.max_examples // 2, 1))
@given(data=st.data())
def test_pairs_of_every_data_set(name, attempt, mutate, tmp_path_factory, data):
    builder = create_builder(name, data_dir=tmp_path_factory.getbasetemp() / "none", size=(6, 8))
    kinds = [data.draw(st.sampled_from(("rgb", "rgb", "rgba", "palette", "jpeg"))), None]
    kinds[1] = data.draw(st.sampled_from(("palette", "grey", "colour", "rgb16", "rgb16")))
    contents = [(FILES | JPEGS)[kind] for kind in kinds]
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
    depth, colour = (16, 2) if reader == "red16" else (8, 2)
    content = PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(
        InputError, match=rf"x\.png: a PNG of {size[0]} x {size[1]} pixels found, expected"
    ):
        READERS[reader](content, "x.png")
