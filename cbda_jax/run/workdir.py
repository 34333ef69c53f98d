"""The files of a run that say what it is and what came of it."""

import json
from pathlib import Path
from typing import Any

import ml_collections

from cbda_jax.errors import InputError
from cbda_jax.files import write_atomic
from cbda_jax.runtime import lock

# Sections that change what is shown or kept, or where data lies, never a result.
_FREE = (
    *("report.", "checkpoint.every", "checkpoint.keep"),
    *("compilation_cache", "data.threads", "data.dir", "data.root"),
)


def claim(workdir: Path, config: Any, *, write: bool) -> None:
    """Records the config of a new run, or checks that a run found here has the same.

    Args:
        workdir: folder of the run; made if needed.
        config: of this start.
        write: False on all hosts but the first, which then only check.

    Raises:
        InputError: the folder belongs to a run of another config, holds something else, or cannot
            be written to.
    """
    path = workdir / "config.json"
    # As JSON gives it back, where tuples are lists.
    now = json.loads(json.dumps(flat(config)))
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except ValueError as error:
            raise InputError(
                f"{path}: not valid JSON ({error}); restore it, or use another --workdir"
            ) from error
        names = [n for n in {**before, **now} if not n.startswith(_FREE)]
        changed = [
            f"{n}: {before.get(n, 'absent')!r} there, {now.get(n, 'absent')!r} now"
            for n in names
            # A field that is not set says no more than one that was not known yet.
            if before.get(n) != now.get(n)
        ]
        if changed:
            raise InputError(
                f"{workdir} holds a run of another config ({'; '.join(changed)}); use another "
                "--workdir, or the config it was started with"
            )
        return
    # The lock, and what was left of a start that was killed, is ours.
    found = workdir.iterdir() if workdir.is_dir() else ()
    if any(p.name != lock.NAME and not p.name.startswith(".") for p in found):
        raise InputError(
            f"{workdir} is not empty and holds no run (no config.json); use another --workdir"
        )
    if write:
        write_json(path, now)


def check_run(workdir: Path) -> None:
    """Checks that there is a run to look at.

    Raises:
        InputError: the folder holds none. Nothing is made.
    """
    if not (workdir / "config.json").exists():
        raise InputError(
            f"{workdir}: no run found (no config.json); train first, or check --workdir"
        )


def read_result(workdir: Path) -> dict[str, Any] | None:
    """What a finished run came to, None if it has not finished."""
    path = workdir / "result.json"
    return json.loads(path.read_text()) if path.exists() else None


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2, sort_keys=True) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))


def flat(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The values of all fields, by their names with dots."""
    values = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            values |= {f"{name}.{inner}": found for inner, found in flat(value).items()}
        else:
            values[name] = value
    return values
