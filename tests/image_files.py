"""Image files that tests make, whole and with parts that few programs write."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(array, palette=None, **options):
    """A PNG: of uint16 in 16 bits, of a palette (RGB of each index) with indices."""
    if array.dtype == np.uint16:
        return bytes(imagecodecs.png_encode(array))
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
    return saved(image, "PNG", **options)


def saved(image, kind, **options):
    """What Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def scene(height=24, width=32):
    """A smooth picture, which JPEG keeps: uint8 [H, W, 3]."""
    y, x = np.mgrid[:height, :width]
    planes = (255 * x / (width - 1), 255 * y / (height - 1), 127 + 60 * np.sin((x + y) / 9))
    return np.stack(planes, -1).astype(np.uint8)


def oriented(orientation):
    """An EXIF block with the tag."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def chunk(kind, content):
    """A chunk of a PNG."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def with_chunk(data, kind, content):
    """A PNG with one chunk more, after its header."""
    return data[:33] + chunk(kind, content) + data[33:]


def chunks(data):
    """Kind and content of each chunk of a PNG."""
    found, position = [], len(PNG_SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        found.append((kind, data[position + 8 : position + 8 + length]))
        position += length + 12
    return found


def segment(marker, content):
    """A segment of a JPEG."""
    return struct.pack(">BBH", 255, marker, len(content) + 2) + content


def with_segments(data, *segments):
    """A JPEG with more segments, after its beginning."""
    return data[:2] + b"".join(segments) + data[2:]
