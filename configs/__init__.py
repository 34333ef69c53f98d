"""Experiments: `get_config(argument)` gives an `ml_collections.ConfigDict`; see `common`."""
