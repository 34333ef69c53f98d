"""Checkpoints of the training state, kept by Orbax. The one place that knows how.

Orbax writes a checkpoint whole or not at all, and checks its own tables when it reads them, but
not the arrays. So every checkpoint also holds a manifest (`manifest`), which tells one of
another network, an error, from a damaged one, which is put aside for the one before it.
"""

import functools
import hashlib
import logging
import os
import re
import sys
import uuid
from pathlib import Path, PurePath
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging
from etils import epath
from orbax.checkpoint.options import MultiprocessingOptions

from cbda_jax import console, stores
from cbda_jax.checkpoints import manifest
from cbda_jax.checkpoints.manifest import DamagedError
from cbda_jax.errors import InputError
from cbda_jax.runtime import hosts
from cbda_jax.stores import AnyPath, to_path

# Of what a process found in a checkpoint; of several processes the largest counts.
_WHOLE, _DAMAGED, _OTHER = range(3)


class Checkpoints:
    """The checkpoints of a run, by training step.

    A save is atomic: one that was cut off leaves a temporary folder that is ignored.

    Args:
        folder: where they are, on a disk that all hosts share; made if needed.
        keep: how many of the newest are kept.
        writable: False to look only: nothing is made, nor put aside if it is damaged.
        alone: whether this process has the folder for itself, whatever others do.

    Attributes:
        folder: as above.
    """

    folder: AnyPath

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep: int = 2,
        writable: bool = True,
        alone: bool = False,
    ):
        self.folder = Path(folder).absolute()
        self._writable = writable
        absl_logging.get_absl_logger().addFilter(_is_news)
        _mute_closed_loops()
        several: dict[str, Any] = {}
        if alone and jax.process_count() > 1:
            self.folder.mkdir(parents=True, exist_ok=True)
            own = jax.process_index()
            several["multiprocessing_options"] = MultiprocessingOptions(
                primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
            )
        self._manager = _Manager(
            epath.Path(self.folder),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=writable and not several,
                read_only=not writable,
                **several,
            ),
        )

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint; `restore_latest` may find it damaged."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Starts to save the state of a step; returns when it has been copied off the device.

        Saving a step again does nothing: a run is deterministic, so it is the same state.

        Raises:
            InputError: a newer checkpoint is there, or the folder cannot be written to.
        """
        if step in self._manager.all_steps():
            return
        named = _by_name(state)
        try:
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(named),
                    manifest=ocp.args.JsonSave(manifest.describe(named)),
                ),
            )
        except (OSError, ValueError) as error:
            raise _unwritable(self.folder, error) from error
        if not saved:
            raise InputError(
                f"{self.folder}: checkpoint of step {step} refused, the latest is "
                f"{self.latest}; move the newer checkpoints away to go back"
            )

    def restore_latest(self, state: Any) -> tuple[int, Any] | None:
        """The newest whole checkpoint: its step, and its state, shaped and placed as `state`.

        Damaged ones are renamed `corrupt-STEP` and left for a person to look at. All processes take
        the same one.

        Args:
            state: a state of the same structure, whose values are not used: live, or of
                `jax.ShapeDtypeStruct`s with shardings.

        Returns:
            None if no checkpoint was ever saved.

        Raises:
            InputError: it holds other arrays than `state` (nothing has changed then), cannot be
                read, or all that there are are damaged.
        """
        named = _by_name(state)
        found = self._newest(named, exact=True)
        if found is None:
            return None
        step, arrays = found
        return step, jax.tree.unflatten(jax.tree.structure(state), [arrays[n] for n in named])

    def restore_network(self, params: Any, frozen: Any) -> tuple[int, Any, Any]:
        """Step, parameters and frozen arrays of the newest whole checkpoint, of any optimizer.

        Args:
            params: of a state as for `restore_latest`. Averaged parameters (`ema`) come in their
                place where the checkpoint has them.
            frozen: of the same.

        Raises:
            InputError: there is no checkpoint, it holds another network, or cannot be read.
        """
        tree = {"params": params, "frozen": frozen}
        found = self._newest(_by_name(tree), exact=False)
        if found is None:
            raise InputError(f"{self.folder}: no checkpoint found; train first, or check the path")
        restored = jax.tree.unflatten(jax.tree.structure(tree), found[1].values())
        return found[0], restored["params"], restored["frozen"]

    def wait(self) -> None:
        """Returns when all saves are on the disk.

        Raises:
            InputError: the folder cannot be written to.
        """
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise _unwritable(self.folder, error) from error

    def close(self) -> None:
        """Waits, and ends the threads.

        Raises:
            InputError: the folder cannot be written to.
        """
        try:
            self.wait()
        finally:
            try:
                self._manager.close()
            # What one save has met may be found in two places, of which `wait` looks into one.
            except (OSError, ValueError) as error:
                raise _unwritable(self.folder, error) from error

    def _newest(self, wanted: dict[str, Any], *, exact: bool) -> tuple[int, dict[str, Any]] | None:
        damaged: set[int] = set()
        while True:
            # Process 0 sees the folder first.
            step = hosts.of_first(max(self._steps() - damaged, default=-1))
            if step < 0:
                break
            arrays, error = {}, None
            try:
                arrays = self._read(step, wanted, exact=exact)
            except (InputError, DamagedError) as caught:
                error = caught
            verdict = hosts.largest(
                _WHOLE if error is None else _DAMAGED if isinstance(error, DamagedError) else _OTHER
            )
            if verdict == _WHOLE:
                return step, arrays
            if verdict == _OTHER:
                raise error or InputError(f"{self.folder / str(step)}: refused by another process")
            damaged.add(step)
            hosts.first(functools.partial(self._put_aside, step, error))
        aside = sorted(path.name for path in self.folder.glob("corrupt-*"))
        if aside or damaged:
            names = ", ".join(aside or map(str, sorted(damaged)))
            raise InputError(
                f"{self.folder}: no whole checkpoint left, only damaged ones ({names}); restore "
                "one from a backup, or delete these to train again from step 0 (the query log is "
                "kept and nothing is asked twice)"
            )
        return None

    def _steps(self) -> set[int]:
        """The steps that there are now."""
        self._manager.reload()
        return set(self._manager.all_steps())

    def _read(self, step: int, wanted: dict[str, Any], *, exact: bool) -> dict[str, Any]:
        """The arrays of a checkpoint under the wanted names, in their order, all verified."""
        path = self.folder / str(step)
        found = self._restore(step, manifest=ocp.args.JsonRestore())
        held = manifest.entries(found["manifest"])
        stored = {name: name if exact else _averaged(name, held) for name in wanted}
        problems = manifest.differences(
            {stored[name]: leaf for name, leaf in wanted.items()}, held, exact=exact
        )
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise InputError(
                f"{path}: the checkpoint does not hold the {'state' if exact else 'network'} of "
                f"this config ({'; '.join(problems[:3])}{more}); use the config it was made with"
            )
        # To the host first: bad bytes never reach a device, and any placement can follow.
        arrays = self._restore(
            step,
            state=ocp.args.PyTreeRestore(
                item=dict.fromkeys(stored.values(), 0),
                restore_args={
                    name: ocp.RestoreArgs(restore_type=np.ndarray) for name in stored.values()
                },
                partial_restore=not exact,
            ),
        )["state"]
        manifest.verify(arrays, held)
        return {name: _place(arrays[stored[name]], leaf.sharding) for name, leaf in wanted.items()}

    def _restore(self, step: int, **items: Any) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:
            raise _problem(self.folder / str(step), error) from error

    def _put_aside(self, step: int, error: Exception | None) -> None:
        path = self.folder / str(step)
        aside, number = path.with_name(f"corrupt-{step}"), 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"corrupt-{step}-{number}")
        moved = ""
        if self._writable:
            try:
                self._rename(path, aside)
                moved = f", put aside as {aside.name}"
            except OSError:
                moved = ", cannot be renamed"
        console.say(f"{path}: damaged checkpoint{moved}; using the one before ({error})")

    def _rename(self, path: AnyPath, to: AnyPath) -> None:
        path.rename(to)


def check_writable(folder: str, field: str) -> None:
    """Makes a folder for checkpoints and tries to write to it, before hours are spent for one.

    Args:
        folder: a path, or an address of an object store.
        field: of the config, that names it.

    Raises:
        InputError: it cannot be made or written to, or a package for such addresses is missing.
    """
    path = to_path(folder, field)
    try:
        if isinstance(path, Path):
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f".{uuid.uuid4().hex[:8]}.tmp"
            probe.write_text("")
            probe.unlink()
        else:
            stores.check_writable(path)
    except OSError as error:
        raise InputError(
            f"{field}: {folder} found, expected a folder that can be written to "
            f"({stores.reason(error)}); check its permissions, or name another one"
        ) from error


def content_digest(folder: AnyPath) -> str | None:
    """What the arrays of the newest checkpoint of a folder are, as a SHA-256; None: there is none.

    Of the manifest, which has the checksum of every array.
    """
    steps = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    if not steps:
        return None
    path = folder / str(max(steps)) / "manifest" / "metadata"
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Manager(ocp.CheckpointManager):
    """Orbax's, but for its calls to JAX's agreement on preemption.

    That counts calls, which are those of `cbda_jax.runtime.preemption`; Orbax would count with its
    steps.
    """

    def reached_preemption(self, step: int) -> bool:
        del step
        return False


def _problem(path: PurePath, error: Exception) -> Exception:
    """What an error in reading says: of the checkpoint, of the right to read it, or of neither."""
    if isinstance(error, jax.errors.JaxRuntimeError | MemoryError):
        return error
    text = " ".join(str(error).split())[:200]
    if isinstance(error, PermissionError) or "PERMISSION_DENIED" in text:
        return InputError(f"{path}: cannot be read ({text}); check the folder's permissions")
    return DamagedError(f"{type(error).__name__}: {text}")


def _unwritable(folder: PurePath, error: Exception) -> InputError:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    if code := re.search(r"os_error_code='(\d+)'", text):
        text = os.strerror(int(code[1]))
    return InputError(
        f"cannot write a checkpoint to {folder}: {text[:300]}; free some space; the older "
        "checkpoints and the query log are whole, and the same command goes on from them"
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is not Orbax's, which logs advice, and long tracebacks before it raises."""
    return "/orbax/checkpoint/" not in record.pathname


@functools.cache
def _mute_closed_loops() -> None:
    """Keeps tracebacks of calls to a closed event loop off stderr, from now on.

    Once a read or write has failed, Orbax leaves the others to end in a closed loop; each would
    print one from a thread of its own, in the midst of the one line that says what has failed.
    """
    unraisable, uncaught = sys.unraisablehook, sys.excepthook

    def on_unraisable(found: Any) -> None:
        if not _is_closed_loop(found.exc_value):
            unraisable(found)

    def on_uncaught(kind: type[BaseException], value: BaseException, trace: Any) -> None:
        if not _is_closed_loop(value):
            uncaught(kind, value, trace)

    sys.unraisablehook, sys.excepthook = on_unraisable, on_uncaught


def _is_closed_loop(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"


def _by_name(state: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _place(array: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)


def _averaged(name: str, held: dict[str, Any]) -> str:
    """The name of a parameter's average, where a checkpoint has averages."""
    if name.startswith("params.") and any(other.startswith("ema.") for other in held):
        return "ema." + name.removeprefix("params.")
    return name
