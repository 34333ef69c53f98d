"""What a machine does to a run: several hosts, signals, a lock, compilation, traces.

Knows processes, files of its own and JAX's runtime; no data set, no model, no config.
"""
