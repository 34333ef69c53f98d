"""Predictions of images without labels, written as files that other programs read."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int32, UInt8

from cbda_jax import console, platform, sharding
from cbda_jax.config import check, data_sets
from cbda_jax.data import images, labels, pipeline, prepare
from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.data.image_folder import ImageFolder
from cbda_jax.errors import InputError
from cbda_jax.files import check_new_folder, write_bytes
from cbda_jax.label_space import LabelSpace
from cbda_jax.run import assembly, checks, trained
from cbda_jax.run.evaluator import Evaluator
from cbda_jax.runtime import hosts
from cbda_jax.stores import AnyPath

_LABEL_SHARE = 0.5  # of an overlay; the rest is the photograph


@runtime_checkable
class Predicted(pipeline.SizedRecords, Protocol):
    """Images to predict, such as `ImageFolder` and `cbda_jax.data.records.Records`."""

    @property
    def native_sizes(self) -> Int32[np.ndarray, "images 2"]:
        """(height, width) of every image's file."""
        ...


def predict(
    config: assembly.Config,
    folder: AnyPath,
    images_in: AnyPath | None = None,
    out: AnyPath | None = None,
) -> None:
    """Writes the predictions of a folder of images, or of `data.test`, which needs no labels.

    Files go to `out`: `labels/ID.png` holds the values that its data set declares, that of the
    target for a folder of images, at the image's own size (what Cityscapes' server takes, if it is
    Cityscapes); `overlays/ID.png` the palette over the photograph.

    Args:
        config: of `cbda_jax.config`.
        folder: workdir of a run, whose latest checkpoint predicts. Where there is no run,
            `pretrained` does, which has to be a whole network then.
        images_in: a folder of PNG and JPEG images, at any depth and of any sizes; None:
            `data.test`.
        out: where predictions go; a new or empty folder. None: `predicted` in the workdir.

    Raises:
        InputError: there is nothing to predict, or nothing that predicts; `out` holds files.
    """
    check(config)
    out = folder / "predicted" if out is None else out
    hosts.first(lambda: check_new_folder(out, "--out"))
    space = data_sets.space(config)
    encoding = encoding_of(config, "test" if images_in is None else "target", space)
    records = _open(config, images_in)
    mesh = sharding.make_mesh()
    console.say(hosts.devices(platform.of(mesh)))
    network = trained.of(config, folder, space.num_classes, mesh)
    if step := int(network.state.step):
        console.say(f"{folder}: the network of step {step}")
    evaluator = Evaluator(
        network.graphdef,
        mesh,
        num_classes=space.num_classes,
        flip=config.evaluation.flip,
        scales=tuple(config.evaluation.scales),
        batch=config.evaluation.batch_per_device * mesh.size,
        host=(jax.process_index(), jax.process_count()),
        threads=config.data.threads,
    )
    if (records.sizes != records.native_sizes).any():
        console.say(
            "note: images of many sizes are predicted at one size, and predictions resized to the "
            "nearest pixel"
        )

    def keep(index: int, prediction: np.ndarray) -> None:
        height, width = records.native_sizes[index].tolist()
        label = images.resize_label(prediction, (height, width))
        write_bytes(
            out / "labels" / f"{records.ids[index]}.png", labels.write(label, encoding, space)
        )
        image = (
            records.photograph(index)
            if isinstance(records, ImageFolder)
            else images.resize_image(records.image(index), (height, width))
        )
        write_bytes(
            out / "overlays" / f"{records.ids[index]}.png",
            images.encode(overlay(image, label, space)),
        )

    with console.progress(len(records), "predict", unit="image") as progress:
        evaluator.confusion(network.state, records, keep=keep, done=progress.update)
    hosts.sync("predictions are on the disk")
    console.say(f"{len(records)} predictions ({encoding.name}): {out}")


def encoding_of(config: assembly.Config, role: str, space: LabelSpace) -> LabelEncoding:
    """The values by which a data set means the classes of a run.

    Args:
        config: of `cbda_jax.config`.
        role: of the data set, one of `config.data_sets.ROLES`.
        space: the classes of the run.

    Raises:
        InputError: it does not have these classes.
    """
    dataset = data_sets.dataset(config, config.data[role])
    encoding = prepare.builder_class(dataset).ENCODING
    mapping = data_sets.mapping(config, role)
    return encoding if mapping is None else encoding.mapped(mapping, space)


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    label: UInt8[np.ndarray, "height width"],
    space: LabelSpace,
) -> UInt8[np.ndarray, "height width 3"]:
    """The palette over a photograph, half of each; RGB uint8."""
    mixed = _LABEL_SHARE * space.colour(label) + (1 - _LABEL_SHARE) * image
    return mixed.round().astype(np.uint8)


def _open(config: assembly.Config, images_in: AnyPath | None) -> Predicted:
    if images_in is not None:
        if not isinstance(images_in, Path):
            raise InputError(
                f"--images: {images_in} found, expected a folder on a disk; copy the images there"
            )
        return ImageFolder(images_in.expanduser(), tuple(config.data.target_size))

    def look() -> None:
        where = assembly.location(config, "test")
        checks.check_data_set("data.test", config.data.test, **where)

    hosts.first(look)
    return assembly.open_records(config, "test", check=False)
