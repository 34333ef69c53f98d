"""What a run tells people and programs: metrics, progress, tables, pictures, a report.

Knows files and plain values; no JAX, no model, no config object.
"""

from cbda_jax.reporting.progress import Progress, duration, progress, say
from cbda_jax.reporting.tables import result_table
from cbda_jax.reporting.writers import MetricWriter, read_metrics

__all__ = [
    "MetricWriter",
    "Progress",
    "duration",
    "progress",
    "read_metrics",
    "result_table",
    "say",
]
