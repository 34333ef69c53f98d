"""A round's queries for the tools that people have, and their answers back: files, no network.

A query is known by its id, such as "r03-q000123"; coordinates only verify that it is still where it
was asked. What is read is either taken whole or refused with all that is wrong with it.
"""

from cbda_jax.annotation.exchange import cvat, label_studio, masks
from cbda_jax.annotation.exchange.imported import Imported
from cbda_jax.annotation.exchange.sheet import Sheet

__all__ = ["Imported", "Sheet", "cvat", "label_studio", "masks"]
