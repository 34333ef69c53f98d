import numpy as np
import pytest
from PIL import Image

from cbda_jax.data.image_folder import ImageFolder
from cbda_jax.errors import InputError


def save(path, height, width, turned=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.full((height, width, 3), 90, np.uint8))
    exif = image.getexif()
    if turned:
        exif[274] = 6
    image.save(path, exif=exif)


def test_images_of_any_folder(tmp_path):
    save(tmp_path / "b.PNG", 20, 30)
    save(tmp_path / "a" / "b.jpg", 16, 24)
    save(tmp_path / "turned.jpeg", 10, 40, turned=True)
    (tmp_path / "notes.txt").write_text("none")
    folder = ImageFolder(tmp_path, (8, 12))
    assert folder.ids == ("a/b", "b", "turned")
    assert folder.sizes.tolist() == folder.native_sizes.tolist() == [[16, 24], [20, 30], [40, 10]]
    assert len(folder) == 3
    assert folder.image(0).shape == (8, 12, 3)
    assert folder.photograph(2).shape == (40, 10, 3)
    assert folder.label(2).shape == (40, 10)
    assert (folder.label(2) == 255).all()


def test_of_many_sizes_all_are_predicted_at_one(tmp_path):
    for number in range(9):
        save(tmp_path / f"{number}.png", 20 + number, 30)
    folder = ImageFolder(tmp_path, (8, 12))
    assert folder.sizes.tolist() == 9 * [[8, 12]]
    assert folder.native_sizes.tolist() == [[20 + n, 30] for n in range(9)]
    assert folder.label(3).shape == (8, 12)


def test_what_is_no_folder_of_images(tmp_path):
    with pytest.raises(InputError, match="nothing found, expected a folder with PNG or JPEG"):
        ImageFolder(tmp_path / "none", (8, 12))
    with pytest.raises(InputError, match="no image found, expected files that end in"):
        ImageFolder(tmp_path, (8, 12))
    save(tmp_path / "a.png", 20, 30)
    save(tmp_path / "a.jpg", 20, 30)
    with pytest.raises(InputError, match=r"a\.png: the same name as .*a\.jpg found"):
        ImageFolder(tmp_path, (8, 12))
    (tmp_path / "a.jpg").write_bytes(b"GIF89a" + bytes(30))
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.jpg: a GIF file found"):
        ImageFolder(tmp_path, (8, 12))
