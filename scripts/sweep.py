"""Runs arms x budgets x seeds of an experiment; writes tables and figures of all of them.

    python scripts/sweep.py --config=configs/sweeps/synthetic.py --out=runs/sweep --workers=2

Finished runs are not repeated and broken ones go on, so the same command continues a sweep that was
stopped, and only draws again what is complete. Fields of the sweep can be set by hand
(`--config.seeds="(0,1)"`), and fields of all runs (`--common=data.root=DIR`).

In stretches of two hours, say: runs go seed by seed, SIGTERM has all of them save, and --draw
makes tables and figures of what has finished.

    timeout --preserve-status 2h python scripts/sweep.py --config=... --out=runs/sweep --workers=2
    python scripts/sweep.py --config=... --out=runs/sweep --draw

Status 75 says that there is more to do: the first command again goes on, also in the middle of a
run. With --earlier=runs/sweep/results/sweep.csv the runs in that table count as done though their
folders are gone, if their configs are the same.

Without --devices every worker has its share of the cores. Keep --workers the same throughout a
sweep on CPUs: the last bits of sums depend on the number of cores.

Exit status: 0 when all is done; 1 if a run failed; 2 for what the user can mend; 75 after SIGTERM
or Ctrl-C, with everything saved.
"""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from cbda_jax import console
from cbda_jax.config import files as config_files
from cbda_jax.errors import InputError
from cbda_jax.runtime.lock import WorkdirLock
from cbda_jax.runtime.preemption import EXIT_STATUS, Preempted
from cbda_jax.stores import is_store
from cbda_jax.sweep import Plan, Workers, make_plan, run_all, schedule
from cbda_jax.sweep.figures import write_figures
from cbda_jax.sweep.table import Row, collect, read_rows, write_tables

_CONFIG = config_flags.DEFINE_config_file("config", None, "The sweep, of configs/sweeps/.")
_OUT = flags.DEFINE_string("out", None, "Folder of the runs; by default runs/NAME-sweep.")
_RESULTS = flags.DEFINE_string("results", None, "Tables and figures; by default OUT/results.")
_EARLIER = flags.DEFINE_string(
    "earlier", None, "A table (CSV) of this sweep: its rows count as runs that are done."
)
_WORKERS = flags.DEFINE_integer("workers", None, "Runs at a time.", lower_bound=1)
_DEVICES = flags.DEFINE_list("devices", [], "Ids of the GPUs that the workers use, such as 0,1.")
_COMMON = flags.DEFINE_multi_string(
    "common", [], "FIELD=VALUE of the config of all runs; can be given several times."
)
_ARMS = flags.DEFINE_list("arms", None, "Only these arms.")
_DRAW = flags.DEFINE_bool("draw", False, "Run nothing; draw what has finished.")


def main(_: list[str]) -> None:
    """Runs what is missing, then writes tables and figures."""
    try:
        sys.exit(_sweep())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Preempted:
        console.say("stopped; every run is saved, the same command goes on")
        sys.exit(EXIT_STATUS)


def _sweep() -> int:
    sweep = _CONFIG.value
    sweep.common = {**sweep.common, **dict(map(_field, _COMMON.value))}
    plan = make_plan(sweep, _ARMS.value)
    name = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    if is_store(_OUT.value or ""):
        raise InputError(f"--out: {_OUT.value} found, expected a folder on a disk; name one")
    out = Path(_OUT.value or f"runs/{name}-sweep")
    results = Path(_RESULTS.value) if _RESULTS.value else out / "results"
    earlier = read_rows(Path(_EARLIER.value), plan) if _EARLIER.value else {}
    if _DRAW.value:
        _write(plan, out, results, name, earlier)
        return 0
    lock = WorkdirLock(out)
    lock.acquire()
    try:
        jobs = schedule(plan, out, earlier)
        left = sum(job.counts for job in jobs)
        workers = Workers(_WORKERS.value or max(1, len(_DEVICES.value)), _DEVICES.value)
        failures = run_all(jobs, workers, finished=len(plan.runs) - left) if jobs else []
        _write(plan, out, results, name, earlier)
    finally:
        lock.release()
    for failure in failures:
        console.say(f"failed: {failure.name}: {failure.why}")
    return 1 if failures else 0


def _field(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--common: {text!r} found, expected FIELD=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def _write(plan: Plan, out: Path, results: Path, name: str, earlier: Mapping[str, Row]) -> None:
    rows = collect(plan, out, earlier)
    figures = write_figures(rows, plan, out, results, name)
    table = write_tables(rows, plan, results, name, figures)
    console.say(f"{len(rows)} of {len(plan.runs)} runs: {table}")


def _parse(arguments: list[str]) -> list[str]:
    try:
        return app.parse_flags_with_usage(config_files.complete_command(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=_parse)
