"""Short runs whose picks and figures are hashed: does a change of the code change what it computes?

    python scripts/fingerprint.py --out=before.json              # of this checkout
    python scripts/fingerprint.py --checkout=DIR --out=DIR.json  # of another one
    python scripts/fingerprint.py --compare before.json after.json

The runs are of the embedded data, seconds each on two CPU cores; together they visit every method
family, what changes a score, and two processes. A row holds the hash of all picks (places, scores
and predicted classes, of all rounds), of the losses of every step, and of all figures, each to the
last bit. Bits hold on one machine with the same versions; another one may round otherwise.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_COMMON = (
    "--config.data.synthetic_city.source_train=24",
    "--config.data.synthetic_city.target_train=16",
    "--config.data.synthetic_city.target_val=8",
    "--config.data.synthetic_city.target_test=8",
    "--config.training.steps=60",
    "--config.training.schedule_steps=60",
    "--config.acquisition.rounds=(20, 28, 36, 44, 52)",
    "--config.evaluation.every=30",
    "--config.checkpoint.every=40",
    "--config.report.log_every=1",
    "--config.report.gallery=1",
)
_ACQUISITION = "--config.acquisition."
_SMALL_ROUNDS = (
    "method=cbda",
    f"{_ACQUISITION}sub_rounds=4",
    f"{_ACQUISITION}class_evidence=corrected_by_score",
    f"{_ACQUISITION}ties=balanced_uncertainty",
    f"{_ACQUISITION}avoid_void=True",
)
RUNS: dict[str, tuple[str, ...]] = {
    "ripu": ("method=ripu",),
    "cbda": ("method=cbda",),
    "cbda_quota": ("method=cbda_quota",),
    "random_pixels": ("method=random_pixels",),
    "cb_oracle": ("method=cb_oracle",),
    "cbda, two processes": ("method=cbda",),
    "ripu_pixel": ("method=ripu_pixel", "--config.acquisition.radius=3"),
    "corrected quota": ("method=cbda_quota", f"{_ACQUISITION}class_evidence=corrected"),
    "corrected weights, balanced ties": (
        "method=cb,class_balance=inverse_power",
        f"{_ACQUISITION}class_evidence=corrected",
        f"{_ACQUISITION}ties=class_balanced",
    ),
    "expected weights, floor": (
        "method=cb,class_balance=effective_number",
        f"{_ACQUISITION}class_evidence=expected",
        f"{_ACQUISITION}impurity_floor=0.05",
    ),
    "small rounds": _SMALL_ROUNDS,
    "small rounds, two processes": _SMALL_ROUNDS,
    "prior corrected, flip": (
        "method=cb,class_balance=inverse_power",
        f"{_ACQUISITION}class_evidence=prior_corrected",
        f"{_ACQUISITION}flip=True",
    ),
    "full supervision": ("method=full_supervision", "--config.training.ema=0.9"),
}
"""By name: the config's argument, and flags."""

_LIMIT_S = 900


def main() -> None:
    """Runs and writes down, or compares what two checkouts wrote down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkout", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--out", type=Path, help="where the hashes go, as JSON")
    parser.add_argument("--only", nargs="*", default=list(RUNS), help="names of runs")
    parser.add_argument("--workdirs", type=Path, help="keep the runs here; default: nowhere")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="JSON")
    options = parser.parse_args()
    if options.compare:
        sys.exit(_compare(*options.compare))
    with tempfile.TemporaryDirectory() as temporary:
        found = {}
        for name in options.only:
            workdir = (options.workdirs or Path(temporary)).absolute() / name.replace(" ", "_")
            _run(options.checkout.absolute(), RUNS[name], workdir, "two processes" in name)
            found[name] = fingerprint(workdir)
            print(f"{name:34} {'  '.join(map(str, found[name].values()))}", flush=True)
            if options.out:
                options.out.write_text(json.dumps(found, indent=2) + "\n")


def _run(checkout: Path, arguments: tuple[str, ...], workdir: Path, two: bool) -> None:
    argument, *flags = arguments
    command = [f"--config=configs/synthetic.py:{argument},budget=0.05", *_COMMON, *flags]
    command.append(f"--workdir={workdir}")
    if two:
        start = [sys.executable, "scripts/launch_local.py", "--processes=2", "--"]
    else:
        start = [sys.executable, "-m", "cbda_jax.main"]
    done = subprocess.run(
        [*start, *command],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-3000:]}")


def fingerprint(workdir: Path) -> dict[str, Any]:
    """Hashes of a finished run: picks, losses, figures; and the last mIoU for people to read."""
    picks = hashlib.sha256()
    for path in sorted((workdir / "queries").glob("round_*.npz")):
        with np.load(path) as arrays:
            for column in ("image_ids", "image", "row", "col", "score", "predicted"):
                picks.update(arrays[column].tobytes())
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    losses = [_without(r, "steps_per_second", "data_wait_ms") for r in records]
    # The fields that say how long something took, or were added later, are no figures.
    figures = [
        {
            k: r[k]
            for k in sorted(r)
            if k in ("step", "miou", "iou", "labelled_fraction", "fraction")
        }
        for r in records
        if r["kind"] in ("evaluation", "round")
    ]
    counts = [r.get("class_pixels") for r in records if r["kind"] == "round"]
    final = [r for r in records if r["kind"] == "evaluation"][-1]
    return {
        "picks": picks.hexdigest()[:12],
        "losses": _hash(r for r in losses if r["kind"] == "train"),
        "figures": _hash([figures, counts]),
        "miou": final["miou"],
    }


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("time", *names)}


def _hash(values: Iterable[Any]) -> str:
    return hashlib.sha256(json.dumps(list(values), sort_keys=True).encode()).hexdigest()[:12]


def _compare(first: Path, second: Path) -> int:
    before, after = (json.loads(path.read_text()) for path in (first, second))
    different = 0
    print(f"{'run':34} {'picks':>12}  {'losses':>12}  {'figures':>12}  mIoU")
    for name in before:
        same = before[name] == after.get(name)
        different += not same
        print(f"{name:34} {'  '.join(map(str, before[name].values()))}  {'same' if same else ''}")
        if not same:
            print(f"{'':34} {'  '.join(map(str, after.get(name, {}).values()))}  DIFFERENT")
    print(f"{len(before) - different} of {len(before)} runs are the same, bit for bit")
    return int(different > 0)


if __name__ == "__main__":
    main()
