"""The rounds of a run: what is asked, who answers, and the target labels that follow."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8

from cbda_jax import acquisition, annotation, console, reporting
from cbda_jax.files import write_npz
from cbda_jax.label_space import LabelSpace
from cbda_jax.run import budget as budgets
from cbda_jax.run import small_rounds
from cbda_jax.run.acquirer import Target
from cbda_jax.run.evidence import LOOKS, Evidence
from cbda_jax.run.experience import Experience
from cbda_jax.run.plan import Picker, Plan, Pool
from cbda_jax.run.request import Request, part_of
from cbda_jax.runtime import hosts
from cbda_jax.stores import AnyPath
from cbda_jax.training import TrainState

_NOTHING = acquisition.Selection(
    np.zeros(0, np.int32),
    np.zeros(0, np.int32),
    np.zeros(0, np.int32),
    np.zeros(0, np.float32),
    np.zeros(0, np.uint8),
)


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
        self._experience = Experience(plan.method, space.num_classes, self.sizes)
        self._plan = plan
        self._evidence = Evidence(plan, space.num_classes, pool.ids)  # of the last round's network

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

    def _balance(self, number: int) -> acquisition.RoundBalance:
        """What a round is balanced by, from the answers to the rounds before."""
        known = self.answers.rounds[: number - 1]
        return self._evidence.complete(self._experience.balance(number, known), known)

    def _target(self, asked: Sequence[annotation.Queries] = ()) -> Target:
        """The target images, as a round asks about them, some of which it has asked by now."""

        def previous(index: int) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
            image_id = self._pool.ids[index]
            closed = annotation.closed_centres(self.answers.rounds, image_id)
            here = (queries.by_image.get(image_id) for queries in asked)
            row, col = zip(closed, *(own for own in here if own is not None), strict=True)
            return np.concatenate(row), np.concatenate(col)

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
            queries = self._choose(number, step, state, acquirer, between, writable)
            self._draw(number, state, acquirer)
            self._evidence.forget()
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
        if self._method.sub_rounds > 1:
            hosts.first(lambda: small_rounds.remove(self._workdir, number))

    def _ask(
        self,
        queries: annotation.Queries,
        between: Callable[[], None],
        writable: Callable[[], None],
    ) -> None:
        """Has a round answered in the first process; all read the answers from the disk."""

        def ask() -> annotation.Pending | None:
            found = None
            if self._method.sub_rounds > 1:
                found = self._small_rounds(queries.round, queries.step).answered(queries)
            if found is None:
                found = annotation.ask(self._oracle, queries)
            if self.answers.path(queries.round).exists():
                # Written by the program that people answer with, when it closed the round.
                return None
            if isinstance(found, annotation.Pending):
                return found
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
        writable: Callable[[], None] = lambda: None,
    ) -> annotation.Queries:
        """Scores all target images and takes the picks that the round can pay for."""
        parts, sizes = self._method.sub_rounds, self.sizes.values()
        asked = budgets.request(self._method, self.budget, number, self._count, sizes, self.spent())
        with console.progress(
            parts * len(self._pool), f"acquire round {number}", unit="image"
        ) as progress:

            def done(images: int) -> None:
                progress.update(images)
                between()

            def choose(
                asked: Request,
                before: Sequence[annotation.Queries] = (),
                answered: Sequence[annotation.Answers] = (),
            ) -> annotation.Queries:
                known = [*self.answers.rounds[: number - 1], *answered]
                balance = self._experience.balance(number, known)
                balance = self._evidence.complete(balance, known)
                chosen, report = acquirer.choose(
                    state, self._target(before), asked, balance=balance, done=done, **named
                )
                about = self._about(asked, balance, report)
                return self._queries(number, step, chosen, about)

            named: dict[str, Any] = {}
            if parts > 1 or self._method.scoring.class_evidence in LOOKS:
                logits = named["logits"] = acquirer.logits(state, self._target())
                classes = self._space.num_classes
                self._evidence = Evidence(self._plan, classes, self._pool.ids, logits)
            if parts == 1:
                return choose(asked)

            def choose_part(
                place: int,
                before: Sequence[annotation.Queries],
                answered: Sequence[annotation.Answers],
            ) -> annotation.Queries:
                taken = [sum(len(q.places.get(i, ())) for q in before) for i in self._pool.ids]
                part = part_of(asked, place, parts, self._pool.sizes, np.array(taken))
                if not part.picks:
                    return nothing
                return choose(part, before, answered)

            nothing = self._queries(number, step, _NOTHING, self._about(asked))
            small = self._small_rounds(number, step)
            small.hold(choose_part, parts, writable)
            return small.queries(nothing)

    def _small_rounds(self, number: int, step: int) -> small_rounds.SmallRounds:
        """Those of a round so far."""
        return small_rounds.SmallRounds(
            self._workdir, number, step, self._oracle, self._space, self.sizes
        )

    def _about(
        self,
        asked: Request,
        balance: acquisition.RoundBalance = acquisition.UNBALANCED,
        report: acquisition.Report | None = None,
    ) -> dict[str, Any]:
        """What is worth keeping of how queries were chosen."""
        about: dict[str, Any] = {
            "method": self._name,
            "unit": self._method.scoring.unit,
            "requested": asked.total(self.sizes.values()),
            "budget": self.budget.amount,
        }
        if self.budget.unit != "pixels":
            about["budget_in"] = self.budget.unit
        if balance.counts is not None and report is not None:
            # By predicted class: picks that could be had, and how many were taken of them.
            about |= {"candidates": report.offered.tolist(), "quota": report.quota.tolist()}
        if balance.group_of is not None:
            # By what that class counted as, rather.
            about["quota_class"] = balance.group_of.tolist()
        return about

    def _queries(
        self, number: int, step: int, chosen: acquisition.Selection, about: dict[str, Any]
    ) -> annotation.Queries:
        # Records may be in any order; the log's ids are sorted.
        ids = self._pool.ids
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
