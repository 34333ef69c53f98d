"""A score of one's own: a function of maps that its parameters name, in one file.

    python examples/a_new_score.py

A run uses it without another line of code, named in its config:

    PYTHONPATH=examples python -m cbda_jax.main --config=configs/synthetic.py:method=ripu \
        --config.acquisition.score=a_new_score:ratio --workdir=/tmp/ratio
"""

import jax
import jax.numpy as jnp

from cbda_jax import acquisition


@acquisition.register_score("ratio")
def ratio(confidence, margin):
    """Second-best probability over the best (ratio of confidence): 1 where two classes tie."""
    return (confidence - margin) / confidence


def main() -> None:
    """Scores drawn logits by it, and says which regions it would ask for."""
    logits = jax.random.normal(jax.random.key(0), (16, 32, 19)) * 2
    scoring = acquisition.Scoring(score="ratio", unit="region", radius=1)
    maps = acquisition.score_maps(logits, scoring, size=(64, 128))
    picks = acquisition.greedy_picks(
        jnp.asarray(maps.score), 5, radius=scoring.squares.block_radius, capacity=5
    )
    for row, column, score in zip(picks.row, picks.col, picks.score, strict=True):
        print(f"row {row}, column {column}: {score:.3f}")


if __name__ == "__main__":
    main()
