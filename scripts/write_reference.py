"""Writes the pages of docs/reference/ that follow from the source.

    python scripts/write_reference.py

config.md is the table of every field of a config, from `cbda_jax.config`; api.md has the public
functions, from their docstrings.
"""

from pathlib import Path

import api_reference

from cbda_jax.config import ARGUMENTS, SECTIONS, Change, Field

PATH = Path(__file__).parents[1] / "docs" / "reference" / "config.md"

_HEAD = """\
# Fields of a config

`python scripts/write_reference.py` writes this page from `cbda_jax/config/fields.py`, where
fields are added and changed. Sizes are (height, width) in pixels.

A field is set in a config file, or by `--config.FIELD=VALUE`. Some have a short name for
`--config=FILE:NAME=VALUE,NAME=VALUE`: {arguments}.

The last column says whether a field may differ when a run that has begun is started again: never,
as results depend on it; on resume, as they do not; with `--extend`, which records it ([a finished
run goes on](../guide/reliability.md#a-finished-run-goes-on)); in `--mode=evaluate` too; or only to
say where the same content lies now.
"""
_CHANGES: dict[Change, str] = {
    "never": "never",
    "resume": "on resume",
    "evaluate": "in `--mode=evaluate`, with `--extend`",
    "extend": "with `--extend`",
    "moved": "same content, elsewhere",
}


def main() -> None:
    """Writes the files."""
    PATH.parent.mkdir(parents=True, exist_ok=True)
    for path, text in ((PATH, reference()), (api_reference.PATH, api_reference.reference())):
        path.write_text(text, encoding="utf-8")
        print(path)


def reference() -> str:
    """The whole document."""
    names = [
        f"`{name}`" if name == field else f"`{name}` ({field})" for name, field in ARGUMENTS.items()
    ]
    tables = [
        "\n".join(
            [
                f"## {title}\n",
                "| field | default | meaning | may hold | may change |",
                "| --- | --- | --- | --- | --- |",
                *map(_row, fields),
            ]
        )
        for title, fields in SECTIONS.items()
    ]
    return "\n".join([_HEAD.format(arguments=", ".join(names)), "\n\n".join(tables), ""])


def _row(field: Field) -> str:
    default = "unset" if field.is_unset else f"`{field.default!r}`"
    cells = (f"`{field.name}`", default, field.meaning, field.rule.expected, _CHANGES[field.change])
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    main()
