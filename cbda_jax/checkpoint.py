"""Checkpoints of the training state, kept by Orbax. The one place that knows how."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from cbda_jax.errors import InputError


class Checkpoints:
    """The checkpoints of a run, by training step.

    A save is atomic: one that was cut off leaves a temporary folder that is ignored.

    Args:
        folder: where they are; made if needed.
        keep: how many of the newest are kept.
    """

    def __init__(self, folder: Path, *, keep: int = 2):
        self.folder = Path(folder).absolute()
        self._manager = ocp.CheckpointManager(
            self.folder, options=ocp.CheckpointManagerOptions(max_to_keep=keep)
        )

    @property
    def latest(self) -> int | None:
        """Step of the newest whole checkpoint."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Starts to save the state of a step; returns when it has been copied off the device.

        Saving a step again does nothing: a run is deterministic, so it is the same state.
        """
        if step in self._manager.all_steps():
            return
        try:
            saved = self._manager.save(step, args=ocp.args.StandardSave(_by_name(state)))
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        if not saved:
            raise InputError(
                f"{self.folder}: checkpoint of step {step} refused, the latest is "
                f"{self.latest}; move the newer checkpoints away to go back"
            )

    def restore(self, state: Any, step: int | None = None) -> Any:
        """The state saved at a step (the latest by default), shaped and placed as `state`.

        Args:
            state: a live state of the same structure; its values are not used.
            step: which checkpoint.

        Raises:
            InputError: there is no checkpoint, or it holds other arrays than `state`.
        """
        step = self.latest if step is None else step
        if step is None:
            raise InputError(f"{self.folder}: no checkpoint found; train first, or check the path")
        named = _by_name(state)
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, named)
        try:
            found = self._manager.restore(step, args=ocp.args.StandardRestore(target))
        except (ValueError, KeyError, FileNotFoundError) as error:
            raise InputError(
                f"{self.folder / str(step)}: the checkpoint does not hold the state of this "
                f"network and optimizer ({str(error).splitlines()[0]}); use the config it was "
                "made with"
            ) from error
        return jax.tree.unflatten(jax.tree.structure(state), [found[name] for name in named])

    def wait(self) -> None:
        """Returns when all saves are on the disk."""
        try:
            self._manager.wait_until_finished()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def close(self) -> None:
        """Waits, and ends the threads."""
        self.wait()
        self._manager.close()


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write a checkpoint to {folder}: {error.strerror or error}; free some space; the "
        "older checkpoints and the query log are whole, and the same command goes on from them"
    )


def _by_name(state: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
