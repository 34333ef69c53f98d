"""An oracle of one's own: who answers, in one file.

    python examples/a_new_oracle.py

This one stands in for a person who gives each region one class with one key, leaves out those that
are hard to tell, and sometimes presses the wrong key. A run uses it without another line of code:

    PYTHONPATH=examples python -m cbda_jax.main --config=configs/synthetic.py:method=cbda \
        --config.annotation.oracle=a_new_oracle:OneKey --workdir=/tmp/one_key
"""

from pathlib import Path

import numpy as np

from cbda_jax import annotation


class OneKey:
    """Answers each region with the class that most of it has.

    Args:
        setting: what the oracle may know of the run.
        mistaken: how often another class is answered.
        least: a region of which no class fills this fraction is left unanswered.
    """

    def __init__(self, setting: annotation.Setting, mistaken: float = 0.05, least: float = 0.7):
        self._truth = annotation.GroundTruthOracle(setting.pool, len(setting.classes))
        self._classes = len(setting.classes)
        self._seed = setting.seed
        self._mistaken, self._least = mistaken, least

    def ask(self, queries: annotation.Queries) -> annotation.Answers:
        """One class for each region, or none."""
        # Asked again for the same round, it answers the same.
        rng = np.random.default_rng([self._seed, queries.round])
        true = self._truth.ask(queries).patches
        patches = np.full_like(true, annotation.UNANSWERED)
        for answer, region in zip(patches, true, strict=True):
            inside = region != annotation.UNANSWERED
            classes, pixels = np.unique(region[inside], return_counts=True)
            answered = classes[pixels.argmax()]
            if rng.random() < self._mistaken:
                answered = rng.integers(self._classes)
            if pixels.max() >= self._least * inside.sum():
                answer[inside] = answered
        return annotation.Answers(queries, patches, {"oracle": "one key"})


class Drawn:
    """An image of three stripes, for the lines below; a run has its target images here."""

    ids = ("stripes",)

    def label(self, index: int) -> np.ndarray:
        """Train ids [48, 64]."""
        return np.repeat(np.arange(3, dtype=np.uint8), [20, 24, 20])[None].repeat(48, axis=0)


def main() -> None:
    """Asks for a few regions of an image."""
    setting = annotation.Setting(Drawn(), ("road", "car", "sky"), Path(), seed=1)
    oracle = annotation.create_oracle(f"{__name__}:OneKey", setting)
    col = np.arange(4, 60, 8, dtype=np.int32)
    queries = annotation.Queries(
        round=1,
        step=0,
        image_ids=("stripes",),
        image=np.zeros_like(col),
        row=np.full_like(col, 24),
        col=col,
        score=np.ones(len(col), np.float32),
        predicted=np.zeros(len(col), np.uint8),
        radius=2,
        about={},
    )
    answers = oracle.ask(queries)
    assert isinstance(answers, annotation.Answers)
    for column, patch in zip(col, answers.patches, strict=True):
        centre = patch[2, 2]
        said = "unanswered" if centre == annotation.UNANSWERED else setting.classes[centre]
        print(f"region at column {column}: {said}")


if __name__ == "__main__":
    main()
