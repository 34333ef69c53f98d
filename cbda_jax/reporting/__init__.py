"""What a run leaves for people and programs: metrics, tables, pictures, a report.

Knows files and plain values; no JAX, no model, no config object.
"""

from cbda_jax.reporting.tables import result_table
from cbda_jax.reporting.writers import MetricWriter, read_metrics

__all__ = ["MetricWriter", "read_metrics", "result_table"]
