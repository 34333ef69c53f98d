"""Active domain adaptation of semantic segmentation in JAX: CBDA and its baseline RIPU.

In Python and in notebooks: `load_config`, `train`, `open_run` and what they give; see
docs/reference/api.md. They are imported when they are first used, and JAX with them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbda_jax.annotation import AnswersPending as AnswersPending
    from cbda_jax.api import Run as Run
    from cbda_jax.api import draw_score_map as draw_score_map
    from cbda_jax.api import load_config as load_config
    from cbda_jax.api import open_run as open_run
    from cbda_jax.api import train as train
    from cbda_jax.errors import InputError as InputError
    from cbda_jax.errors import Paused as Paused

__version__ = "0.2.0"

_PUBLIC = {
    "AnswersPending": "cbda_jax.annotation",
    "InputError": "cbda_jax.errors",
    "Paused": "cbda_jax.errors",
    "Run": "cbda_jax.api",
    "draw_score_map": "cbda_jax.api",
    "load_config": "cbda_jax.api",
    "open_run": "cbda_jax.api",
    "train": "cbda_jax.api",
}


def __getattr__(name: str) -> Any:
    """Imports what is public when it is asked for: the package itself costs nothing."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
