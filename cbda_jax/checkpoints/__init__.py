"""The training state, saved: whole, checked, or not there. Knows Orbax; nobody else does."""

from cbda_jax.checkpoints.store import Checkpoints, check_writable, content_digest
from cbda_jax.checkpoints.uploaded import open_checkpoints

__all__ = ["Checkpoints", "check_writable", "content_digest", "open_checkpoints"]
