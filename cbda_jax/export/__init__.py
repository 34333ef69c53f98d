"""Networks for other programs: StableHLO, ONNX, safetensors. Knows arrays, and the files it makes.

What is written needs nothing of this package to be read; docs/how_to/export.md has the loaders.
"""

from cbda_jax.export.formats import FORMATS, write
from cbda_jax.export.program import Exportable

__all__ = ["FORMATS", "Exportable", "write"]
