"""PNG files: strict reading of what users have, fast reading and writing of what we store.

Three kinds of label files need three ways of reading, and the wrong way fails silently: palette
files keep their ids only as indices, 48-bit files lose them when they are narrowed to 8 bits,
coloured files need a table.
"""

import io
import struct
import warnings

import imagecodecs
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cbda_jax.data.labels import LABEL_COLOURS
from cbda_jax.errors import InputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6


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


def header(data: bytes, where: str) -> tuple[int, int, int]:
    """Reads (bit depth, colour type, interlace) of a PNG; `where` names the file in errors.

    Raises:
        InputError: The file is empty or not a PNG.
    """
    if not data:
        raise InputError(f"{where}: the file is empty; expected a PNG. Copy it again.")
    if not data.startswith(_SIGNATURE) or len(data) < 33:
        raise InputError(
            f"{where}: not a PNG (it begins with {data[:8]!r}); expected a PNG. Copy it again."
        )
    return struct.unpack_from(">BBxxB", data, 24)


def read_image(data: bytes, where: str) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes a user's 8-bit photograph to RGB.

    Raises:
        InputError: Empty, truncated, not a PNG, or of more than 8 bits a channel.
    """
    depth, _, _ = header(data, where)
    if depth > 8:
        raise InputError(f"{where}: an image of {depth} bits a channel; expected 8-bit RGB.")
    return np.asarray(_open(data, where).convert("RGB"))


def read_label_ids(data: bytes, where: str) -> UInt8[np.ndarray, "height width"]:
    """Decodes a Cityscapes or GTAV label file, by index, grey value or colour, to label ids.

    Raises:
        InputError: Empty, truncated, not a PNG, of another bit depth, or of unknown colours.
    """
    depth, colour_type, _ = header(data, where)
    # Pillow spreads greys of fewer bits over 0 to 255, so 4-bit ids would change silently.
    if depth > 8 or (depth < 8 and colour_type != _PALETTE) or colour_type == _GREY_ALPHA:
        raise InputError(
            f"{where}: a PNG of {depth} bits and colour type {colour_type}; expected 8-bit label"
            " ids as palette or grey PNG."
        )
    if colour_type in (_RGB, _RGBA):
        return _ids_of_colours(np.asarray(_open(data, where).convert("RGB")), where)
    return np.asarray(_open(data, where))


def read_synthia_ids(data: bytes, where: str) -> UInt8[np.ndarray, "height width"]:
    """Decodes a SYNTHIA label file: 16-bit RGB, the class id in red, an instance number in green.

    Raises:
        InputError: Empty, truncated, not a PNG, or not 16-bit RGB.
    """
    depth, colour_type, _ = header(data, where)
    if (depth, colour_type) != (16, _RGB):
        raise InputError(
            f"{where}: a PNG of {depth} bits and colour type {colour_type}; expected SYNTHIA's"
            " 16-bit RGB labels (GT/LABELS, not GT/COLOR)."
        )
    try:
        # Pillow would narrow 16 bits to the upper 8, which are all 0.
        red = imagecodecs.png_decode(data)[..., 0]
    except imagecodecs.PngError as error:
        raise _broken(where, error) from error
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


def _open(data: bytes, where: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=["PNG"])
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning) as error:
        raise _broken(where, error) from error


def _broken(where: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"{where}: a damaged PNG ({reason}). Copy or download it again.")


def _ids_of_colours(
    colours: UInt8[np.ndarray, "height width 3"], where: str
) -> UInt8[np.ndarray, "height width"]:
    packed = _pack(colours)
    table: dict[int, int] = {}
    # Some ids share a colour, such as black: the lowest stands for all of them.
    for label_id, colour in enumerate(_pack(LABEL_COLOURS)):
        table.setdefault(int(colour), label_id)
    found, inverse = np.unique(packed, return_inverse=True)
    unknown = [int(colour) for colour in found if int(colour) not in table]
    if unknown:
        shown = ", ".join(f"({c >> 16}, {c >> 8 & 255}, {c & 255})" for c in unknown[:5])
        raise InputError(
            f"{where}: {len(unknown)} colours that no class has, such as {shown}; expected the"
            " Cityscapes palette."
        )
    ids = np.array([table[int(colour)] for colour in found], np.uint8)
    return ids[inverse.reshape(packed.shape)]


def _pack(colours: np.ndarray) -> np.ndarray:
    wide = colours.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
