"""For notebooks and programs: runs are started, read and looked at without flags.

`cbda_jax` itself has these names. They change as the changelog says; what lies deeper may change
without notice.
"""

from cbda_jax.api.drawing import draw_score_map
from cbda_jax.api.run import Run
from cbda_jax.api.starting import load_config, open_run, train

__all__ = ["Run", "draw_score_map", "load_config", "open_run", "train"]
