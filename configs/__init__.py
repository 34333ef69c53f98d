"""Experiments: `get_config(argument)` gives a config of the fields of `cbda_jax.config`."""
