"""A run, read and looked at: figures, picks, answers, and what its network makes of an image."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float32, UInt8
from ml_collections import ConfigDict

from cbda_jax import acquisition, annotation, export, reporting, sharding
from cbda_jax.api import tables
from cbda_jax.api.drawing import draw_score_map
from cbda_jax.config import data_sets
from cbda_jax.data import images, records
from cbda_jax.errors import InputError, near
from cbda_jax.label_space import IGNORE, LabelSpace
from cbda_jax.methods import changed
from cbda_jax.run import assembly, trained
from cbda_jax.run import workdir as run_files
from cbda_jax.run.acquirer import Acquirer, Target
from cbda_jax.run.evaluator import Evaluator
from cbda_jax.stores import AnyPath, to_path

if TYPE_CHECKING:
    import pandas  # pyright: ignore[reportMissingImports]
    from matplotlib.axes import Axes

Image = str | os.PathLike[str] | np.ndarray
"""An image: the id of a target image (a text), the path of a PNG or JPEG file (a `Path`), or RGB
uint8 `[H, W, 3]`."""

# More than any image has; `AnswerLog` asks for sizes.
_ANY_SIZE = (2**20, 2**20)


class Run:
    """A run, finished or not. Nothing of it is changed or written.

    Figures and rounds are read anew at each call, as another process may go on with the run; the
    network is read once. Where its data lie elsewhere now, set `run.config.data.root` or
    `run.config.data.dir` before images are asked for.

    Args:
        workdir: its folder.

    Attributes:
        workdir: a `Path`.
        config: what it was started with, an `ml_collections.ConfigDict`; fields as in
            docs/reference/config.md.

    Raises:
        InputError: there is no run, or its config is damaged.
    """

    workdir: AnyPath
    config: ConfigDict

    def __init__(self, workdir: str | os.PathLike[str]):
        self.workdir = to_path(workdir)
        run_files.check_run(self.workdir)
        self.config = run_files.read_config(self.workdir)
        self._acquirers: dict[str | None, Acquirer] = {}

    def __repr__(self) -> str:
        return f"Run({os.fspath(self.workdir)!r})"

    # ---------------------------------------------------------------- figures

    @property
    def space(self) -> LabelSpace:
        """Its classes: `space.classes`, names by train id; `space.palette`, RGB uint8 `[C, 3]`."""
        return data_sets.space(self._settings)

    @property
    def result(self) -> dict[str, Any] | None:
        """What it came to, as in `result.json`; None until it has finished."""
        return run_files.read_result(self.workdir)

    def figures(self, kind: str = "evaluation") -> dict[str, np.ndarray]:
        """What was measured while it ran, as columns; `pandas.DataFrame` takes them as they are.

        Args:
            kind: "evaluation" (`step`, `split`, `miou`, `min_iou`, `iou.CLASS`, ...), "train"
                (losses by `step`) or "round" (what was asked and answered, `class_pixels.CLASS`).

        Returns:
            Arrays of one length by name: float64 with NaN where there is nothing, int64 where all
            are whole numbers, or texts. IoUs are fractions. Empty if nothing was measured yet.

        Raises:
            InputError: another kind, or a damaged file.
        """
        if kind not in tables.KINDS:
            raise InputError(
                f"figures: {kind!r} found, expected one of {', '.join(tables.KINDS)}"
                f"{near(kind, tables.KINDS)}"
            )
        return tables.columns(r for r in reporting.read_metrics(self.workdir) if r["kind"] == kind)

    def frame(self, kind: str = "evaluation") -> "pandas.DataFrame":
        """The columns of `figures`, or of `picks`, as a pandas frame.

        Args:
            kind: as for `figures`, or "picks".

        Raises:
            InputError: as `figures`; pandas is not installed.
        """
        try:
            import pandas  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise InputError(
                "frame: pandas, which it needs, not found; install cbda_jax[notebook], or take the "
                "arrays of figures() and picks()"
            ) from error
        return pandas.DataFrame(self.picks() if kind == "picks" else self.figures(kind))

    # ----------------------------------------------------------------- rounds

    def queries(self) -> list[annotation.Queries]:
        """What was asked, by round: positions, scores and predictions as arrays.

        Raises:
            InputError: a file is damaged.
        """
        return annotation.QueryLog(self.workdir / "queries").rounds

    def answers(self) -> list[annotation.Answers]:
        """What was answered, by round; one less than `queries` while people have yet to answer.

        `answers()[0].patches` is uint8 `[n, s, s]`: train ids, 255 for void, 254 for unanswered.

        Raises:
            InputError: a file is damaged.
        """
        log = annotation.QueryLog(self.workdir / "queries")
        # Without the images: that queries lie inside of them was checked when they were asked.
        sizes = dict.fromkeys(log.rounds[0].image_ids if log.rounds else (), _ANY_SIZE)
        found = annotation.AnswerLog(
            self.workdir / "answers", log, classes=self.space.classes, sizes=sizes
        )
        return found.rounds

    def picks(self) -> dict[str, np.ndarray]:
        """Every query of all rounds, as columns; `pandas.DataFrame` takes them as they are.

        Returns:
            `round`, `step`, `row`, `col` int64; `image_id` texts; `score` float32; `predicted`
            uint8, the class that the network saw at the centre; `answered` uint8, what the centre
            was answered: a train id, 255 for void, 254 for unanswered or not yet.

        Raises:
            InputError: a file is damaged.
        """
        return tables.picks(self.queries(), self.answers())

    def label(self, image_id: str) -> UInt8[np.ndarray, "height width"]:
        """What is known of a target image by the answers: train ids, 255 where nothing is.

        Args:
            image_id: one of `image_ids`.

        Raises:
            InputError: there is no such image, or a file is damaged.
        """
        height, width = self._pool.sizes[self._index(image_id)].tolist()
        return annotation.known_label(self.answers(), image_id, (height, width))

    # ----------------------------------------------------------------- images

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Of the target images.

        Raises:
            InputError: they are not there.
        """
        return self._pool.ids

    def image(self, image_id: str) -> UInt8[np.ndarray, "height width 3"]:
        """A target image, RGB, at the size that the network is given (`data.target_size`).

        Raises:
            InputError: there is no such image.
        """
        return self._pool.image(self._index(image_id))

    @functools.cached_property
    def network(self) -> nnx.Module:
        """The network of its latest checkpoint, averaged weights where it has some.

        `network(cbda_jax.models.normalize(images))` gives logits at the network's stride.

        Raises:
            InputError: there is no checkpoint.
        """
        return self._trained.model

    def predict(self, image: Image) -> UInt8[np.ndarray, "height width"]:
        """The classes of an image, as `--mode=predict` writes them: train ids.

        With the mirror image and the scales of the config's `evaluation`.

        Args:
            image: the id of a target image (a text), a file (a `Path`), or RGB uint8 `[H, W, 3]`.

        Returns:
            At the image's own size; for a target image, at that of its label.

        Raises:
            InputError: there is no such image, or no checkpoint.
        """
        given, size, _ = self._seen(image)
        state = self._trained.state
        void = jnp.full((1, *size), IGNORE, jnp.uint8)
        _, prediction = self._evaluator.program(
            state.params, state.frozen, jnp.asarray(given[None]), void
        )
        return np.asarray(prediction)[0]

    def score_map(
        self, image: Image, *, score: str | None = None
    ) -> Float32[np.ndarray, "height width"]:
        """What a label at each pixel would be worth now, before classes are balanced.

        Args:
            image: as for `predict`.
            score: one of `cbda_jax.acquisition.SCORES` or an import path, such as "margin" or
                "my_module:my_score"; None: that of the run's method.

        Returns:
            At the size of the prediction. A score may be infinite where nothing can be asked.

        Raises:
            InputError: as `predict`; an unknown score.
        """
        given, size, index = self._seen(image)
        none = np.zeros(0, np.int32), np.zeros(0, np.int32)
        known = isinstance(image, str)
        done = annotation.closed_centres(self.answers(), image) if known else none
        place = np.array([size] * (index + 1), np.int32)
        target = Target(place, lambda _: given, previous=lambda _: done)
        acquirer = self._acquirer(score)
        number = len(self.queries()) + 1
        maps = acquirer.maps(self._trained.state, target, index, number=number)
        return np.asarray(maps.score)

    def draw_score_map(self, image: Image, *, score: str | None = None, axes: Any = None) -> "Axes":
        """Draws the score map of one image, over it, with what was asked there.

        Args:
            image: as for `predict`.
            score: as for `score_map`.
            axes: as for `cbda_jax.draw_score_map`.

        Returns:
            Matplotlib's axes.

        Raises:
            InputError: as `score_map`.
        """
        picks = None
        if isinstance(image, str):
            asked = [q.by_image[image] for q in self.queries() if image in q.by_image]
            picks = np.concatenate([np.zeros((0, 2), np.int32), *(np.stack(a, 1) for a in asked)])
        found = self.score_map(image, score=score)
        return draw_score_map(found, image=self._seen(image)[0], picks=picks, axes=axes)

    # ----------------------------------------------------------------- export

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        size: tuple[int, int] | None = None,
        dtype: str | None = None,
    ) -> AnyPath:
        """Writes its network for other programs; see docs/how_to/export.md.

        Args:
            path: a new file; its ending is the format: .stablehlo, .onnx or .safetensors.
            size: (height, width) of the images that it takes; None: `data.target_size`.
            dtype: of its computation, "float32" or "bfloat16"; None: that of the run.

        Returns:
            The path of the JSON beside it, which has classes, colours, shapes and versions.

        Raises:
            InputError: a file is there; another ending; a package is missing; no checkpoint.
        """
        model = self.network
        if dtype is not None and dtype != self._settings.dtype:
            create = assembly.model_maker(self._changed("dtype", dtype), self.space.num_classes)
            graphdef = nnx.graphdef(nnx.eval_shape(create))
            model = nnx.merge(graphdef, self._trained.state.params, self._trained.state.frozen)
        return export.write(
            Path(path).expanduser(),
            export.Exportable(
                model,
                self._settings.network,
                self.space,
                tuple(self._settings.data.target_size),
                int(self._trained.state.step),
                dtype or self._settings.dtype,
            ),
            size,
        )

    # ------------------------------------------------------------------- parts

    @property
    def _settings(self) -> Any:
        """The config, whose fields have no static type."""
        return self.config

    def _changed(self, name: str, value: Any) -> Any:
        config: Any = self.config.copy_and_resolve_references()
        config[name] = value
        return config

    @functools.cached_property
    def _pool(self) -> records.Records:
        return assembly.open_records(self._settings, "target")

    @functools.cached_property
    def _mesh(self) -> jax.sharding.Mesh:
        # One image does not spread over devices.
        return sharding.make_mesh(jax.local_devices()[:1])

    @functools.cached_property
    def _trained(self) -> trained.Trained:
        classes = self.space.num_classes
        return trained.restore(self._settings, self.workdir, classes, self._mesh)

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(
            self._trained.graphdef,
            self._mesh,
            num_classes=self.space.num_classes,
            flip=self._settings.evaluation.flip,
            scales=tuple(self._settings.evaluation.scales),
            batch=1,
        )

    def _acquirer(self, score: str | None) -> Acquirer:
        if score not in self._acquirers:
            method = assembly.resolve_method(self._settings)
            if score is not None:
                method = changed(method, {"score": score})
            # Evidence says which weight a pixel gets, and there are none here.
            scoring: acquisition.Scoring = dataclasses.replace(
                method.scoring, class_evidence="argmax"
            )
            self._acquirers[score] = Acquirer(
                self._trained.graphdef,
                self._mesh,
                scoring,
                tuple(self._settings.data.target_size),
                flip=method.flip,
                seed=self._settings.seed,
                batch=1,
            )
        return self._acquirers[score]

    def _index(self, image_id: str) -> int:
        if image_id not in self._pool.ids:
            known = ", ".join(self._pool.ids[:3])
            raise InputError(
                f"image {image_id!r} found, expected one of the {len(self._pool)} target images "
                f"({known}, ...){near(image_id, self._pool.ids)}; a file is given as a Path"
            )
        return self._pool.ids.index(image_id)

    def _seen(self, image: Image) -> tuple[np.ndarray, tuple[int, int], int]:
        """An image at the network's size, the size of what is made of it, and its place."""
        if isinstance(image, str):
            index = self._index(image)
            # Of the label, in whose pixels queries are.
            height, width = self._pool.sizes[index].tolist()
            return self._pool.image(index), (height, width), index
        pixels = image if isinstance(image, np.ndarray) else _read(Path(image).expanduser())
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InputError(
                f"image: {pixels.dtype}{list(pixels.shape)} found, expected RGB uint8 [H, W, 3]; "
                "convert it"
            )
        size = tuple(self._settings.data.target_size)
        return images.resize_image(pixels, size), pixels.shape[:2], 0


def _read(path: Path) -> np.ndarray:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}), expected a PNG or JPEG file; "
            "check the path"
        ) from error
    return images.read_photograph(data, os.fspath(path)).pixels
