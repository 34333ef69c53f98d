"""The rounds of a run: what is asked, who answers, and the target labels that follow."""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from cbda_jax import acquisition, annotation, console, plugins, reporting
from cbda_jax.errors import InputError, Paused
from cbda_jax.files import write_npz
from cbda_jax.label_space import LabelSpace
from cbda_jax.methods import Method
from cbda_jax.run import budget as budgets
from cbda_jax.run.acquirer import Target
from cbda_jax.runtime import hosts
from cbda_jax.stores import AnyPath
from cbda_jax.training import TrainState


@runtime_checkable
class Pool(annotation.LabelledImages, Protocol):
    """The target images, such as `cbda_jax.data.records.Records`."""

    @property
    def sizes(self) -> Int32[np.ndarray, "images 2"]:
        """(height, width) of every label."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """RGB of an image, at the network's input size."""
        ...


@runtime_checkable
class Picker(Protocol):
    """Scores and picks, as `cbda_jax.run.acquirer.Acquirer` does."""

    def choose(
        self, *arguments: Any, **named: Any
    ) -> tuple[acquisition.Selection, acquisition.Report]:
        """The picks of a round; see `Acquirer.choose`."""
        ...

    def maps(self, *arguments: Any, **named: Any) -> acquisition.AcquisitionMaps:
        """The score map of an image; see `Acquirer.maps`."""
        ...


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the rounds of a run are to do.

    Attributes:
        name: of the method, for the log.
        method: what it acquires.
        budget: over all rounds; by default a fraction of all target pixels.
        count: how many rounds share it.
        budget_in: what it is counted in, one of `acquisition.BUDGET_UNITS`.
        seconds_per_answer: what an answer is estimated to take.
        settled: how many rounds were held before the budget was this one. What they asked for
            stays, and the others share the rest.
    """

    name: str
    method: Method
    budget: float | int
    count: int
    budget_in: str = "pixels"
    seconds_per_answer: float | int = 2.0
    settled: int = 0


class Rounds:
    """Holds rounds, once each: chooses queries, has them answered, keeps both on the disk.

    All else follows from these files: training labels, class counts, the spent budget. The pool's
    own labels are read for full supervision, for the diagnostic that knows them and for pictures.

    Args:
        workdir: of the run; queries go to its folder `queries`, answers to `answers`.
        pool: the target images.
        space: the classes.
        oracle: who answers; asked in the first process alone.
        plan: what is to be asked.
        gallery: how many images are drawn for the report.
        wait_s: seconds between two looks for the answers of people; None: the run stops instead.

    Attributes:
        log: the queries so far.
        answers: the answers to them; to those of the last round they may be yet to come.
        sizes: (height, width) of every target image's native label, by image id.
        squares: what a pick labels and blocks.
        budget: of all rounds; what a pick costs of it is as the oracle says.

    Raises:
        InputError: queries or answers cannot be read, or are of other images.
    """

    def __init__(
        self,
        workdir: AnyPath,
        pool: Pool,
        space: LabelSpace,
        oracle: annotation.Oracle,
        plan: Plan,
        *,
        gallery: int,
        wait_s: float | int | None = None,
    ):
        self.log = annotation.QueryLog(workdir / "queries")
        self.sizes = annotation.image_sizes(pool.ids, pool.sizes)
        self.log.check_pool(self.sizes)
        self.answers = annotation.AnswerLog(
            workdir / "answers", self.log, classes=space.classes, sizes=self.sizes
        )
        self.squares = plan.method.scoring.squares
        self._workdir = workdir
        self._pool = pool
        self._space = space
        self._oracle = oracle
        self._name = plan.name
        self._method = plan.method
        self._count = plan.count
        self._settled = plan.settled
        self.budget = acquisition.Budget(
            plan.budget,
            plan.budget_in,
            annotation.answers_per_query(oracle, self.squares.label_radius),
            plan.seconds_per_answer,
        )
        self._gallery = gallery
        self._wait_s = wait_s
        self._confusions: dict[int, Int64[np.ndarray, "classes classes"]] = {}

    # -------------------------------------------------------- what was answered

    def label(self, index: int, step: int) -> UInt8[np.ndarray, "height width"]:
        """What is known of a target image's label at a step, at native size; 255 elsewhere."""
        if not self._method.acquires:
            return self._pool.label(index)
        image_id = self._pool.ids[index]
        return annotation.known_label(self._held(step), image_id, self.sizes[image_id])

    def fraction(self, step: int) -> float:
        """Which part of the target's pixels has been labelled at a step, void included."""
        if not self._method.acquires:
            return float(self._method.target)
        pixels = annotation.counts(self._held(step)).sum()
        return float(pixels / sum(map(math.prod, self.sizes.values())))

    def cost(self) -> str:
        """What all rounds ask for, in pixels, answers and hours, and what was spent so far."""
        sizes, answered = self.sizes.values(), self.answers.rounds
        return budgets.described(
            self._method, self.budget, self._count, sizes, answered, self.spent()
        )

    def spent(self) -> budgets.Spent:
        """What was asked for before the budget was what it is, but for what was not answered."""
        picks = Counter()
        settled = self.log.rounds[: self._settled]
        for place, queries in enumerate(settled):
            answers = self.answers.rounds[place] if place < len(self.answers.rounds) else None
            for image_id, own in queries.places.items():
                given = len(own) if answers is None else int(answers.answered[own].sum())
                picks[self.sizes[image_id]] += given
        return budgets.Spent(len(settled), picks)

    def check_steps(self, steps: tuple[int, ...], step: int) -> None:
        """Checks that all queries and answers are there that a checkpoint was trained with.

        Args:
            steps: before which rounds are held.
            step: of the checkpoint.

        Raises:
            InputError: some are missing, or were asked for before another step.
        """
        self.log.check_steps(steps, step)
        self.answers.check_steps(steps, step)

    def _held(self, step: int) -> list[annotation.Answers]:
        """The answers to the rounds held at or before a step."""
        return [answers for answers in self.answers.rounds if answers.queries.step <= step]

    def _classes(self, number: int) -> Int64[np.ndarray, " classes"]:
        """Pixels of every class among the answers to the rounds before `number`."""
        return annotation.counts(self.answers.rounds[: number - 1])[: self._space.num_classes]

    def _confusion(self, number: int) -> Int64[np.ndarray, "classes classes"]:
        """True by predicted class at the centres picked before round `number`, void left out."""
        classes = self._space.num_classes
        for answers in self.answers.rounds[: number - 1]:
            if answers.round not in self._confusions:
                tally = annotation.tally(answers, classes, self.sizes)
                self._confusions[answers.round] = tally.confusion[:, :classes].T
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

        def previous(index: int) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
            return annotation.closed_centres(self.answers.rounds, self._pool.ids[index])

        return Target(
            self._pool.sizes,
            self._pool.image,
            previous=previous,
            # For the diagnostic that knows the whole label.
            truth=self._pool.label if self._method.scoring.class_evidence == "true" else None,
        )

    # ----------------------------------------------------------- what is asked

    def hold(
        self,
        number: int,
        step: int,
        state: TrainState,
        acquirer: Picker,
        metrics: reporting.MetricWriter,
        *,
        between: Callable[[], None] = lambda: None,
        writable: Callable[[], None] = lambda: None,
    ) -> None:
        """Asks for the pixels of a round and has them answered, unless that is done already.

        The queries are on the disk before anybody is asked, and the answers before anything is
        made of them. A run that is killed in between asks again for the same.

        Args:
            number: of the round, from 1.
            step: of training, before which the round is held.
            state: whose network scores.
            acquirer: the programs that score and pick.
            metrics: get a record of what came of it.
            between: called after every batch of images, and before every look for the answers of
                people; may raise to give up.
            writable: raises where nothing may be written any more; called before queries and
                answers are.

        Raises:
            AnswersPending: people have yet to answer; in all processes. The first one says where.
            InputError: something cannot be written, or the oracle answers what cannot be.
        """
        seconds = None
        if len(self.log.rounds) < number:
            start = time.perf_counter()
            queries = self._choose(number, step, state, acquirer, between)
            self._draw(number, state, acquirer)
            self.answers.check_repeated([*self.log.rounds, queries])
            writable()
            hosts.first(self.answers.make_folder)
            self.log.append(queries, write=hosts.is_first())
            hosts.sync(f"round {number} is on the disk")
            seconds = time.perf_counter() - start
        if len(self.answers.rounds) < number:
            writable()
            self._ask(self.log.rounds[number - 1], between, writable)
        if hosts.is_first() and not any(
            record["kind"] == "round" and record["round"] == number
            for record in reporting.read_metrics(self._workdir)
        ):
            self._record(self.answers.rounds[number - 1], seconds, metrics)

    def _ask(
        self,
        queries: annotation.Queries,
        between: Callable[[], None],
        writable: Callable[[], None],
    ) -> None:
        """Has a round answered in the first process; all read the answers from the disk."""

        def ask() -> annotation.Pending | None:
            try:
                found = self._oracle.ask(queries)
            except (InputError, Paused):
                raise
            # Whatever a user's oracle raises.
            except Exception as error:
                raise InputError(
                    f"annotation.oracle: ask(queries) of round {queries.round} fails with "
                    f"{plugins.one_line(error)}, expected Answers or Pending; mend the oracle, "
                    "then start the same command again: it is asked the same"
                ) from error
            if self.answers.path(queries.round).exists():
                # Written by the program that people answer with, when it closed the round.
                return None
            if isinstance(found, annotation.Pending):
                return found
            if not isinstance(found, annotation.Answers):
                raise InputError(
                    f"annotation.oracle: a {type(found).__name__} found, expected Answers or "
                    "Pending; correct what ask(queries) of the oracle gives back"
                )
            self.answers.write(found)
            return None

        pending = hosts.first(ask)
        if hosts.of_first(pending is not None):
            if self._wait_s is None:
                console.say(str(pending))
                raise annotation.AnswersPending
            self._wait(pending, ask, between, writable)
        self.answers.read_next()

    def _wait(
        self,
        pending: annotation.Pending | None,
        ask: Callable[[], annotation.Pending | None],
        between: Callable[[], None],
        writable: Callable[[], None],
    ) -> None:
        """Asks the oracle now and then until it has the answers; all processes together."""
        queries, answered = self.log.rounds[len(self.answers.rounds)], 0
        if pending is not None:
            console.say(pending.message(waiting=True))
        with console.progress(
            len(queries), f"answers to round {queries.round}", unit="query", every_s=60
        ) as progress:
            while hosts.of_first(pending is not None):
                if pending is not None and pending.answered != answered:
                    progress.update(pending.answered - answered)
                    answered = pending.answered
                between()
                time.sleep(self._wait_s or 0)
                writable()
                pending = hosts.first(ask)

    def _choose(
        self,
        number: int,
        step: int,
        state: TrainState,
        acquirer: Picker,
        between: Callable[[], None],
    ) -> annotation.Queries:
        """Scores all target images and takes the picks that the round can pay for."""
        ids = self._pool.ids
        method = self._method
        sizes = self.sizes.values()
        asked = budgets.request(method, self.budget, number, self._count, sizes, self.spent())
        balance = self._balance(number)
        with console.progress(len(ids), f"acquire round {number}", unit="image") as progress:

            def done(images: int) -> None:
                progress.update(images)
                between()

            chosen, report = acquirer.choose(
                state,
                self._target(),
                asked,
                balance=balance,
                done=done,
            )
        about: dict[str, Any] = {
            "method": self._name,
            "unit": method.scoring.unit,
            "requested": asked.total(sizes),
            "budget": self.budget.amount,
        }
        if self.budget.unit != "pixels":
            about["budget_in"] = self.budget.unit
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
        self, answers: annotation.Answers, seconds: float | None, metrics: reporting.MetricWriter
    ) -> None:
        queries, names, counts = answers.queries, self._space.classes, answers.counts
        predicted = np.bincount(queries.predicted, minlength=len(names))
        unanswered = len(queries) - int(answers.answered.sum())
        cost = annotation.cost_of([answers], self.budget.seconds_per_answer)
        metrics.write(
            "round",
            queries.step,
            round=queries.round,
            requested=queries.about["requested"],
            picked=len(queries),
            pixels=int(counts.sum()),
            void_pixels=int(counts[annotation.VOID]),
            fraction=self.fraction(queries.step),
            class_pixels=dict(zip(names, counts.tolist(), strict=False)),
            predicted_regions=dict(zip(names, predicted.tolist(), strict=True)),
            images=len(queries.by_image),
            leftover=queries.about["requested"] - len(queries),
            seconds=seconds,
            answers=cost.answers,
            answer_seconds=cost.seconds,
            measured_answers=cost.measured,
            **({"unanswered": unanswered} if unanswered else {}),
        )

    def _draw(self, number: int, state: TrainState, acquirer: Picker) -> None:
        """Keeps the score maps of a few images for the report."""
        balance = self._balance(number)
        for index in range(min(self._gallery, len(self._pool))):
            image, image_id = self._pool.image(index), self._pool.ids[index]
            maps = acquirer.maps(state, self._target(), index, number=number, balance=balance)
            if hosts.is_first():
                name = f"round_{number:02d}_{image_id.replace('/', '_')}.npz"
                write_npz(
                    self._workdir / "gallery" / name,
                    image_id=np.array(image_id),
                    image=image,
                    score=np.asarray(maps.score, np.float16),
                    prediction=np.asarray(maps.prediction),
                    label=self._pool.label(index),
                )
