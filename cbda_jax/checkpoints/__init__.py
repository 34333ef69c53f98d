"""The training state on the disk: whole, checked, or not there. Knows Orbax; nobody else does."""

from cbda_jax.checkpoints.store import Checkpoints, content_digest

__all__ = ["Checkpoints", "content_digest"]
