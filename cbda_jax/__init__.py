"""Active domain adaptation of semantic segmentation in JAX: CBDA and its baseline RIPU."""

__version__ = "0.2.0"
