"""What an image file says of itself before its pixels are decoded, checked for damage.

The format goes by a file's first bytes: names are often wrong. What pixels do not depend on (colour
profiles, texts, thumbnails, second pictures) is left out before a decoder sees it, so that none of
it can do harm.
"""

import re
import struct
import zlib
from typing import NamedTuple

from cbda_jax.errors import InputError

MOST_PIXELS = 2**26
"""Of any image: a header of 60,000 x 60,000 is quickly written, and takes gigabytes to believe."""

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Colour types of PNG."""

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_COLOUR_TYPES = {GREY: " grey PNG", RGB: " RGB PNG", GREY_ALPHA: " grey PNG", RGBA: " RGB PNG"}

_CONVERT, _AGAIN = "", "copy or download it again"
# What else people have under the name of an image: first bytes, its name, and what to do.
_OTHERS = (
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "a TIFF file", _CONVERT),
    (rb"RIFF.{4}WEBP", "a WebP file", _CONVERT),
    (rb"GIF8", "a GIF file", _CONVERT),
    (rb"BM.{4}\0{4}", "a BMP file", _CONVERT),
    (rb".{4}ftyp(avif|avis)", "an AVIF file", _CONVERT),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "a HEIC file", _CONVERT),
    (rb".{4}ftyp", "a video or a raw photograph (ISO media)", _CONVERT),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 file", _CONVERT),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL file", _CONVERT),
    (rb"8BPS", "a Photoshop file", _CONVERT),
    (rb"\x76\x2f\x31\x01", "an OpenEXR file", _CONVERT),
    (rb"\x93NUMPY", "a NumPy array", _CONVERT),
    (rb"%PDF", "a PDF file", _CONVERT),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?<svg", "an SVG drawing", _CONVERT),
    (rb"(?i)(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype\s+)?html", "an HTML page", _AGAIN),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML text", _AGAIN),
    (rb"version https://git-lfs", "a Git LFS pointer", "fetch the file with `git lfs pull`"),
    (rb"(\.\./)*(\.git)?/annex/objects/", "a git-annex pointer", "fetch it with `git annex get`"),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive", "extract it"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|\xfd7zXZ|BZh", "a compressed archive", "extract it"),
    (rb"\0\x05\x16\x07", "what macOS keeps beside a file (._NAME)", "remove it"),
    (rb"\0{16}", "a file of zeros", _AGAIN),
)
_KNOWN = [(re.compile(start, re.DOTALL), name, todo) for start, name, todo in _OTHERS]

# Parts of a PNG that may be damaged. Of other names the damage may be in the name.
_HARMLESS = frozenset(
    b"tEXt zTXt iTXt iCCP gAMA cHRM sRGB cICP sBIT bKGD hIST pHYs sPLT tIME oFFs pCAL sCAL".split()
)

# In a scan of a JPEG 0xFF is followed by 0 where it is data, and by D0 to D7 where a part begins.
_AFTER_A_SCAN = re.compile(rb"\xff[^\0\xff\xd0-\xd7]")
_SOI, _EOI, _SOS, _JFIF, _EXIF, _ADOBE, _LAST_APP, _COMMENT = (
    0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE,
)  # fmt: skip
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_READABLE_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive


class Png(NamedTuple):
    """A PNG that is whole, before it is decoded.

    Attributes:
        size: (height, width).
        depth: bits a channel: 1, 2, 4, 8 or 16.
        colour_type: one of the five.
        palette: RGB of each index, uint8 `[n, 3]` as bytes; none in most files without indices.
        transparent: some pixels may be, by a chunk tRNS.
        orientation: of the EXIF tag, 1 to 8; 1 is upright.
        data: the file without what its pixels do not depend on.
    """

    size: tuple[int, int]
    depth: int
    colour_type: int
    palette: bytes
    transparent: bool
    orientation: int
    data: bytes

    @property
    def kind(self) -> str:
        """In words: "an 8-bit grey PNG", say."""
        if self.colour_type == PALETTE:
            return "a palette PNG"
        alpha = " with alpha" if self.colour_type in (GREY_ALPHA, RGBA) else ""
        name = _COLOUR_TYPES.get(self.colour_type, f" PNG of colour type {self.colour_type}")
        return f"a{'n' if self.depth == 8 else ''} {self.depth}-bit{name}{alpha}"


class Jpeg(NamedTuple):
    """A JPEG that is whole, before it is decoded.

    Attributes:
        size: (height, width), as stored.
        channels: 1 grey, 3 colours, 4 CMYK.
        adobe: whether Adobe's marker is there, which says how inks are stored.
        orientation: of the EXIF tag, 1 to 8; 1 is upright.
        data: the first picture of the file, without what its pixels do not depend on.
    """

    size: tuple[int, int]
    channels: int
    adobe: bool
    orientation: int
    data: bytes


def is_png(data: bytes) -> bool:
    """Whether the file begins as PNGs do."""
    return data.startswith(_PNG)


def is_jpeg(data: bytes) -> bool:
    """Whether the file begins as JPEGs do."""
    return data.startswith(_JPEG)


def other_format(data: bytes, where: str, expected: str) -> InputError:
    """The error about a file of another format, which is named if it is a known one.

    Args:
        data: the file's.
        where: names the file.
        expected: the formats that would do: "PNG or JPEG".
    """
    if not data:
        return InputError(f"{where}: an empty file found, expected a {expected}; copy it again")
    if is_jpeg(data):
        found, todo = "a JPEG", _CONVERT
    else:
        start = data[:1024]
        unknown = (None, f"a file that begins with {data[:8]!r}", "copy it again")
        _, found, todo = next((known for known in _KNOWN if known[0].match(start)), unknown)
    return InputError(
        f"{where}: {found} found, expected a {expected}; {todo or f'convert it to {expected}'}"
    )


def broken(where: str, reason: str, kind: str = "PNG") -> InputError:
    """The error about a file that is damaged."""
    return InputError(
        f"{where}: a damaged {kind} ({' '.join(reason.split())}) found, expected a whole one; copy "
        "or download it again"
    )


def read_png(data: bytes, where: str) -> Png:
    """Reads the header of a PNG; `where` names the file in errors.

    The file must be whole: every chunk that pixels depend on is compared with its checksum, which
    decoders do not do for all of them.

    Raises:
        InputError: the file is no PNG, truncated or damaged, or claims a size beyond all
            photographs.
    """
    if not is_png(data):
        raise other_format(data, where, "PNG")
    if data[8:16] != b"\0\0\0\rIHDR":
        reason = f"truncated after {len(data)} bytes"
        raise broken(where, "its header is not where it belongs" if len(data) > 15 else reason)
    kept: list[bytes | memoryview] = [_PNG]
    beside = {b"PLTE": b"", b"tRNS": b"", b"eXIf": b""}
    for kind, chunk in _chunks(data, where):
        # Pixels do not depend on chunks that begin with a small letter.
        if not kind[0] & 32:
            kept.append(chunk)
        if kind in beside:
            beside[kind] = bytes(chunk[8:-4])
        # Decoders differ in which of two headers they believe.
        if kind == b"IHDR" and len(kept) > 2:
            raise broken(where, "it has two headers")
    width, height, depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    _check_size((height, width), where, "PNG")
    return Png(
        size=(height, width),
        depth=depth,
        colour_type=colour_type,
        palette=beside[b"PLTE"],
        transparent=bool(beside[b"tRNS"]),
        orientation=_orientation(beside[b"eXIf"]),
        data=b"".join(kept),
    )


def read_jpeg(data: bytes, where: str) -> Jpeg:
    """Reads the header of a JPEG up to the end of its first picture; `where` names the file.

    Raises:
        InputError: the file is no JPEG, truncated or damaged, of a kind that few programs write,
            or claims a size beyond all photographs.
    """
    if not is_jpeg(data):
        raise other_format(data, where, "JPEG")
    kept, exif, adobe, frame = [data[:2]], b"", False, None
    for marker, start, end in _segments(data, where):
        content = data[start + 4 : end]
        if marker == _ADOBE and content.startswith(b"Adobe"):
            adobe = True
        elif marker == _EXIF and content.startswith(b"Exif\0\0"):
            exif = exif or content[6:]
        elif marker in _FRAMES:
            if frame is not None:
                raise broken(where, "it has two headers", "JPEG")
            frame = _frame(marker, content, where)
        application = _JFIF <= marker <= _LAST_APP or marker == _COMMENT
        if not application or marker in (_JFIF, _ADOBE):
            kept.append(data[start:end])
    if frame is None:
        raise broken(where, "its header is missing", "JPEG")
    size, channels = frame
    return Jpeg(size, channels, adobe, _orientation(exif), b"".join(kept))


def _chunks(data: bytes, where: str):
    """Kind and bytes of each chunk of a PNG, up to its end."""
    view, position = memoryview(data), len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        stored = struct.unpack_from(">I", data, end - 4)[0]
        if kind not in _HARMLESS and zlib.crc32(view[position + 4 : end - 4]) != stored:
            raise broken(where, f"the checksum of its part {kind!r} is wrong")
        yield kind, view[position:end]
        if kind == b"IEND":
            return
        position = end
    raise broken(where, f"truncated after {len(data)} bytes")


def _segments(data: bytes, where: str):
    """Marker, start and end of each segment of a JPEG, scans with their data, up to its end."""
    position = 2
    while position + 2 <= len(data):
        if data[position] != 0xFF:
            raise broken(where, f"no part begins at byte {position}", "JPEG")
        marker = data[position + 1]
        if marker == 0xFF:  # Any number of them may fill up.
            position += 1
            continue
        if marker == _EOI:
            yield marker, position, position + 2
            return
        if marker <= 1 or 0xD0 <= marker <= _SOI:
            raise broken(where, f"no part begins at byte {position}", "JPEG")
        if position + 4 > len(data):
            break
        length = struct.unpack_from(">H", data, position + 2)[0]
        end = position + 2 + length
        if length < 2:
            raise broken(where, f"no part begins at byte {position}", "JPEG")
        if marker == _SOS:
            found = _AFTER_A_SCAN.search(data, end)
            if found is None:
                break
            end = found.start()
        if end > len(data):
            break
        yield marker, position, end
        position = end
    raise broken(where, f"truncated: no end after {len(data)} bytes", "JPEG")


def _frame(marker: int, content: bytes, where: str) -> tuple[tuple[int, int], int]:
    """(height, width) and the number of channels."""
    if len(content) < 6:
        raise broken(where, "its header is too short", "JPEG")
    depth, height, width, channels = struct.unpack_from(">BHHB", content)
    if marker not in _READABLE_FRAMES or depth != 8 or channels not in (1, 3, 4):
        coding = "" if marker in _READABLE_FRAMES else ", in a rare coding (lossless or arithmetic)"
        raise InputError(
            f"{where}: a JPEG of {depth} bits and {channels} channels{coding} found, expected an "
            "8-bit baseline or progressive one; convert it to PNG"
        )
    _check_size((height, width), where, "JPEG")
    return (height, width), channels


def _check_size(size: tuple[int, int], where: str, kind: str) -> None:
    height, width = size
    if not 1 <= width * height <= MOST_PIXELS:
        raise InputError(
            f"{where}: a {kind} of {width} x {height} pixels found, expected 1 to {MOST_PIXELS} "
            "pixels in all; copy or download it again"
        )


def _orientation(exif: bytes) -> int:
    """The tag of an EXIF block, 1 to 8; 1 where there is none that can be read.

    Pillow's reader would warn of, or fail at, whatever cameras wrote wrongly beside this tag.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        start = struct.unpack_from(f"{order}I", exif, 4)[0]
        count = struct.unpack_from(f"{order}H", exif, start)[0]
        for i in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * i)
            if (tag, kind) == (0x112, 3):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
