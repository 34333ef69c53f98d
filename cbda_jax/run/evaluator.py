"""Evaluation as one program, streamed over a labelled data set."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Int64

from cbda_jax import evaluation, sharding
from cbda_jax.data import pipeline
from cbda_jax.label_space import IGNORE
from cbda_jax.training import TrainState


class Evaluator:
    """The compiled program of a run's evaluations, once for every size of labels.

    Args:
        graphdef: structure of the network.
        mesh: over which a batch of images is spread.
        num_classes: of the network.
        flip: average with the mirror image.
        scales: of the images, over which to average; see `evaluation.probabilities`.
        batch: images of a global batch, a multiple of the devices.
        host: (index, count) of this process.
        threads: decoding threads.

    Attributes:
        program: of `evaluation.make_evaluate_step`.

    Raises:
        InputError: there is no scale, or one that is not a positive number.
    """

    def __init__(
        self,
        graphdef: nnx.GraphDef,
        mesh: Mesh,
        *,
        num_classes: int,
        flip: bool,
        scales: Sequence[float] = (1.0,),
        batch: int,
        host: tuple[int, int] = (0, 1),
        threads: int = 2,
    ):
        self.program = evaluation.make_evaluate_step(
            graphdef, mesh, num_classes=num_classes, flip=flip, scales=scales
        )
        self._mesh = mesh
        self._num_classes = num_classes
        self._batch = batch
        self._host = host
        self._threads = threads

    def confusion(
        self,
        state: TrainState,
        records: pipeline.SizedRecords,
        *,
        keep: Callable[[int, np.ndarray], None] | None = None,
        judge: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
        done: Callable[[int], None] = lambda images: None,
    ) -> Int64[np.ndarray, "classes classes"]:
        """Pixel counts [label, prediction] of a whole data set, each image at its label's size.

        Batches are of images of one size.

        Args:
            state: whose network predicts.
            records: images at the network's input size, labels at native size.
            keep: is given the index and the prediction, train ids uint8 [H, W], of each image that
                this host has loaded.
            judge: is given the index, the label and the prediction of the same images.
            done: told how many images have been handed to the devices, for a progress bar.
        """
        counts = []
        wanted = keep is not None or judge is not None

        def give(index: np.ndarray, labels: np.ndarray, predicted: jax.Array) -> None:
            for i, label, prediction in zip(index, labels, sharding.local(predicted), strict=True):
                if i >= 0 and keep is not None:
                    keep(int(i), prediction)
                if i >= 0 and judge is not None:
                    judge(int(i), label, prediction)

        for _, indices in pipeline.by_size(records.sizes):
            batches = pipeline.record_batches(
                lambda index: {"image": records.image(index), "label": records.label(index)},
                indices,
                batch=self._batch,
                host=self._host,
                threads=self._threads,
            )
            left, before = len(indices), None
            with pipeline.Prefetch(batches, self._place) as placed:
                for index, labels, arrays in placed:
                    count, predicted = self.program(
                        state.inference_params, state.frozen, arrays["image"], arrays["label"]
                    )
                    counts.append(count)
                    # While the devices work on a batch, the host has the one before it.
                    if before is not None:
                        give(*before)
                    before = (index, labels, predicted) if wanted else None
                    done(min(self._batch, left))
                    left -= self._batch
            if before is not None:
                give(*before)
        # One batch fits int32, a data set may not.
        return sum(
            (np.asarray(count, np.int64) for count in counts),
            np.zeros((self._num_classes, self._num_classes), np.int64),
        )

    def _place(
        self, arrays: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, dict[str, jax.Array]]:
        index, labels = arrays.pop("index"), arrays["label"]
        labels[index < 0] = IGNORE
        return index, labels, sharding.shard_batch(self._mesh, arrays)
