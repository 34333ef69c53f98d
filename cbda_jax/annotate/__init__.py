"""The page on which people answer: `python -m cbda_jax.annotate`. Training never imports it."""
