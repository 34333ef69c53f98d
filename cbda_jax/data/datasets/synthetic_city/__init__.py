"""Street scenes drawn procedurally in two domains, and the TFDS data set made of them."""

from cbda_jax.data.datasets.synthetic_city.scene import VERSION, draw_scene

__all__ = ["VERSION", "draw_scene"]
