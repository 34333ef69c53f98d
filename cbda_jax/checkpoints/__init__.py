"""The training state on the disk: whole, checked, or not there. Knows Orbax; nobody else does."""

from cbda_jax.checkpoints.store import Checkpoints

__all__ = ["Checkpoints"]
