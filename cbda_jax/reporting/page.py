"""HTML pages of one file, that need nothing beside them."""

import re
from collections.abc import Mapping
from typing import Any

import jinja2

_NUMBER_GAP = re.compile(r"(?<=\d) (?=\d|%|ms|s\b|min|h\b)")


def render(template: str, context: Mapping[str, Any]) -> bytes:
    """A page in UTF-8.

    Args:
        template: its file's name in this folder.
        context: all that the template names; text is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cbda_jax.reporting", ""),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["unbroken"] = lambda text: _NUMBER_GAP.sub("\u00a0", text)
    return environment.get_template(template).render(context).encode()
