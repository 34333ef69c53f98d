import io
import zlib

import image_files
import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import images
from cbda_jax.errors import InputError

SCENE = image_files.scene()
UPRIGHT = Image.fromarray(SCENE)
JPEG = image_files.saved(UPRIGHT, "JPEG", quality=95)
# EXIF orientation -> what is to be done to the stored pixels, as the standard has it.
TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


def near(found, expected, tolerance=6):
    """JPEG changes values a little."""
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < tolerance


def test_encode_is_lossless_and_grey_or_rgb(tmp_path):
    rng = np.random.default_rng(0)
    for shape, mode in (((7, 9), "L"), ((7, 9, 3), "RGB")):
        array = rng.integers(0, 256, shape, np.uint8)
        data = images.encode(array)
        (tmp_path / "x.png").write_bytes(data)
        with Image.open(tmp_path / "x.png") as image:
            assert image.mode == mode
            np.testing.assert_array_equal(np.asarray(image), array)
        np.testing.assert_array_equal(images.decode(data), array)
        assert images.stored_size(data) == (7, 9)


def test_resizing_is_that_of_pillow():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (7, 9, 3), np.uint8)
    label = rng.integers(0, 19, (7, 9), np.uint8)
    small = images.resize_image(image, (4, 5))
    expected = Image.fromarray(image).resize((5, 4), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(small, np.asarray(expected))
    assert images.resize_image(image, (7, 9)) is image
    nearest = images.resize_label(label, (14, 18))
    np.testing.assert_array_equal(nearest, label.repeat(2, 0).repeat(2, 1))
    assert images.resize_label(label, (7, 9)) is label


@pytest.mark.parametrize(
    ("array", "expected", "converted"),
    [
        (SCENE, SCENE, ()),
        (SCENE[..., 0], SCENE[..., [0, 0, 0]], ("grey",)),
        (SCENE[..., :2], SCENE[..., [0, 0, 0]], ("grey", "alpha left out")),
        (SCENE[..., [0, 1, 2, 0]], SCENE, ("alpha left out",)),
        (
            np.insert(SCENE, 3, 255, axis=-1),
            SCENE,
            ("alpha left out",),
        ),
    ],
)
def test_kinds_of_png(array, expected, converted):
    found = images.read_photograph(image_files.png(array), "x.jpg")
    np.testing.assert_array_equal(found.pixels, expected)
    assert found[1:] == ((24, 32), converted)


@pytest.mark.parametrize("transparency", [None, 1, bytes([0, 9, 255])])
def test_a_palette(transparency):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    colours = np.array([(1, 2, 3), (200, 0, 9), (5, 5, 5)], np.uint8)
    options = {} if transparency is None else {"transparency": transparency}
    found = images.read_photograph(image_files.png(indices, colours, **options), "x.png")
    np.testing.assert_array_equal(found.pixels, colours[indices])
    assert found.converted == ("palette", "alpha left out")[: 1 + bool(options)]


def test_kinds_of_jpeg():
    found = images.read_photograph(JPEG, "x.png")
    near(found.pixels, SCENE)
    assert found[1:] == ((24, 32), ())
    decoded = np.asarray(Image.open(io.BytesIO(JPEG)))
    np.testing.assert_array_equal(found.pixels, decoded)
    for options in ({"progressive": True}, {"restart_marker_blocks": 2}, {"subsampling": 2}):
        data = image_files.saved(UPRIGHT, "JPEG", quality=95, **options)
        near(images.read_photograph(data, "x.png").pixels, SCENE)
    grey = images.read_photograph(image_files.saved(UPRIGHT.convert("L"), "JPEG"), "x.png")
    near(grey.pixels, np.asarray(UPRIGHT.convert("L").convert("RGB")))
    assert grey.converted == ("grey",)


def test_inks():
    inks = image_files.saved(UPRIGHT.convert("CMYK"), "JPEG", quality=95)
    found = images.read_photograph(inks, "x.jpg")
    near(found.pixels, SCENE)
    assert found.converted == ("CMYK",)
    # As Photoshop writes them: YCCK, which Adobe's marker says. It takes what is stored as C for
    # 255 - R; inks are stored inverted, so that this R is the ink C. Pillow inverts once more.
    ycc = np.asarray(Image.fromarray(255 - SCENE).convert("YCbCr"))
    stored = np.insert(255 - ycc, 3, 0, axis=-1)
    inverted = Image.merge("CMYK", [Image.fromarray(plane) for plane in np.moveaxis(stored, -1, 0)])
    data = image_files.saved(inverted, "JPEG", quality=95)
    marker = data.index(b"Adobe") + 11
    assert data[marker] == 0
    data = data[:marker] + b"\2" + data[marker + 1 :]
    near(images.read_photograph(data, "x.jpg").pixels, SCENE)
    start = inks.index(b"\xff\xee")
    end = start + 2 + int.from_bytes(inks[start + 2 : start + 4], "big")
    with pytest.raises(InputError, match=r"x\.jpg: a CMYK JPEG that does not say .* to RGB"):
        images.read_photograph(inks[:start] + inks[end:], "x.jpg")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", TURNS)
def test_the_tag_of_the_orientation(kind, orientation):
    exif = image_files.oriented(orientation)
    data = image_files.saved(UPRIGHT, kind, exif=exif, **{"quality": 95} if kind == "JPEG" else {})
    found = images.read_photograph(data, "x")
    near(found.pixels, TURNS[orientation](SCENE), 6 if kind == "JPEG" else 1e-9)
    assert found.unrotated == (24, 32)
    assert found.converted == (("rotated by its EXIF tag",) if orientation > 1 else ())


def test_large_profiles_do_no_harm():
    """Pillow refuses them in PNGs."""
    profile = np.random.default_rng(0).bytes(2**21)
    compressed = b"Display P3\0\0" + zlib.compress(profile, 0)
    data = image_files.with_chunk(image_files.png(SCENE), b"iCCP", compressed)
    np.testing.assert_array_equal(images.read_photograph(data, "x").pixels, SCENE)
    text = image_files.with_chunk(image_files.png(SCENE), b"zTXt", b"a\0\0" + compressed[12:])
    np.testing.assert_array_equal(images.read_photograph(text, "x").pixels, SCENE)
    data = image_files.saved(UPRIGHT, "JPEG", quality=95, icc_profile=profile)
    assert data.count(b"ICC_PROFILE") > 30
    np.testing.assert_array_equal(
        images.read_photograph(data, "x").pixels, images.read_photograph(JPEG, "x").pixels
    )


def test_of_two_pictures_the_first_is_read():
    second = Image.new("RGB", (8, 8))
    both = image_files.saved(
        UPRIGHT, "MPO", save_all=True, append_images=[second], quality=95, exif=b""
    )
    assert Image.open(io.BytesIO(both)).n_frames == 2
    found = images.read_photograph(both, "x.jpg")
    near(found.pixels, SCENE)
    assert found.converted == ()
    # Without the second picture the file is whole for us, without some of the first it is not.
    end = both.index(b"\xff\xd9\xff\xd8") + 2
    near(images.read_photograph(both[:end], "x.jpg").pixels, SCENE)
    with pytest.raises(InputError, match="a damaged JPEG"):
        images.read_photograph(both[: end - 9], "x.jpg")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            image_files.png(SCENE.astype(np.uint16)),
            r"x\.png: an image of 16 bits a channel found, expected 8-bit RGB; convert it",
        ),
        (
            image_files.saved(UPRIGHT, "WebP"),
            r"x\.png: a WebP file found, expected a PNG or",
        ),
        (b"", r"x\.png: an empty file found, expected a PNG or JPEG"),
        (JPEG[:-2], r"x\.png: a damaged JPEG \(truncated"),
        (JPEG[: len(JPEG) // 2], r"x\.png: a damaged JPEG \(truncated"),
        # Its quantization tables are missing.
        (JPEG[:20] + JPEG[20 + 2 * 69 :], r"x\.png: a damaged JPEG \(.*\) found"),
        (image_files.png(SCENE)[:-30], r"x\.png: a damaged PNG \(truncated"),
        (
            image_files.PNG_SIGNATURE
            + b"".join(
                image_files.chunk(kind, b"" if kind == b"IDAT" else content)
                for kind, content in image_files.chunks(image_files.png(SCENE))
            ),
            r"x\.png: a damaged PNG \(",
        ),
    ],
)
def test_what_is_no_photograph(data, message):
    with pytest.raises(InputError, match=message) as raised:
        images.read_photograph(data, "x.png")
    assert "\n" not in str(raised.value)
