"""The main job in a process of its own, on small scenes, and what its workdir holds then."""

import json

import numpy as np
import processes
import scenes
import waiting

STEPS, ROUNDS = 12, (4, 8)


def flags(workdir, data_dir, *more, config="configs/synthetic.py:method=cbda"):
    given = [
        *(f"--config={config}", f"--workdir={workdir}"),
        f"--config.data.dir={data_dir}",
        *("--config.data.source_size=(32,64)", "--config.data.target_size=(32,64)"),
        *("--config.data.synthetic_city.source_train=6", "--config.data.synthetic_city.seed=1"),
        *(f"--config.data.synthetic_city.target_{s}=5" for s in ("train", "val", "test")),
        *("--config.data.source_batch=2", "--config.data.target_batch=2"),
        f"--config.training.steps={STEPS}",
        f"--config.acquisition.rounds={ROUNDS}",
        *("--config.evaluation.every=6", "--config.checkpoint.every=3"),
        *("--config.report.log_every=1", "--config.report.gallery=1"),
        *("--config.acquisition.batch_per_device=2", "--config.evaluation.batch_per_device=2"),
        "--config.compilation_cache=",
        *more,
    ]
    # Of a tuple that is given twice, the flag has both.
    return [*{flag.partition("=")[0]: flag for flag in given}.values()]


def centres(workdir):
    found = []
    for path in sorted((workdir / "queries").glob("round_*.npz")):
        with np.load(path) as log:
            found.append(np.stack([log["image"], log["row"], log["col"]]).tolist())
    return found


def start(workdir, data_dir, *more, hold=None, devices=1, **options):
    return processes.Fork(
        scenes.main, flags(workdir, data_dir, *more, **options), hold, devices=devices
    )


def run(workdir, data_dir, *more, **options):
    with start(workdir, data_dir, *more, **options) as process:
        return waiting.finish(process)


def queries(workdir):
    return [path.read_bytes() for path in sorted((workdir / "queries").glob("round_*.npz"))]


def result(workdir):
    return json.loads((workdir / "result.json").read_text())


def losses(workdir):
    records = [json.loads(x) for x in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {r["step"]: r["loss"] for r in records if r["kind"] == "train"}


def answers(workdir):
    return [path.read_bytes() for path in sorted((workdir / "answers").glob("round_*.npz"))]
