"""A run without flags: started, read and looked at in Python, as in a notebook.

    python examples/a_run_in_python.py

A short run on the drawn scenes, in a folder of its own. `cbda_jax.open_run` opens any other.
"""

import tempfile
from pathlib import Path

import cbda_jax


def config_of(folder: Path):
    """The drawn scenes, made small; any field may be set like that."""
    config = cbda_jax.load_config("synthetic", method="cbda", steps=20)
    config.data.dir = str(folder / "data")
    config.data.source_size = config.data.target_size = (64, 128)
    config.data.source_batch = config.data.target_batch = 2
    config.data.synthetic_city.source_train = config.data.synthetic_city.target_train = 4
    config.data.synthetic_city.target_val = config.data.synthetic_city.target_test = 2
    config.acquisition.rounds = (5, 10)
    config.report.log_every = 10
    return config


def main(folder: Path) -> None:
    """Trains, and prints and draws what came of it."""
    run = cbda_jax.train(config_of(folder), folder / "run")

    figures = run.figures("evaluation")
    print(f"mIoU {figures['miou'][-1]:.3f} at step {figures['step'][-1]}")
    for queries, answers in zip(run.queries(), run.answers(), strict=True):
        print(f"round {queries.round}: {len(queries)} asked, {answers.answered.sum()} answered")

    picks = run.picks()  # run.frame("picks") is the same for pandas
    image_id = run.image_ids[0]
    print(f"{(picks['image_id'] == image_id).sum()} of {len(picks['row'])} picks in {image_id}")

    classes = run.predict(image_id)
    print(f"{(classes == run.space.classes.index('road')).mean():.0%} of it predicted as road")
    run.draw_score_map(image_id).figure.savefig(folder / "score.png")
    print("drawn:", (folder / "score.png").name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
