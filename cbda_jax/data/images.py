"""Image files: strict reading of what users have, fast reading and writing of what is stored.

Three kinds of label files need three ways of reading, and the wrong way fails silently: palette
files keep their ids only as indices, 48-bit files lose them when they are narrowed to 8 bits,
coloured files need a table.
"""

import io
import struct
import zlib
from collections.abc import Mapping

import imagecodecs
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cbda_jax.errors import InputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6

MOST_PIXELS = 2**26
"""Of any image: a header of 60,000 x 60,000 is quickly written, and takes gigabytes to believe."""


def decode(data: bytes) -> UInt8[np.ndarray, "height width *channels"]:
    """Decodes an 8-bit PNG that `encode` wrote."""
    # Against Pillow: equally fast on photographs, twice as fast on labels.
    return imagecodecs.png_decode(data)


def encode(array: UInt8[np.ndarray, "height width *channels"]) -> bytes:
    """Encodes uint8 [H, W] (grey, mode L) or [H, W, 3] (RGB) as PNG.

    At zlib level 1: writing is nine times as fast as at the usual 6, files are a tenth larger and
    read equally fast.
    """
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(array), level=1))


def stored_size(data: bytes) -> tuple[int, int]:
    """(height, width) of a PNG that `encode` wrote; nothing is decoded."""
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def header(data: bytes, where: str) -> tuple[int, int, int]:
    """Reads (bit depth, colour type, interlace) of a PNG; `where` names the file in errors.

    The file must be whole: every chunk that pixels depend on is compared with its checksum, which
    decoders do not do for all of them.

    Raises:
        InputError: the file is empty, not a PNG, truncated or damaged, or claims a size beyond all
            photographs.
    """
    if not data:
        raise InputError(f"{where}: an empty file found, expected a PNG; copy it again")
    if not data.startswith(_SIGNATURE) or len(data) < 33:
        raise InputError(
            f"{where}: a file that begins with {data[:8]!r} found, expected a PNG; copy it again"
        )
    _check_chunks(data, where)
    width, height, depth, colour_type, interlace = struct.unpack_from(">IIBBxxB", data, 16)
    if not 1 <= width * height <= MOST_PIXELS:
        raise InputError(
            f"{where}: a PNG of {width} x {height} pixels found, expected 1 to {MOST_PIXELS} "
            "pixels in all; copy or download it again"
        )
    return depth, colour_type, interlace


def read_image(data: bytes, where: str) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes a user's 8-bit photograph to RGB.

    Raises:
        InputError: empty, truncated, not a PNG, or of more than 8 bits a channel.
    """
    depth, _, _ = header(data, where)
    if depth > 8:
        raise InputError(
            f"{where}: an image of {depth} bits a channel found, expected 8-bit RGB; convert it"
        )
    return _pixels(data, where, "RGB")


def read_label_ids(
    data: bytes, where: str, colours: Mapping[int, tuple[int, int, int]]
) -> UInt8[np.ndarray, "height width"]:
    """Decodes a label file of 8 bits, by index, grey value or colour, to the values it holds.

    Args:
        data: the file's.
        where: names the file in errors.
        colours: value -> RGB, of painted files; the lowest value where some share a colour.

    Raises:
        InputError: empty, truncated, not a PNG, of another bit depth, or of unknown colours.
    """
    depth, colour_type, _ = header(data, where)
    # Pillow spreads greys of fewer bits over 0 to 255, so 4-bit ids would change silently.
    if depth > 8 or (depth < 8 and colour_type != _PALETTE) or colour_type == _GREY_ALPHA:
        raise InputError(
            f"{where}: a PNG of {depth} bits and colour type {colour_type} found, expected 8-bit "
            "label ids as palette or grey PNG; use the original label files"
        )
    if colour_type in (_RGB, _RGBA):
        return _ids_of_colours(_pixels(data, where, "RGB"), where, colours)
    return _pixels(data, where)


def read_synthia_ids(data: bytes, where: str) -> UInt8[np.ndarray, "height width"]:
    """Decodes a SYNTHIA label file: 16-bit RGB, the class id in red, an instance number in green.

    Raises:
        InputError: empty, truncated, not a PNG, or not 16-bit RGB.
    """
    depth, colour_type, _ = header(data, where)
    if (depth, colour_type) != (16, _RGB):
        raise InputError(
            f"{where}: a PNG of {depth} bits and colour type {colour_type} found, expected "
            "SYNTHIA's 16-bit RGB labels; use GT/LABELS, not GT/COLOR"
        )
    try:
        # Pillow would narrow 16 bits to the upper 8, which are all 0.
        red = imagecodecs.png_decode(data)[..., 0]
    except Exception as error:
        raise _broken(where, str(error)) from error
    # Beyond 255 is as unknown as 255 is, and the caller reports it.
    return np.minimum(red, 255).astype(np.uint8)


def resize_image(
    image: UInt8[np.ndarray, "height width 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """Resizes to (height, width) with Pillow's bicubic filter, which widens when it shrinks."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def resize_label(
    label: UInt8[np.ndarray, "height width"], size: tuple[int, int]
) -> UInt8[np.ndarray, "new_height new_width"]:
    """Resizes to (height, width) by taking the nearest pixel, as Pillow does."""
    height, width = size
    if label.shape == (height, width):
        return label
    return np.asarray(Image.fromarray(label).resize((width, height), Image.Resampling.NEAREST))


def _check_chunks(data: bytes, where: str) -> None:
    view, position = memoryview(data), len(_SIGNATURE)
    if data[position : position + 8] != b"\0\0\0\rIHDR":
        raise _broken(where, "its header is not where it belongs")
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        # Pixels do not depend on chunks that begin with a small letter.
        critical = not kind[0] & 32
        stored = struct.unpack_from(">I", data, end - 4)[0]
        if critical and zlib.crc32(view[position + 4 : end - 4]) != stored:
            raise _broken(where, f"the checksum of its part {kind!r} is wrong")
        if kind == b"IEND":
            return
        position = end
    raise _broken(where, f"truncated after {len(data)} bytes")


def _pixels(data: bytes, where: str, mode: str | None = None) -> np.ndarray:
    """Decodes with Pillow, to a mode if one is given; uint8."""
    try:
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        pixels = np.asarray(image if mode is None else image.convert(mode))
    # Which of a dozen errors Pillow raises depends on where the file is damaged.
    except Exception as error:
        raise _broken(where, str(error)) from error
    if pixels.dtype != np.uint8 or pixels.ndim != (2 if mode is None else 3):
        raise _broken(where, f"its pixels read as {pixels.dtype}{list(pixels.shape)}")
    return pixels


def _broken(where: str, reason: str) -> InputError:
    return InputError(
        f"{where}: a damaged PNG ({' '.join(reason.split())}) found, expected a whole one; copy or "
        "download it again"
    )


def _ids_of_colours(
    painted: UInt8[np.ndarray, "height width 3"],
    where: str,
    colours: Mapping[int, tuple[int, int, int]],
) -> UInt8[np.ndarray, "height width"]:
    wide = painted.astype(np.uint32)
    packed = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    table: dict[int, int] = {}
    for value, (red, green, blue) in sorted(colours.items()):
        table.setdefault(red << 16 | green << 8 | blue, value)
    found, inverse = np.unique(packed, return_inverse=True)
    unknown = [int(colour) for colour in found if int(colour) not in table]
    if unknown:
        shown = ", ".join(f"({c >> 16}, {c >> 8 & 255}, {c & 255})" for c in unknown[:5])
        expected = "those of the data set's palette" if table else "a palette or grey PNG"
        raise InputError(
            f"{where}: {len(unknown)} colours that no class has, such as {shown}, found, expected "
            f"{expected}; use the original label files"
        )
    ids = np.array([table[int(colour)] for colour in found], np.uint8)
    return ids[inverse.reshape(packed.shape)]
