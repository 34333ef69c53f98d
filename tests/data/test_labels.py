import dataclasses
import zlib

import image_files
import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import labels
from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.errors import InputError

VALUES = np.array([[0, 1, 2, 7], [7, 7, 1, 0], [2, 2, 2, 2]], np.uint8)
COLOURS = {0: (0, 0, 0), 1: (70, 70, 70), 2: (153, 153, 153), 7: (128, 64, 128)}
CLASSES = {0: None, 1: "building", 2: "pole", 7: "road"}
INDEX = LabelEncoding(CLASSES)
PAINTED = LabelEncoding(CLASSES, colours=COLOURS)
GREY, COLOUR, RED = (dataclasses.replace(PAINTED, form=x) for x in ("grey", "colour", "red16"))
RAMP = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)


def palette_of(colours):
    """256 colours, of which those not given are odd ones."""
    palette = np.array([(i, 255 - i, 3) for i in range(256)], np.uint8)
    for index, colour in colours.items():
        palette[index] = colour
    return palette


def rgb(values):
    return values[..., None].repeat(3, -1)


def with_alpha(array, alpha=255):
    array = array if array.ndim == 3 else array[..., None]
    return np.insert(array, array.shape[-1], alpha, axis=-1)


def painted(values):
    return palette_of(COLOURS)[values]


def one_pixel_of(header, pixel):
    """By hand: kinds that Pillow's versions do not all write. Interlaced, one pixel is one pass."""
    parts = (
        (b"IHDR", b"\0\0\0\1\0\0\0\1" + header),
        (b"IDAT", zlib.compress(b"\0" + pixel)),
        (b"IEND", b""),
    )
    return image_files.PNG_SIGNATURE + b"".join(image_files.chunk(*part) for part in parts)


# Quantised: values as they come, and what they stand for in the palette.
NUMBERS = np.searchsorted([0, 1, 2, 7], VALUES).astype(np.uint8)
QUANTISED_GREYS = image_files.png(NUMBERS, [(i, i, i) for i in (0, 1, 2, 7)])
QUANTISED_COLOURS = image_files.png(NUMBERS, [COLOURS[i] for i in (0, 1, 2, 7)])
ONLY_GREYS = np.where(VALUES == 7, 0, VALUES)


GOOD = {
    "grey": (image_files.png(VALUES), INDEX, VALUES),
    "palette": (image_files.png(VALUES, palette_of({})), INDEX, VALUES),
    "palette of classes": (image_files.png(VALUES, palette_of(COLOURS)), PAINTED, VALUES),
    "only greys, those of the classes": (
        image_files.png(ONLY_GREYS, palette_of(COLOURS)),
        PAINTED,
        ONLY_GREYS,
    ),
    "ramp": (image_files.png(VALUES, RAMP), PAINTED, VALUES),
    "ramp of Pillow": (
        image_files.saved(Image.fromarray(VALUES).convert("P"), "PNG"),
        INDEX,
        VALUES,
    ),
    "black": (image_files.png(VALUES * 0, palette_of({0: (0, 0, 0)})), INDEX, VALUES * 0),
    "palette of 4 bits": (
        image_files.png(VALUES, palette_of({})[:9], bits=4),
        INDEX,
        VALUES,
    ),
    "palette with transparency": (
        image_files.png(VALUES, palette_of({}), transparency=0),
        INDEX,
        VALUES,
    ),
    "grey as RGB": (image_files.png(rgb(VALUES)), INDEX, VALUES),
    "grey as RGB, colours known": (image_files.png(rgb(VALUES)), PAINTED, VALUES),
    "grey with alpha": (image_files.png(with_alpha(VALUES)), INDEX, VALUES),
    "grey as RGBA": (image_files.png(with_alpha(rgb(VALUES))), INDEX, VALUES),
    "16 bits": (image_files.png(VALUES.astype(np.uint16)), INDEX, VALUES),
    "painted": (image_files.png(painted(VALUES)), PAINTED, VALUES),
    "painted, only greys": (image_files.png(painted(ONLY_GREYS)), PAINTED, ONLY_GREYS),
    "painted with alpha": (image_files.png(with_alpha(painted(VALUES))), PAINTED, VALUES),
    "colour": (image_files.png(painted(VALUES)), COLOUR, VALUES),
    "colour with alpha": (image_files.png(with_alpha(painted(VALUES))), COLOUR, VALUES),
    "colour by palette": (QUANTISED_COLOURS, COLOUR, VALUES),
    "grey, as grey": (image_files.png(VALUES), GREY, VALUES),
    "grey by palette": (QUANTISED_GREYS, GREY, VALUES),
    "grey as RGB, as grey": (image_files.png(rgb(VALUES)), GREY, VALUES),
    "grey as RGBA, as grey": (image_files.png(with_alpha(rgb(VALUES))), GREY, VALUES),
    "grey of 16 bits, as grey": (image_files.png(VALUES.astype(np.uint16)), GREY, VALUES),
    "red": (
        image_files.png(np.stack([VALUES] * 3, -1) + np.array([0, 300, 0], np.uint16)),
        RED,
        VALUES,
    ),
}


@pytest.mark.parametrize(("data", "encoding", "expected"), GOOD.values(), ids=GOOD)
def test_values_are_read(data, encoding, expected):
    found = labels.read_values(data, "x.png", encoding)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


BAD = {
    "JPEG": (
        image_files.saved(Image.fromarray(VALUES), "JPEG"),
        INDEX,
        "a JPEG found, expected a PNG (JPEG changes values; a label needs PNG); export",
    ),
    "GIF": (
        image_files.saved(Image.fromarray(VALUES), "GIF"),
        INDEX,
        "a GIF file found, expected a PNG; convert it to PNG",
    ),
    "undeclared": (
        image_files.png(np.repeat(np.uint8([7, 9, 11]), [1, 1204, 3])[None]),
        INDEX,
        "label values 9 (1,204 pixels), 11 (3 pixels) that nobody declared found, expected "
        "0, 1, 2, 7; declare them as a class or void",
    ),
    "many undeclared": (
        image_files.png(np.arange(256, dtype=np.uint8)[None]),
        LabelEncoding({0: "road", 1: None}),
        "11 (1 pixel) and 244 more that nobody declared found, expected 0 to 1; use the "
        "original label files if these are train ids, or declare them as a class or void",
    ),
    "few bits": (
        one_pixel_of(b"\x04\0\0\0\0", b"\x70"),
        INDEX,
        "a 4-bit grey PNG found, expected an 8-bit grey or a palette PNG (encoding='index')",
    ),
    "one bit": (
        image_files.saved(Image.fromarray(VALUES > 0), "PNG"),
        GREY,
        "a 1-bit grey PNG found, expected an 8-bit grey",
    ),
    "clear grey": (
        image_files.png(with_alpha(VALUES, np.where(VALUES == 0, 0, 255))),
        INDEX,
        "an 8-bit grey PNG with alpha of which 2 pixels are not opaque found, expected 255",
    ),
    "clear RGB": (
        image_files.png(with_alpha(painted(VALUES), 254)),
        COLOUR,
        "an 8-bit RGB PNG with alpha of which 12 pixels are not opaque found",
    ),
    "alpha of 16 bits": (
        image_files.png(with_alpha(rgb(VALUES)).astype(np.uint16)),
        INDEX,
        "a 16-bit RGB PNG with alpha found, expected an 8-bit grey",
    ),
    "wide": (
        image_files.png(VALUES.astype(np.uint16) * 257),
        INDEX,
        "a 16-bit grey PNG with values up to 1799 found, expected values of 0 to 255",
    ),
    "red as index": (
        image_files.png(rgb(VALUES).astype(np.uint16)),
        INDEX,
        "a 16-bit RGB PNG found, expected 8 bits a channel; set encoding='red16' if",
    ),
    "red as grey": (
        image_files.png(rgb(VALUES).astype(np.uint16)),
        GREY,
        "a 16-bit RGB PNG found, expected 8 bits a channel; set encoding='red16' if",
    ),
    "red as colour": (
        image_files.png(rgb(VALUES).astype(np.uint16)),
        COLOUR,
        "a 16-bit RGB PNG found, expected 8 bits a channel; set encoding='red16' if",
    ),
    "undeclared red": (
        image_files.png(rgb(VALUES.astype(np.uint16) * 100)),
        LabelEncoding({0: "road", 100: "car", 200: None, 255: None}, form="red16"),
        "label values 700 (3 pixels) that nobody declared found",
    ),
    "quantised greys": (
        QUANTISED_GREYS,
        INDEX,
        "a palette PNG whose palette says other than its indices (index 3 is grey 7) found, "
        "expected grey levels that are the indices; set encoding='grey' to read the "
        "palette's grey levels, or declare the palette's as the colours of 0, 1, 2, 3 if",
    ),
    "black and white": (
        image_files.png(np.minimum(VALUES, 1), palette_of({0: (0, 0, 0), 1: (255,) * 3})),
        INDEX,
        "a palette PNG whose palette says other than its indices (index 1 is grey 255)",
    ),
    "quantised colours": (
        QUANTISED_COLOURS,
        PAINTED,
        "a palette PNG whose palette says other than its indices (index 3 is (128, 64, 128)) "
        "found, expected the colour that is declared of each index; set encoding='colour'",
    ),
    "colours that are not declared": (
        image_files.png(painted(VALUES)),
        INDEX,
        "an 8-bit RGB PNG of colours, (153, 153, 153) (5 pixels), (128, 64, 128) (3 pixels), "
        "(0, 0, 0) (2 pixels), (70, 70, 70) (2 pixels), found, expected values in a palette "
        "or grey PNG; set encoding='colour' and declare the classes' colours",
    ),
    "unknown colours, index": (
        image_files.png(np.where(painted(VALUES) == 64, 65, painted(VALUES))),
        PAINTED,
        "an 8-bit RGB PNG with 1 colours that no class has, (128, 65, 128) (3 pixels), found",
    ),
    "unknown colours, colour": (
        image_files.png(palette_of({})[np.arange(8, dtype=np.uint8).repeat(2)[None, :15]]),
        COLOUR,
        "an 8-bit RGB PNG with 8 colours that no class has, (0, 255, 3) (2 pixels), "
        "(1, 254, 3) (2 pixels), (2, 253, 3) (2 pixels), (3, 252, 3) (2 pixels), "
        "(4, 251, 3) (2 pixels) and 3 more, found, expected declared colours alone; declare "
        "them as colours of classes or of void",
    ),
    "unknown colours of a palette": (
        image_files.png(VALUES, palette_of({})),
        COLOUR,
        "or set encoding='index' to read its indices",
    ),
    "grey as RGB, as colour": (
        image_files.png(rgb(VALUES)),
        COLOUR,
        "or set encoding='index' to read its greys as values",
    ),
    "grey as colour": (
        image_files.png(VALUES),
        COLOUR,
        "an 8-bit grey PNG found, expected colours; set encoding='index' to read its values",
    ),
    "colours as grey": (
        image_files.png(painted(VALUES)),
        GREY,
        "an 8-bit RGB PNG of colours, (153, 153, 153) (5 pixels), (128, 64, 128) (3 pixels), "
        "(0, 0, 0) (2 pixels), (70, 70, 70) (2 pixels), found, expected grey levels; set "
        "encoding='colour'",
    ),
    "coloured palette as grey": (
        QUANTISED_COLOURS,
        GREY,
        "a palette PNG with colours in its palette (index 3 is (128, 64, 128)) found, "
        "expected grey levels; set encoding='index' to read its indices, or encoding="
        "'colour'",
    ),
    "both readings": (
        image_files.png(rgb(np.minimum(VALUES, 1))),
        LabelEncoding({0: "road", 1: None}, colours={0: (1, 1, 1), 1: (0, 0, 0)}),
        "an 8-bit RGB PNG whose greys are colours of classes and values too found, expected "
        "one of them; set encoding='colour' or encoding='grey'",
    ),
    "palette as red": (
        image_files.png(VALUES, palette_of({})),
        RED,
        "a palette PNG found, expected a 16-bit RGB PNG with the values in red, as "
        "SYNTHIA's in GT/LABELS (not GT/COLOR); use those files, or set encoding='index'",
    ),
    "colours as red": (
        image_files.png(painted(VALUES)),
        RED,
        "an 8-bit RGB PNG found, expected a 16-bit RGB PNG with the values in red, as "
        "SYNTHIA's in GT/LABELS (not GT/COLOR); use those files, or set encoding='colour'",
    ),
    "short palette": (
        QUANTISED_COLOURS.replace(
            image_files.chunk(*image_files.chunks(QUANTISED_COLOURS)[1]),
            image_files.chunk(b"PLTE", bytes(6)),
        ),
        COLOUR,
        "a damaged PNG (index 3 of a palette of 2 colours) found, expected a whole one",
    ),
    "truncated": (image_files.png(VALUES)[:-20], INDEX, "a damaged PNG (truncated"),
    "truncated, 16 bits": (
        image_files.png(rgb(VALUES).astype(np.uint16)).replace(b"IEND", b"IENX"),
        RED,
        "a damaged PNG (",
    ),
}


@pytest.mark.parametrize(("data", "encoding", "message"), BAD.values(), ids=BAD)
def test_what_is_refused(data, encoding, message):
    with pytest.raises(InputError) as raised:
        labels.read_values(data, "x.png", encoding)
    assert message in str(raised.value)
    assert str(raised.value).startswith("x.png: ")
    assert "\n" not in str(raised.value)


def test_values_of_one_colour_read_as_the_lowest():
    encoding = LabelEncoding(
        {3: "a", 4: "b", 5: "c"}, colours={4: (0, 0, 0), 3: (0, 0, 0), 5: (1, 2, 3)}
    )
    image = np.zeros((2, 3, 3), np.uint8)
    image[1, 2] = 1, 2, 3
    for form in ("index", "colour"):
        found = labels.read_values(
            image_files.png(image), "x.png", dataclasses.replace(encoding, form=form)
        )
        np.testing.assert_array_equal(found, [[3, 3, 3], [3, 3, 5]])


def test_interlaced_files_of_16_bits():
    data = one_pixel_of(b"\x10\2\0\0\1", b"\0\7\1\1\1\1")
    assert labels.read_values(data, "x.png", RED).tolist() == [[7]]
