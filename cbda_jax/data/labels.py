"""Label files, read strictly to the values they hold.

Files that look alike hold their values in different places, and the wrong way of reading fails
silently: a palette file has them as indices or as the grey levels of its palette, 16-bit files lose
them when they are narrowed to 8 bits, painted files need a table. An encoding says which it is;
what could be read in two ways with two results is refused.
"""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import imagecodecs
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cbda_jax.data import headers, images
from cbda_jax.data.encoding import Colour, LabelEncoding
from cbda_jax.errors import InputError
from cbda_jax.label_space import LabelSpace


def write(
    label: UInt8[np.ndarray, "height width"], encoding: LabelEncoding, space: LabelSpace
) -> bytes:
    """Encodes train ids as a label file of a data set, which `read_values` reads.

    Values are written as grey levels, or as colours where the encoding says so. Of several values
    of a class the lowest is written; SYNTHIA's 16-bit files are written as grey levels too.

    Args:
        label: train ids of `space`, 255 for void.
        encoding: the values.
        space: the classes.

    Raises:
        InputError: the space has a class that no value means.
    """
    values = encoding.inverse(space)[label]
    if encoding.form != "colour":
        return images.encode(values)
    colours = np.zeros((256, 3), np.uint8)
    for value, colour in encoding.colours.items():
        colours[value] = colour
    return images.encode(colours[values])


class _File(NamedTuple):
    """A label file as it came: one channel of grey values or indices, or three of RGB."""

    where: str
    kind: str  # in words
    pixels: np.ndarray  # uint8 or uint16, [h, w] or [h, w, 3]
    palette: np.ndarray | None  # uint8 [n, 3], of indices


def read_values(
    data: bytes, where: str, encoding: LabelEncoding
) -> UInt8[np.ndarray, "height width"]:
    """Decodes a label file to the values it holds, in the form that the encoding says.

    Args:
        data: the file's.
        where: names the file in errors.
        encoding: the form, the declared values, and the colours of painted files; the lowest value
            where some share a colour.

    Returns:
        uint8 `[h, w]`, declared values alone.

    Raises:
        InputError: empty, truncated or damaged, not a PNG, of another form, or with colours or
            values that are not declared.
    """
    if headers.is_jpeg(data):
        raise InputError(
            f"{where}: a JPEG found, expected a PNG (JPEG changes values; a label needs PNG); "
            "export the label again, as PNG"
        )
    file = _decode(headers.read_png(data, where), where)
    reader = {"index": _by_index, "grey": _by_grey, "colour": _by_colour, "red16": _by_red}
    values = reader[encoding.form](file, encoding)
    _check_declared(values, where, encoding)
    return values.astype(np.uint8, copy=False)


def _by_index(file: _File, encoding: LabelEncoding) -> np.ndarray:
    if file.palette is not None:
        _check_palette(file, file.palette, encoding)
        return file.pixels
    if file.pixels.ndim == 2:
        return file.pixels
    _refuse_wide(file)
    grey = _equal_channels(file.pixels)
    if grey is not None and not encoding.colours:
        return grey
    painted = _Painted(file.pixels, encoding.colours)
    if painted.unknown:
        if grey is not None:
            return grey
        if not encoding.colours:
            raise InputError(
                f"{file.where}: {file.kind} of colours, {painted.named}, found, expected values "
                "in a palette or grey PNG; set encoding='colour' and declare the classes' colours "
                "to read it"
            )
        _unknown_colours(file, painted, "use the original label files, or declare them")
    values = painted.values
    if grey is not None and not np.array_equal(grey, values) and not _undeclared(grey, encoding):
        raise InputError(
            f"{file.where}: {file.kind} whose greys are colours of classes and values too found, "
            "expected one of them; set encoding='colour' or encoding='grey' to say which"
        )
    return values


def _by_grey(file: _File, encoding: LabelEncoding) -> np.ndarray:
    if file.palette is not None:
        used = _used(file, file.palette)
        colour = next((i for i in used if np.ptp(file.palette[i])), None)
        if colour is not None:
            raise InputError(
                f"{file.where}: a palette PNG with colours in its palette (index {colour} is "
                f"{_rgb(file.palette[colour])}) found, expected grey levels; set encoding='index' "
                "to read its indices, or encoding='colour' to read its colours"
            )
        return _padded(file.palette)[file.pixels][..., 0]
    if file.pixels.ndim == 2:
        return file.pixels
    _refuse_wide(file)
    grey = _equal_channels(file.pixels)
    if grey is None:
        raise InputError(
            f"{file.where}: {file.kind} of colours, {_Painted(file.pixels, {}).named}, found, "
            "expected grey levels; set encoding='colour' and declare the classes' colours to read "
            "it"
        )
    return grey


def _by_colour(file: _File, encoding: LabelEncoding) -> np.ndarray:
    if file.palette is None and file.pixels.ndim == 2:
        raise InputError(
            f"{file.where}: {file.kind} found, expected colours; set encoding='index' to read its "
            "values"
        )
    if file.palette is None:
        _refuse_wide(file)
        pixels = file.pixels
    else:
        _used(file, file.palette)
        pixels = _padded(file.palette)[file.pixels]
    painted = _Painted(pixels, encoding.colours)
    if painted.unknown:
        todo = "declare them as colours of classes or of void"
        if file.palette is not None:
            todo += ", or set encoding='index' to read its indices"
        elif _equal_channels(pixels) is not None:
            todo += ", or set encoding='index' to read its greys as values"
        _unknown_colours(file, painted, todo)
    return painted.values


def _by_red(file: _File, encoding: LabelEncoding) -> np.ndarray:
    if file.pixels.ndim == 3 and file.pixels.dtype == np.uint16:
        return file.pixels[..., 0]
    form = "colour" if file.pixels.ndim == 3 else "index"
    raise InputError(
        f"{file.where}: {file.kind} found, expected a 16-bit RGB PNG with the values in red, as "
        f"SYNTHIA's in GT/LABELS (not GT/COLOR); use those files, or set encoding={form!r}"
    )


def _check_palette(file: _File, palette: np.ndarray, encoding: LabelEncoding) -> None:
    """Refuses indices that number the colours or greys of an image and mean nothing by themselves.

    Programs that save few colours as a palette ("quantise") number them as they come.
    """
    used = [int(i) for i in np.flatnonzero(np.bincount(file.pixels.ravel(), minlength=256))]
    colours = {i: _colour(palette[i]) for i in used if i < len(palette)}
    if all(encoding.colours.get(i) == colour for i, colour in colours.items()):
        return
    greys = {i: red for i, (red, green, blue) in colours.items() if red == green == blue}
    others = [i for i, grey in greys.items() if i != grey]
    if len(greys) == len(colours) and not others:
        return
    start = f"{file.where}: a palette PNG whose palette says other than its indices (index"
    if set(colours.values()) <= set(encoding.colours.values()):
        odd = next(i for i, colour in colours.items() if encoding.colours.get(i) != colour)
        raise InputError(
            f"{start} {odd} is {_rgb(colours[odd])}) found, expected the colour that is declared "
            "of each index; set encoding='colour' to read the palette's colours"
        )
    if len(greys) == len(colours):
        raise InputError(
            f"{start} {others[0]} is grey {greys[others[0]]}) found, expected grey levels that are "
            "the indices; set encoding='grey' to read the palette's grey levels, or declare the "
            f"palette's as the colours of {', '.join(map(str, used[:10]))} if its indices count"
        )


def _check_declared(values: np.ndarray, where: str, encoding: LabelEncoding) -> None:
    undeclared = _undeclared(values, encoding)
    if not undeclared:
        return
    shown = ", ".join(f"{value} ({_pixels(n)})" for value, n in list(undeclared.items())[:10])
    more = f" and {len(undeclared) - 10} more" if len(undeclared) > 10 else ""
    # What most of them have as void, and label ids do not.
    train_ids = "use the original label files if these are train ids, or " * (255 in undeclared)
    raise InputError(
        f"{where}: label values {shown}{more} that nobody declared found, expected "
        f"{encoding.known}; {train_ids}declare them as a class or void"
    )


def _undeclared(values: np.ndarray, encoding: LabelEncoding) -> dict[int, int]:
    """Value -> pixels, of values that are not declared."""
    counts = np.bincount(values.ravel())
    return {
        int(v): int(counts[v]) for v in np.flatnonzero(counts) if int(v) not in encoding.classes
    }


class _Painted:
    """What the colours of pixels mean.

    Attributes:
        unknown: colour -> pixels, of colours that no value has; the most frequent first.
    """

    def __init__(self, pixels: np.ndarray, colours: Mapping[int, Colour]):
        wide = pixels.astype(np.uint32)
        packed = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
        table: dict[int, int] = {}
        for value, (red, green, blue) in sorted(colours.items()):
            table.setdefault(red << 16 | green << 8 | blue, value)
        # By runs: labels have few, and sorting every pixel takes longer than decoding the file.
        flat = packed.ravel()
        starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
        self._lengths = np.diff(np.append(starts, flat.size))
        found, self._inverse = np.unique(flat[starts], return_inverse=True)
        self._shape = packed.shape
        self._values = [table.get(int(colour)) for colour in found]
        counts = np.bincount(self._inverse, self._lengths).astype(np.int64)
        missing = [i for i, value in enumerate(self._values) if value is None]
        missing.sort(key=lambda i: -counts[i])
        unpacked = [(c >> 16, c >> 8 & 255, c & 255) for c in found[missing].tolist()]
        self.unknown: dict[Colour, int] = dict(zip(unpacked, counts[missing].tolist(), strict=True))

    @property
    def named(self) -> str:
        """The unknown colours in words, five of them."""
        shown = [f"{_rgb(colour)} ({_pixels(n)})" for colour, n in self.unknown.items()]
        return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")

    @property
    def values(self) -> np.ndarray:
        """Of every pixel, uint8 `[h, w]`, where no colour is unknown."""
        runs = np.array(self._values, np.uint8)[self._inverse]
        return np.repeat(runs, self._lengths).reshape(self._shape)


def _unknown_colours(file: _File, painted: _Painted, todo: str) -> NoReturn:
    raise InputError(
        f"{file.where}: {file.kind} with {len(painted.unknown)} colours that no class has, "
        f"{painted.named}, found, expected declared colours alone; {todo}"
    )


def _refuse_wide(file: _File) -> None:
    """Of RGB, where 8 bits are expected."""
    if file.pixels.dtype != np.uint8:
        raise InputError(
            f"{file.where}: {file.kind} found, expected 8 bits a channel; set encoding='red16' if "
            "its values are in red, as SYNTHIA's are, or convert it"
        )


def _equal_channels(pixels: np.ndarray) -> np.ndarray | None:
    """The one channel of RGB whose three are the same everywhere."""
    grey = pixels[..., 0]
    same = np.array_equal(grey, pixels[..., 1]) and np.array_equal(grey, pixels[..., 2])
    return grey if same else None


def _used(file: _File, palette: np.ndarray) -> list[int]:
    """The indices that occur, all of which the palette must have."""
    used = [int(i) for i in np.flatnonzero(np.bincount(file.pixels.ravel()))]
    if used[-1] >= len(palette):
        reason = f"index {used[-1]} of a palette of {len(palette)} colours"
        raise headers.broken(file.where, reason)
    return used


def _padded(palette: np.ndarray) -> np.ndarray:
    return np.pad(palette, ((0, 256 - len(palette)), (0, 0)))


def _colour(rgb: Any) -> Colour:
    red, green, blue = (int(x) for x in rgb)
    return red, green, blue


def _rgb(colour: Any) -> str:
    return str(_colour(colour))


def _pixels(count: int) -> str:
    return f"{count:,} pixel{'s' * (count != 1)}"


def _decode(header: headers.Png, where: str) -> _File:
    """Decodes a PNG to what it holds; alpha must be opaque."""
    indexed = header.colour_type == headers.PALETTE
    alpha = header.colour_type in (headers.GREY_ALPHA, headers.RGBA)
    # Pillow spreads greys of fewer bits over 0 to 255, so 4-bit ids would change silently.
    if not indexed and (header.depth < 8 or (header.depth > 8 and alpha)):
        raise InputError(
            f"{where}: {header.kind} found, expected an 8-bit grey or a palette PNG "
            "(encoding='index'); convert it, or use the original label files"
        )
    try:
        if header.depth > 8:
            # Pillow would narrow 16 bits to the upper 8, which are all 0.
            pixels = imagecodecs.png_decode(header.data)
        else:
            pixels = np.asarray(Image.open(io.BytesIO(header.data), formats=["PNG"]))
    # Which of a dozen errors decoders raise depends on where the file is damaged.
    except Exception as error:
        raise headers.broken(where, str(error)) from error
    channels = {headers.RGB: (3,), headers.GREY_ALPHA: (2,), headers.RGBA: (4,)}
    dtype = np.uint16 if header.depth > 8 else np.uint8
    if pixels.dtype != dtype or pixels.shape != (
        *header.size,
        *channels.get(header.colour_type, ()),
    ):
        raise headers.broken(where, f"its pixels read as {pixels.dtype}{list(pixels.shape)}")
    if alpha:
        clear = int((pixels[..., -1] < 255).sum())
        if clear:
            raise InputError(
                f"{where}: {header.kind} of which {_pixels(clear)} are not opaque found, expected "
                "255 everywhere, as it is unclear which pixels count; save it without alpha"
            )
        pixels = pixels[..., 0] if header.colour_type == headers.GREY_ALPHA else pixels[..., :3]
    if pixels.dtype == np.uint16 and pixels.ndim == 2 and pixels.max() > 255:
        raise InputError(
            f"{where}: {header.kind} with values up to {pixels.max()} found, expected values of 0 "
            "to 255; use the original label files, or renumber the values"
        )
    palette = np.frombuffer(header.palette[: len(header.palette) // 3 * 3], np.uint8)
    return _File(where, header.kind, pixels, palette.reshape(-1, 3)[:256] if indexed else None)
