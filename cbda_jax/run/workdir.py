"""The files of a run that say what it is and what came of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from cbda_jax import checkpoints, methods
from cbda_jax.config import FIELDS, Change, Field, base, field_of, flat, settled
from cbda_jax.errors import InputError
from cbda_jax.files import json_text, write_bytes
from cbda_jax.runtime import lock
from cbda_jax.stores import AnyPath, to_path

# Beside the fields: what the files that they name hold, how the run was extended, and what its
# method set of the fields that the config left unset.
_BESIDE = (_CONTENTS, _HISTORY, _DEFAULTS) = ("contents", "history", "defaults")

# Runs without these are older than what their methods are now.
_THEN = {"cbda": "cbda_predicted"}

_DECLARED = "data.declared."


class Difference(NamedTuple):
    """A field that a run found in a workdir has otherwise.

    Attributes:
        name: of the field.
        there: its value in the workdir.
        here: its value now.
        change: when it may change.
    """

    name: str
    there: Any
    here: Any
    change: Change

    def __str__(self) -> str:
        return f"{self.name}: {self.there!r} there, {self.here!r} now"


def claim(workdir: AnyPath, config: Any, *, write: bool, mode: str = "train") -> None:
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
    if (workdir / "config.json").exists():
        changed = [
            found
            for found in differences(workdir, config)
            if not (found.change == "evaluate" and mode == "evaluate")
        ]
        if changed:
            extends = mode == "train" and all(f.change in EXTENDS for f in changed)
            raise InputError(
                f"{workdir} holds a run of another config ({'; '.join(map(str, changed))}); use "
                "another --workdir, or the config it was started with"
                f"{', or --extend, with which it goes on to this one' if extends else ''}"
            )
        return
    # The lock, and what was left of a start that was killed, is ours.
    found = workdir.iterdir() if workdir.is_dir() else ()
    if any(p.name != lock.NAME and not p.name.startswith(".") for p in found):
        raise InputError(
            f"{workdir} is not empty and holds no run (no config.json); use another --workdir"
        )
    if write:
        now = _plain(config)
        named = (name for name, field in FIELDS.items() if field.change == "moved")
        contents = {name: content_digest(now[name]) for name in named if now.get(name)}
        defaults = methods.values(methods.get_method(now["method"]))
        write_json(workdir / "config.json", {**now, _CONTENTS: contents, _DEFAULTS: defaults})


EXTENDS = ("extend", "evaluate")
"""When fields may change that --extend may change."""


def differences(workdir: AnyPath, config: Any) -> list[Difference]:
    """The fields of a run in which a config differs, but for those that may whenever it goes on.

    Raises:
        InputError: the config of the run is damaged.
    """
    before, now = _recorded(workdir), _plain(config)
    unset = _unset(before)
    contents = before.get(_CONTENTS, {})
    for beside in _BESIDE:
        before.pop(beside, None)
    # A data set that is declared to be evaluated on has no part in what was done.
    sets = (before.get(field) or "" for field in ("data.source", "data.target", "label_space"))
    learnt = [f"{_DECLARED}{name.partition('/')[0]}." for name in sets]
    found = []
    for name in {**before, **now}:
        field = field_of(name)
        # A run of before a field was known had what is now its default.
        default = None if field is None or field.is_unset or field.is_open else field.default
        there, here = before.get(name, json.loads(json.dumps(default))), now.get(name)
        change = "never" if field is None else field.change
        if name.startswith(_DECLARED) and not any(map(name.startswith, learnt)):
            change = "evaluate"
        if change == "resume" or there == here:
            continue
        # What the method set by itself may be said, too.
        if name in unset and here == unset[name] and now["method"] == before["method"]:
            continue
        if change == "moved" and here and contents.get(name) == content_digest(here) is not None:
            continue
        found.append(Difference(name, there, here, change))
    return found


def as_begun(workdir: AnyPath, config: Any) -> Any:
    """A config whose method does what it did when the run of a workdir began.

    Fields of the method that are unset there and here keep the values that the method had then,
    if it has others now: the same command goes on to the same numbers under a later version.

    Args:
        workdir: folder of the run; without one, nothing changes.
        config: of this start; not changed.

    Raises:
        InputError: the config of the run is damaged.
    """
    if not (workdir / "config.json").exists():
        return config
    before = _recorded(workdir)
    found = settled(config)
    if before.get("method") != found.method or found.method not in methods.METHODS:
        return config  # `claim` tells
    own, said = methods.values(methods.get_method(found.method)), flat(found)
    kept = {
        name: value
        for name, value in _unset(before).items()
        if own[name.partition(".")[2]] != value and said[name] is None
    }
    found.update_from_flattened_dict(kept)
    return found if kept else config


def _unset(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that the config of a run left to its method, and the values that this had for them."""
    method = str(recorded.get("method"))
    method = _THEN.get(method, method) if _DEFAULTS not in recorded else method
    if method not in methods.METHODS:
        return {}
    # What a run does not know, or no method any more, is as it is now.
    then, now = recorded.get(_DEFAULTS, {}), methods.values(methods.get_method(method))
    values = {f"acquisition.{name}": then.get(name, value) for name, value in now.items()}
    return {name: value for name, value in values.items() if recorded.get(name) is None}


def amend(workdir: AnyPath, changed: Sequence[Difference], entry: Mapping[str, Any]) -> None:
    """Gives a run other values of some fields, and an entry in its history; both or neither.

    Args:
        workdir: folder of the run.
        changed: the fields; all others stay.
        entry: of the history, see `read_history`.

    Raises:
        InputError: the file cannot be read or written.
    """
    values = _recorded(workdir)
    values[_HISTORY] = [*values.get(_HISTORY, []), dict(entry)]
    values |= {difference.name: difference.here for difference in changed}
    write_json(workdir / "config.json", values)


def read_history(workdir: AnyPath) -> list[dict[str, Any]]:
    """What was changed of a run since it was begun, in order; empty where nothing was.

    Each entry has the `step` and the number of `rounds` it was made at, `changed`: the values
    before and after of each field, the `time` and the `version` of the program.

    Raises:
        InputError: the config of the run is damaged.
    """
    return [*_recorded(workdir).get(_HISTORY, [])] if (workdir / "config.json").exists() else []


def _recorded(workdir: AnyPath) -> dict[str, Any]:
    path = workdir / "config.json"
    try:
        return dict(json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not valid JSON ({error}); restore it, or use another --workdir"
        ) from error


def _plain(config: Any) -> dict[str, Any]:
    """The fields as JSON gives them back, where tuples are lists."""
    return json.loads(json.dumps(flat(settled(config))))


def content_digest(path: str) -> str | None:
    """What a file or the newest checkpoint of a workdir holds, as a SHA-256; None: nothing there.

    Raises:
        InputError: it cannot be read.
    """
    found = to_path(path)
    try:
        if found.is_dir():
            return checkpoints.content_digest(found / "checkpoints")
        if not found.is_file():
            return None
        # Files of weights are on a disk, also where runs are not.
        with Path(found).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{found}: cannot be read ({error.strerror or error}); check its permissions and disk"
        ) from error


def check_run(workdir: AnyPath) -> None:
    """Checks that there is a run to look at.

    Raises:
        InputError: the folder holds none. Nothing is made.
    """
    if not (workdir / "config.json").exists():
        raise InputError(
            f"{workdir}: no run found (no config.json); train first, or check --workdir"
        )


def read_config(workdir: AnyPath) -> Any:
    """The config of a run, as `cbda_jax.config` makes them.

    Raises:
        InputError: the file is damaged, or holds a field that is unknown.
    """
    path = workdir / "config.json"
    config = base()
    try:
        values = dict(json.loads(path.read_text()))
        for beside in _BESIDE:
            values.pop(beside, None)
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
    return as_begun(workdir, config)


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


def read_result(workdir: AnyPath) -> dict[str, Any] | None:
    """What a finished run came to, None if it has not finished, or was extended since."""
    path = workdir / "result.json"
    if not path.exists():
        return None
    result = json.loads(path.read_text())
    return result if len(result.get(_HISTORY, [])) == len(read_history(workdir)) else None


def put_aside(workdir: AnyPath) -> AnyPath | None:
    """Renames result and report of before a run was extended, so that new ones do not replace them.

    To `result_N.json` and `report/index_N.html`, N being the extensions that there were by then.

    Returns:
        Where the result is now; None where there is none from before.

    Raises:
        InputError: they cannot be renamed.
    """
    path = workdir / "result.json"
    if not path.exists() or read_result(workdir) is not None:
        return None
    number = len(json.loads(path.read_text()).get(_HISTORY, []))
    aside, report = path.with_name(f"result_{number}.json"), workdir / "report" / "index.html"
    try:
        # The result last: while it is there, this is not done.
        for old, new in ((report, report.with_name(f"index_{number}.html")), (path, aside)):
            if old.exists() and not new.exists():
                old.rename(new)
    except OSError as error:
        raise InputError(
            f"cannot rename {path}: {error.strerror or error}; check the folder's permissions, "
            "then start the same command again"
        ) from error
    return aside


def write_json(path: AnyPath, value: Any) -> None:
    """Writes indented JSON, whole or not at all; numbers that are not finite are null."""
    text = json_text(value, indent=2, sort_keys=True) + "\n"
    write_bytes(path, text.encode())
