"""What the pages show: the keys of classes, how far people are, and how well they agree."""

import html
from collections.abc import Iterable
from typing import Any

from cbda_jax.annotation.people import Progress, Round

# Digits first. Letters that do something else (all, back, skip, undo, void, pixels) are left out.
_LETTERS = "qwertyiopdfghjklzcnm"
KEYS = f"1234567890{_LETTERS}{_LETTERS.upper()}"
"""Of the first classes, by train id; those beyond are found by their names."""


def keys(num_classes: int) -> list[str]:
    """The key of every class, by train id: always the same for as many; "" where none is left."""
    return [*KEYS[:num_classes], *[""] * (num_classes - len(KEYS))]


def progress(found: Progress) -> dict[str, Any]:
    """Plain values that JSON knows."""
    return {
        "answered": found.answered,
        "total": found.total,
        "skipped": found.skipped,
        "left": found.left,
        "mine": found.mine,
        "seconds": found.seconds,
        "by_class": {str(number): pixels for number, pixels in found.by_class.items()},
    }


def summary(round_: Round, people: Iterable[str]) -> dict[str, Any]:
    """How far a round is, in all and by person, and how well people agree; values of JSON."""
    agreement, anchoring = round_.agreement(), round_.anchoring()
    of_people = {name: round_.progress(name) for name in people}
    return {
        "round": round_.queries.round,
        "closed": round_.closed,
        "complete": round_.complete(),
        "progress": progress(round_.progress()),
        "people": [
            {"name": name, "answers": own.mine, "seconds": own.seconds}
            for name, own in of_people.items()
        ],
        "agreement": None if agreement is None else agreement.as_dict(),
        "anchoring": {
            kind: {"answers": found.count, "share": found.share}
            for kind, found in (("shown", anchoring.shown), ("hidden", anchoring.hidden))
        },
    }


def stranger(line: str) -> str:
    """The page of those who may not see the others."""
    return _page(f"<main><h1>Not open</h1><p>{html.escape(line)}.</p></main>")


def forward(path: str) -> str:
    """A page that leads to another one at once."""
    # A browser that came from another site sends no cookie until a page of this one asks.
    address = html.escape(path, quote=True)
    link = f'<main><p><a href="{address}">Go on</a></p></main>'
    return _page(link, f'<meta http-equiv="refresh" content="0;url={address}">')


def _page(body: str, head: str = "") -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>Answer</title>{head}<link rel="icon" href="/icon.svg">'
        f'<link rel="stylesheet" href="/page.css"></head><body>{body}</body></html>'
    )
