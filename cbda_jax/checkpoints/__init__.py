"""The training state on the disk: whole, checked, or not there. Knows Orbax; nobody else does."""

from cbda_jax.checkpoints.store import Checkpoints, check_writable, content_digest

__all__ = ["Checkpoints", "check_writable", "content_digest"]
