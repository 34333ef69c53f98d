"""The files of a run that say what it is and what came of it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cbda_jax import checkpoints
from cbda_jax.config import FIELDS, Field, base, field_of, flat, settled
from cbda_jax.errors import InputError
from cbda_jax.files import json_text, write_bytes
from cbda_jax.runtime import lock

# Beside the fields, what the files that they name hold.
_CONTENTS = "contents"


def claim(workdir: Path, config: Any, *, write: bool, mode: str = "train") -> None:
    """Records the config of a new run, or checks that a run found here has the same.

    Fields that say so in `cbda_jax.config` may differ.

    Args:
        workdir: folder of the run; made if needed.
        config: of this start.
        write: False on all hosts but the first, which then only check.
        mode: of this start: "train", "evaluate" or "acquire".

    Raises:
        InputError: the folder belongs to a run of another config, holds something else, or cannot
            be written to.
    """
    path = workdir / "config.json"
    # As JSON gives it back, where tuples are lists.
    now = json.loads(json.dumps(flat(settled(config))))
    if path.exists():
        try:
            before = dict(json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{path}: not valid JSON ({error}); restore it, or use another --workdir"
            ) from error
        if changed := [*_changes(before, now, mode)]:
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
        named = (name for name, field in FIELDS.items() if field.change == "moved")
        contents = {name: content_digest(now[name]) for name in named if now.get(name)}
        write_json(path, {**now, _CONTENTS: contents})


def _changes(before: dict[str, Any], now: Mapping[str, Any], mode: str) -> Iterator[str]:
    """Fields that differ and may not, each with both values."""
    contents = before.pop(_CONTENTS, {})
    for name in {**before, **now}:
        field = field_of(name)
        # A run of before a field was known had what is now its default.
        default = None if field is None or field.is_unset or field.is_open else field.default
        there, here = before.get(name, json.loads(json.dumps(default))), now.get(name)
        change = "never" if field is None else field.change
        free = change == "resume" or (change == "evaluate" and mode == "evaluate")
        if free or there == here:
            continue
        if change == "moved" and here and contents.get(name) == content_digest(here) is not None:
            continue
        yield f"{name}: {there!r} there, {here!r} now"


def content_digest(path: str) -> str | None:
    """What a file or the newest checkpoint of a workdir holds, as a SHA-256; None: nothing there.

    Raises:
        InputError: it cannot be read.
    """
    found = Path(path).expanduser()
    try:
        if found.is_dir():
            return checkpoints.content_digest(found / "checkpoints")
        if not found.is_file():
            return None
        with found.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{found}: cannot be read ({error.strerror or error}); check its permissions and disk"
        ) from error


def check_run(workdir: Path) -> None:
    """Checks that there is a run to look at.

    Raises:
        InputError: the folder holds none. Nothing is made.
    """
    if not (workdir / "config.json").exists():
        raise InputError(
            f"{workdir}: no run found (no config.json); train first, or check --workdir"
        )


def read_config(workdir: Path) -> Any:
    """The config that a run was started with, as `cbda_jax.config` makes them.

    Raises:
        InputError: the file is damaged, or holds a field that is unknown.
    """
    path = workdir / "config.json"
    config = base()
    try:
        values = dict(json.loads(path.read_text()))
        values.pop(_CONTENTS, None)
        for name, value in values.items():
            field = field_of(name)
            if field is None:
                raise ValueError(f"an unknown field {name}")
            _put(config, field, name, value)
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: cannot be read ({' '.join(str(error).split())}), expected the config of the "
            "run; restore it"
        ) from error
    return config


def _put(config: Any, field: Field, name: str, value: Any) -> None:
    """Sets a field, or what is within one that is open."""
    holder, names = config, name.split(".")
    depth = len(field.name.split("."))
    for place, inner in enumerate(names[:-1], 1):
        if inner not in holder and place > depth - 1:
            holder[inner] = ConfigDict()
        holder = holder[inner]
    if isinstance(value, list) and not field.is_open:
        value = tuple(value)
    with holder.ignore_type():
        holder[names[-1]] = value


def read_result(workdir: Path) -> dict[str, Any] | None:
    """What a finished run came to, None if it has not finished."""
    path = workdir / "result.json"
    return json.loads(path.read_text()) if path.exists() else None


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON, whole or not at all; numbers that are not finite are null."""
    text = json_text(value, indent=2, sort_keys=True) + "\n"
    write_bytes(path, text.encode())
