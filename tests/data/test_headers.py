import struct

import image_files
import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import headers
from cbda_jax.errors import InputError

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)
SCENE = image_files.scene()
JPEG = image_files.saved(Image.fromarray(SCENE), "JPEG")
OF_PILLOW = {kind: image_files.saved(Image.fromarray(SCENE), kind)
             for kind in ("TIFF", "WebP", "GIF", "BMP", "JPEG2000", "PDF")}  # fmt: skip


@pytest.mark.parametrize(
    ("array", "palette", "kind"),
    [
        (GREY, None, "an 8-bit grey PNG"),
        (GREY, [(0, 0, 0)] * 6, "a palette PNG"),
        (np.zeros((2, 3, 2), np.uint8), None, "an 8-bit grey PNG with alpha"),
        (np.zeros((2, 3, 3), np.uint8), None, "an 8-bit RGB PNG"),
        (np.zeros((2, 3, 4), np.uint8), None, "an 8-bit RGB PNG with alpha"),
        (GREY.astype(np.uint16), None, "a 16-bit grey PNG"),
        (np.zeros((2, 3, 3), np.uint16), None, "a 16-bit RGB PNG"),
    ],
)
def test_kinds_of_png(array, palette, kind):
    header = headers.read_png(image_files.png(array, palette), "x")
    assert (header.size, header.kind, header.orientation) == ((2, 3), kind, 1)
    assert len(header.palette) == (18 if palette else 0)


def test_what_pixels_do_not_depend_on_is_left_out():
    plain = image_files.png(GREY)
    full = plain
    for kind, content in ((b"tEXt", b"a\0b"), (b"iCCP", bytes(9)), (b"tRNS", b"\0\1")):
        full = image_files.with_chunk(full, kind, content)
    header = headers.read_png(full + b"after the end", "x")
    assert header.data == headers.read_png(plain, "x").data
    assert [kind for kind, _ in image_files.chunks(header.data)] == [b"IHDR", b"IDAT", b"IEND"]
    assert header.transparent
    # Of a text no checksum counts; of what says that pixels are transparent it does.
    position = full.index(b"a\0b")
    headers.read_png(full[:position] + b"c" + full[position + 1 :], "x")
    position = full.index(b"tRNS") + 4
    with pytest.raises(InputError, match=r"the checksum of its part b'tRNS' is wrong"):
        headers.read_png(full[:position] + b"c" + full[position + 1 :], "x")

    exif = image_files.segment(0xE1, image_files.oriented(6))
    others = [image_files.segment(marker, b"x" * 999) for marker in (0xE2, 0xED, 0xE1, 0xFE)]
    header = headers.read_jpeg(image_files.with_segments(JPEG, *others, exif) + JPEG, "x")
    assert header == headers.Jpeg(SCENE.shape[:2], 3, False, 6, JPEG)


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientations(order):
    """By hand: two tags, of which the first says that its value lies far beyond the block."""
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    exif = start + struct.pack(f"{order}IH", 8, 2)
    exif += struct.pack(f"{order}HHII", 0x10F, 2, 2**31, 2**31)
    exif += struct.pack(f"{order}HHIHH", 0x112, 3, 1, 8, 0)
    for spoilt, expected in (
        (exif, 8),
        (exif[:32], 8),
        (exif[:31], 1),
        (exif.replace(struct.pack(f"{order}HH", 8, 0), struct.pack(f"{order}HH", 9, 0)), 1),
        (b"what" + exif[4:], 1),
        (b"", 1),
    ):
        data = image_files.with_chunk(image_files.png(GREY), b"eXIf", spoilt)
        assert headers.read_png(data, "x").orientation == expected


@pytest.mark.parametrize(
    ("data", "name", "todo"),
    [
        (OF_PILLOW["TIFF"], "a TIFF file", "convert it to PNG or JPEG"),
        (OF_PILLOW["WebP"], "a WebP file", "convert it to PNG or JPEG"),
        (OF_PILLOW["GIF"], "a GIF file", "convert it to PNG or JPEG"),
        (OF_PILLOW["BMP"], "a BMP file", "convert it to PNG or JPEG"),
        (OF_PILLOW["JPEG2000"], "a JPEG 2000 file", "convert it to PNG or JPEG"),
        (OF_PILLOW["PDF"], "a PDF file", "convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC file", "convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF file", "convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video or a raw photograph (ISO media)", "convert it"),
        (b"\n <!DOCTYPE html><html>", "an HTML page", "copy or download it again"),
        (b"\xef\xbb\xbf<HTML lang=de>", "an HTML page", "copy or download it again"),
        (b"<?xml version='1.0'?>\n<svg xml", "an SVG drawing", "convert it to PNG or JPEG"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "an XML text", "copy or download"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer", "fetch the file"),
        (b"../../.git/annex/objects/x", "a git-annex pointer", "fetch it"),
        (b"PK\x03\x04....", "a zip archive", "extract it"),
        (b"\x1f\x8b\x08\0", "a compressed archive", "extract it"),
        (b"\0\x05\x16\x07\0\x02", "what macOS keeps beside a file (._NAME)", "remove it"),
        (bytes(99), "a file of zeros", "copy or download it again"),
        (b"", "an empty file", "copy it again"),
        (b"some text", "a file that begins with b'some tex'", "copy it again"),
    ],
)
def test_other_formats_are_named(data, name, todo):
    error = str(headers.other_format(data, "x.png", "PNG or JPEG"))
    assert error.startswith(f"x.png: {name} found, expected a PNG or JPEG; {todo}")


def _frame(marker=0xC0, depth=8, height=24, width=32, channels=3):
    position = JPEG.index(b"\xff\xc0")
    frame = struct.pack(">BHHB", depth, height, width, channels)
    return JPEG[: position + 1] + bytes([marker]) + JPEG[position + 2 : position + 4] + frame + (
        JPEG[position + 10 :]
    )  # fmt: skip


def _png(*parts):
    return image_files.PNG_SIGNATURE + b"".join(image_files.chunk(*part) for part in parts)


IHDR = (b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0))
HUGE = (b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
END = (b"IEND", b"")


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        (headers.read_png, JPEG, r"x: a JPEG found, expected a PNG; convert it to PNG"),
        (headers.read_png, image_files.PNG_SIGNATURE, r"a damaged PNG \(truncated after 8 bytes"),
        (headers.read_png, _png(END, IHDR), "its header is not where it belongs"),
        (headers.read_png, _png(IHDR), "truncated after 33 bytes"),
        (headers.read_png, _png(IHDR, HUGE, END), "it has two headers"),
        (headers.read_png, _png(HUGE, END), "a PNG of 60000 x 60000 pixels found, expected 1 to"),
        (headers.read_jpeg, b"GIF89a", "x: a GIF file found, expected a JPEG"),
        (headers.read_jpeg, JPEG[:-2], r"a damaged JPEG \(truncated: no end after \d+ bytes\)"),
        (headers.read_jpeg, JPEG[:-20] + bytes(20), "truncated: no end after"),
        (headers.read_jpeg, JPEG[:100], "truncated: no end after 100 bytes"),
        (headers.read_jpeg, JPEG[:3], "truncated: no end after 3 bytes"),
        (headers.read_jpeg, JPEG[:20] + b"x" + JPEG[20:], "no part begins at byte 20"),
        (headers.read_jpeg, b"\xff\xd8\xff\xe0\0\1\xff\xd9", "no part begins at byte 2"),
        (headers.read_jpeg, b"\xff\xd8\xff\xff\xff\xd9", "its header is missing"),
        (headers.read_jpeg, b"\xff\xd8\xff\xc0\0\3\0\xff\xd9", "its header is too short"),
        (
            headers.read_jpeg,
            image_files.with_segments(JPEG, image_files.segment(0xC0, b"\x08\0\x10\0\x10\1")),
            "it has two headers",
        ),
        (headers.read_jpeg, _frame(depth=12), "a JPEG of 12 bits and 3 channels found, expected"),
        (headers.read_jpeg, _frame(channels=2), "a JPEG of 8 bits and 2 channels found"),
        (headers.read_jpeg, _frame(0xC3), r"in a rare coding \(lossless .*; convert it to PNG"),
        (headers.read_jpeg, _frame(height=60_000, width=60_000), "a JPEG of 60000 x 60000 pixels"),
        (headers.read_jpeg, _frame(height=0), "a JPEG of 32 x 0 pixels found"),
    ],
)
def test_damage_is_named(read, data, message):
    with pytest.raises(InputError, match=message):
        read(data, "x")
