"""Any folder of images, to be predicted as they are: nothing is prepared, no labels are needed."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from cbda_jax.data import headers, images
from cbda_jax.data.datasets.folders import MOST_SIZES, parallel_map
from cbda_jax.data.datasets.trees import File, Tree
from cbda_jax.errors import InputError
from cbda_jax.label_space import IGNORE

_ENDINGS = (".png", ".jpg", ".jpeg")


class ImageFolder:
    """The PNG and JPEG files below a folder, as records whose labels are void.

    Attributes:
        ids: paths below the folder without their endings, sorted.
        sizes: int32 `[n, 2]`, (height, width) at which images are predicted: their own or, where
            there are more than 8 different ones, `size`.
        native_sizes: int32 `[n, 2]`, their own, upright.

    Args:
        folder: at any depth of it are the images.
        size: (height, width) to which images are resized for the network.

    Raises:
        InputError: there is no such folder, or no image in it; two images of one name; a file that
            is no PNG or JPEG.
    """

    ids: tuple[str, ...]
    sizes: Int32[np.ndarray, "images 2"]
    native_sizes: Int32[np.ndarray, "images 2"]

    def __init__(self, folder: str | os.PathLike[str], size: tuple[int, int]):
        tree = Tree(folder, "PNG or JPEG images")
        found = tree.below("", lambda name: name.lower().endswith(_ENDINGS))
        if not found:
            raise InputError(
                f"{folder}: no image found, expected files that end in {', '.join(_ENDINGS)}; name "
                "another folder"
            )
        by_id: dict[str, File] = {}
        for name, file in found.items():
            image_id = Path(name).with_suffix("").as_posix()
            if image_id in by_id:
                raise InputError(
                    f"{file.where}: the same name as {by_id[image_id].where} found, expected every "
                    "image once; remove one, or rename it"
                )
            by_id[image_id] = file
        self._files = [by_id[image_id] for image_id in sorted(by_id)]
        self._size = size
        self.ids = tuple(sorted(by_id))
        self.native_sizes = np.array([*parallel_map(_upright_size, self._files)], np.int32)
        few = len(np.unique(self.native_sizes, axis=0)) <= MOST_SIZES
        self.sizes = self.native_sizes if few else np.full_like(self.native_sizes, size)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """An image at the network's size, RGB.

        Raises:
            InputError: the file cannot be read.
        """
        return images.resize_image(self.photograph(index), self._size)

    def photograph(self, index: int) -> UInt8[np.ndarray, "native_height native_width 3"]:
        """An image as it is, RGB.

        Raises:
            InputError: the file cannot be read.
        """
        file = self._files[index]
        return images.read_photograph(file.read(), file.where).pixels

    def label(self, index: int) -> UInt8[np.ndarray, "label_height label_width"]:
        """Void throughout, at the size at which the image is predicted."""
        height, width = self.sizes[index].tolist()
        return np.full((height, width), IGNORE, np.uint8)


def _upright_size(file: File) -> tuple[int, int]:
    data = file.read()
    read = headers.read_jpeg if headers.is_jpeg(data) else headers.read_png
    header = read(data, file.where)
    height, width = header.size
    # EXIF's orientations from 5 on lie on their sides.
    return (width, height) if header.orientation >= 5 else (height, width)
