"""Runs several methods with several seeds, one after the other; prints their figures in percent.

    python scripts/compare_methods.py --config=configs/synthetic.py --out=runs/compare \
        --methods=source_only,ripu,cbda,full_supervision --seeds=0,1,2

Finished runs are not repeated and broken ones go on, so the command can be given again.
Arguments after `--` go to every run, such as `-- --config.training.steps=500`.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from absl import app, flags

_CONFIG = flags.DEFINE_string("config", "configs/synthetic.py", "The experiment.")
_OUT = flags.DEFINE_string("out", "runs/compare", "Folder of the runs' workdirs.")
_METHODS = flags.DEFINE_list(
    "methods",
    [
        "source_only",
        "random_pixels",
        "random_regions",
        "ripu",
        "cb",
        "da",
        "cbda",
        "full_supervision",
    ],
    "Methods, in the order of the table.",
)
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
_BUDGET = flags.DEFINE_float("budget", 0.05, "Fraction of the target's pixels.")

_FIGURES = {
    "mIoU": "miou",
    "lowest class": "min_iou",
    "five lowest": "worst5_iou",
    "labelled": "labelled_fraction",
}


def _run(method: str, seed: str, extra: list[str]) -> dict[str, float]:
    workdir = Path(_OUT.value) / f"{method}-s{seed}"
    argument = f"method={method},seed={seed},budget={_BUDGET.value:g}"
    command = [sys.executable, "-m", "cbda_jax.main", f"--config={_CONFIG.value}:{argument}"]
    status = subprocess.run([*command, f"--workdir={workdir}", *extra]).returncode
    if status:
        sys.exit(status)
    result = json.loads((workdir / "result.json").read_text())
    return {name: 100 * result["evaluation"][key] for name, key in _FIGURES.items()}


def main(arguments: list[str]) -> None:
    """Runs what is missing, then prints mean and standard deviation over the seeds."""
    found = {
        method: [_run(method, seed, arguments[1:]) for seed in _SEEDS.value]
        for method in _METHODS.value
    }
    print(f"| method | {' | '.join(_FIGURES)} | labelled % |")
    print("| --- |" + " ---: |" * len(_FIGURES))
    for method, runs in found.items():
        cells = []
        for name in _FIGURES:
            values = [run[name] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.fmean(values):.1f} ± {spread:.1f}")
        print(f"| {method} | {' | '.join(cells)} |")


if __name__ == "__main__":
    app.run(main)
