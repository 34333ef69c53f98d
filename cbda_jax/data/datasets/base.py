"""What all builders of labelled images share: what a record holds, and what its labels mean."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from cbda_jax.data import images
from cbda_jax.data.encoding import LabelEncoding, Labelling, write_labelling
from cbda_jax.label_space import LabelSpace, label_space


def digest(content: Mapping[str, Any]) -> str:
    """Eight letters for the end of the name of a prepared folder, by what it was made of."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


class LabelledBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of all data sets: a TFDS builder whose records are images with labels.

    Records: `image_id` (text), `image` (RGB PNG), `label` (grey PNG of train ids, 255 = ignore)
    and `class_pixels` (int64 `[C]`, of the stored label), in a fixed order.

    Subclasses declare `VERSION`, `BUILDER_CONFIGS` (the default first; every config has the
    fields `label_space` and `mapping`) and `ENCODING`. They are known by `cbda_jax.data.prepare`,
    not to TFDS.
    """

    ENCODING: ClassVar[LabelEncoding]
    """What the values of the label files mean."""
    OWN_PROGRESS_BAR: ClassVar[bool] = True

    train_ids: UInt8[np.ndarray, "256"]
    """The train id of every value of the label files."""
    encoding: LabelEncoding
    """What the values mean in the classes of the config's label space."""
    unlabelled: tuple[str, ...]
    """The splits without labels, as far as they have been looked for."""
    notes: list[str]
    """What is to be said when the data set is prepared."""

    # TFDS knows many names, some of them ours, and wants none twice.
    def __init_subclass__(cls, skip_registration: bool = True, **kwargs: Any):
        super().__init_subclass__(skip_registration=skip_registration, **kwargs)

    def __init__(self, *, file_format: str = "array_record", **kwargs: Any):
        self.unlabelled = ()
        self.notes = []
        super().__init__(file_format=file_format, **kwargs)
        config: Any = self.builder_config
        self.encoding = self.ENCODING
        if config.mapping is not None:
            self.encoding = self.ENCODING.mapped(config.mapping, self.space)
        self.train_ids = self.encoding.table(self.space)

    @property
    def space(self) -> LabelSpace:
        """The classes that the records' labels tell apart."""
        config: Any = self.builder_config
        return label_space(config.label_space)

    @property
    def labelling(self) -> Labelling:
        """What the records' labels mean, as it is kept beside them."""
        return Labelling(self.space.name, self.space.classes, self.encoding, self.unlabelled)

    def example(
        self,
        image_id: str,
        image: UInt8[np.ndarray, "height width 3"],
        label: UInt8[np.ndarray, "label_height label_width"],
    ) -> dict[str, Any]:
        """A record: id, RGB image and train ids, encoded, and the pixels of every class."""
        return {
            "image_id": image_id,
            "image": images.encode(image),
            "label": images.encode(label),
            "class_pixels": self.space.class_pixels(label),
        }

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image_id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                "class_pixels": tfds.features.Tensor(
                    shape=(self.space.num_classes,), dtype=np.int64
                ),
                **self.more_features(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, description=self.__doc__, features=features, disable_shuffling=True
        )

    def more_features(self) -> dict[str, tfds.features.FeatureConnector]:
        """What records hold beside what all hold."""
        return {}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        # `data_dir` is a temporary folder now, which is renamed when all of it is there.
        splits = self.generate_splits(dl_manager)
        write_labelling(self.data_dir, self.labelling)
        return splits

    def changed(self) -> str | None:
        """How what it would be prepared from differs from what it was, in words; None: not."""
        return None

    def about_split(self, split: str) -> str:
        """Where the images of a split that is not there would be, as the end of a message."""
        del split
        return ""

    def find_splits(self) -> tuple[str, ...]:
        """The names of the splits that preparing would make; looks for files, reads none.

        Raises:
            InputError: a file that is needed is missing.
        """
        raise NotImplementedError

    def generate_splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """Split name -> pairs of a number, counted from 0, and an `example`."""
        raise NotImplementedError
