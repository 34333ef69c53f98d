"""The rounds of a run: what is asked, what was answered, and the target labels that follow."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from cbda_jax import acquisition, annotation, console, reporting
from cbda_jax.data import records
from cbda_jax.files import write_npz
from cbda_jax.label_space import IGNORE, LabelSpace
from cbda_jax.methods import Method
from cbda_jax.run.acquirer import Acquirer, Request, Target
from cbda_jax.runtime import hosts
from cbda_jax.training import TrainState


class Rounds:
    """Holds rounds, once each, and derives everything from their log.

    Args:
        workdir: of the run; the query log is its folder `queries`.
        pool: the target images, with the labels that the oracle answers from.
        space: the classes.
        name: of the method, for the log.
        method: what it acquires.
        budget: fraction of all target pixels, over all rounds.
        count: how many rounds share it.
        gallery: how many images are drawn for the report.
        first: whether this process writes what is written once.

    Raises:
        InputError: the query log cannot be read, or is of other images.
    """

    def __init__(
        self,
        workdir: Path,
        pool: records.Records,
        space: LabelSpace,
        *,
        name: str,
        method: Method,
        budget: float | int,
        count: int,
        gallery: int,
        first: bool,
    ):
        self.log = annotation.QueryLog(workdir / "queries")
        self.native = pool.label(0).shape
        self.log.check_pool(pool.ids, self.native)
        self.squares = method.scoring.squares
        self._workdir = workdir
        self._pool = pool
        self._space = space
        self._name = name
        self._method = method
        self._budget = budget
        self._count = count
        self._gallery = gallery
        self._first = first
        self._oracle = annotation.GroundTruthOracle(pool)
        self._answers = annotation.Answers(self._oracle, self.native)
        self._confusions: dict[int, Int64[np.ndarray, "classes classes"]] = {}

    # -------------------------------------------------------- what was answered

    def label(self, index: int, step: int) -> UInt8[np.ndarray, "height width"]:
        """What is known of a target image's label at a step, at native size; 255 elsewhere."""
        image_id = self._pool.ids[index]
        if not self._method.acquires:
            return self._oracle.label(image_id)
        row, col = self.log.centres(image_id, until_step=step)
        if not len(row):
            return np.full(self.native, IGNORE, np.uint8)
        label = self._oracle.label(image_id)
        return annotation.active_label(label, row, col, self.squares.label_radius)

    def fraction(self, step: int) -> float:
        """Which part of the target's pixels has been labelled at a step, void included."""
        if not self._method.acquires:
            return float(self._method.target)
        held = [queries for queries in self.log.rounds if queries.step <= step]
        return float(self._answers.counts(held).sum() / (len(self._pool) * math.prod(self.native)))

    def _classes(self, number: int) -> Int64[np.ndarray, " classes"]:
        """Pixels of every class among the answers to the rounds before `number`."""
        return self._answers.counts(self.log.rounds[: number - 1])[: self._space.num_classes]

    def _confusion(self, number: int) -> Int64[np.ndarray, "classes classes"]:
        """True by predicted class at the centres picked before round `number`, void left out."""
        classes = self._space.num_classes
        for queries in self.log.rounds[: number - 1]:
            if queries.round in self._confusions:
                continue
            (tally,) = annotation.tallies([queries], self._oracle, classes)
            self._confusions[queries.round] = tally.confusion[:, :classes].T
        nothing = np.zeros((classes, classes), np.int64)
        return sum((self._confusions[n] for n in range(1, number)), nothing)

    def _balance(self, number: int) -> acquisition.RoundBalance:
        """What a round is balanced by, from the answers to the rounds before."""
        return acquisition.round_balance(
            self._method.balance,
            number,
            counts=lambda: self._classes(number),
            confusion=lambda: self._confusion(number),
            evidence=self._method.scoring.class_evidence,
            ties=self._method.scoring.ties,
        )

    def _target(self) -> Target:
        """The target images, as a round asks about them."""
        ids = self._pool.ids
        return Target(
            len(ids),
            self._pool.image,
            previous=lambda index: self.log.centres(ids[index]),
            truth=self._truth if self._method.scoring.class_evidence == "true" else None,
        )

    def _truth(self, index: int) -> UInt8[np.ndarray, "height width"]:
        """The whole label of a target image, for the diagnostic that knows it."""
        return self._oracle.label(self._pool.ids[index])

    # ----------------------------------------------------------- what is asked

    def hold(
        self,
        number: int,
        step: int,
        state: TrainState,
        acquirer: Acquirer,
        metrics: reporting.MetricWriter,
        *,
        between: Callable[[], None] = lambda: None,
        writable: Callable[[], None] = lambda: None,
    ) -> None:
        """Asks for the pixels of a round, unless the query log has them already.

        Args:
            number: of the round, from 1.
            step: of training, before which the round is held.
            state: whose network scores.
            acquirer: the programs that score and pick.
            metrics: get a record of what came of it.
            between: called after every batch of images; may raise to give up.
            writable: raises where nothing may be written any more; called before the log is.
        """
        seconds = None
        if len(self.log.rounds) < number:
            start = time.perf_counter()
            queries = self._choose(number, step, state, acquirer, between)
            self._draw(number, state, acquirer)
            writable()
            self.log.append(queries, write=self._first)
            hosts.sync(f"round {number} is on the disk")
            seconds = time.perf_counter() - start
        if self._first and not any(
            record["kind"] == "round" and record["round"] == number
            for record in reporting.read_metrics(self._workdir)
        ):
            self._record(self.log.rounds[number - 1], seconds, metrics)

    def _choose(
        self,
        number: int,
        step: int,
        state: TrainState,
        acquirer: Acquirer,
        between: Callable[[], None],
    ) -> annotation.Queries:
        """Scores all target images and takes the picks that the round can pay for."""
        ids = self._pool.ids
        method = self._method
        share = acquisition.picks_per_image(self._budget, self.native, self._count, self.squares)
        balance = self._balance(number)
        with console.progress(
            len(ids), f"acquire round {number}", unit="image", enabled=self._first
        ) as progress:

            def done(images: int) -> None:
                progress.update(images)
                between()

            chosen, report = acquirer.choose(
                state,
                self._target(),
                Request(
                    number,
                    share,
                    method.allocation,
                    most_in_image=acquisition.capped(share, method.image_cap),
                ),
                balance=balance,
                done=done,
            )
        about: dict[str, Any] = {
            "method": self._name,
            "unit": method.scoring.unit,
            "requested": share * len(ids),
            "budget": self._budget,
        }
        if balance.counts is not None:
            # By predicted class: picks that could be had, and how many were taken of them.
            about |= {"candidates": report.offered.tolist(), "quota": report.quota.tolist()}
        if balance.group_of is not None:
            # By what that class counted as, rather.
            about["quota_class"] = balance.group_of.tolist()
        # Records may be in any order; the log's ids are sorted.
        in_order = tuple(sorted(ids))
        place = np.searchsorted(in_order, ids).astype(np.int32)
        return annotation.Queries(
            round=number,
            step=step,
            image_ids=in_order,
            image=place[chosen.image],
            row=chosen.row,
            col=chosen.col,
            score=chosen.score,
            predicted=chosen.predicted,
            radius=self.squares.label_radius,
            about=about,
        )

    def _record(
        self, queries: annotation.Queries, seconds: float | None, metrics: reporting.MetricWriter
    ) -> None:
        names = self._space.classes
        answers = self._answers.counts([queries])
        predicted = np.bincount(queries.predicted, minlength=len(names))
        metrics.write(
            "round",
            queries.step,
            round=queries.round,
            requested=queries.about["requested"],
            picked=len(queries),
            pixels=int(answers.sum()),
            void_pixels=int(answers[IGNORE]),
            fraction=self.fraction(queries.step),
            class_pixels=dict(zip(names, answers.tolist(), strict=False)),
            predicted_regions=dict(zip(names, predicted.tolist(), strict=True)),
            images=len(queries.by_image),
            leftover=queries.about["requested"] - len(queries),
            seconds=seconds,
        )

    def _draw(self, number: int, state: TrainState, acquirer: Acquirer) -> None:
        """Keeps the score maps of a few images for the report."""
        balance = self._balance(number)
        for index in range(min(self._gallery, len(self._pool))):
            image, image_id = self._pool.image(index), self._pool.ids[index]
            maps = acquirer.maps(state, self._target(), index, number=number, balance=balance)
            if self._first:
                name = f"round_{number:02d}_{image_id.replace('/', '_')}.npz"
                write_npz(
                    self._workdir / "gallery" / name,
                    image_id=np.array(image_id),
                    image=image,
                    score=np.asarray(maps.score, np.float16),
                    prediction=np.asarray(maps.prediction),
                    label=self._oracle.label(image_id),
                )
