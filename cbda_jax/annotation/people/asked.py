"""What a run writes down when it asks people: all that their program needs, beside the queries."""

import json
from dataclasses import dataclass
from typing import Any

from cbda_jax.annotation.queries import ImageSizes, Queries
from cbda_jax.annotation.round_files import RESTORE
from cbda_jax.errors import InputError
from cbda_jax.files import write_bytes
from cbda_jax.stores import AnyPath

_VERSION = 1


@dataclass(frozen=True)
class Asked:
    """A round that people are asked about.

    Attributes:
        round: its number, from 1.
        queries: checksum of its queries.
        classes: C names, by train id.
        sizes: (height, width) of every image's native label, by image id.
        redundancy: share of the queries that two people are asked.
        hidden: share of the queries whose guess nobody sees.
        seed: draws both.
    """

    round: int
    queries: str
    classes: tuple[str, ...]
    sizes: ImageSizes
    redundancy: float | int
    hidden: float | int
    seed: int


def asked_path(answers: AnyPath, number: int) -> AnyPath:
    """The file about round `number` in the folder of the answers."""
    return answers / f"people_{number:02d}.json"


def write_asked(answers: AnyPath, asked: Asked) -> None:
    """Writes the file about a round, whole or not at all.

    Args:
        answers: folder of the answers.
        asked: the round.

    Raises:
        InputError: it cannot be written.
    """
    ids = sorted(asked.sizes)
    # Few sizes, many images.
    sizes = sorted({tuple(asked.sizes[image_id]) for image_id in ids})
    place = {size: number for number, size in enumerate(sizes)}
    content: dict[str, Any] = {
        "version": _VERSION,
        "round": asked.round,
        "queries": asked.queries,
        "classes": list(asked.classes),
        "redundancy": asked.redundancy,
        "hidden": asked.hidden,
        "seed": asked.seed,
        "sizes": sizes,
        "size_of": [place[tuple(asked.sizes[image_id])] for image_id in ids],
    }
    text = json.dumps(content) + "\n"
    write_bytes(asked_path(answers, asked.round), text.encode())


def read_asked(answers: AnyPath, queries: Queries) -> Asked | None:
    """What a run has written about a round.

    Args:
        answers: folder of the answers.
        queries: of the round.

    Returns:
        None where people are not asked about it.

    Raises:
        InputError: the file is damaged, or about other queries.
    """
    path = asked_path(answers, queries.round)
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']!r}, expected {_VERSION}")
        sizes = [(int(height), int(width)) for height, width in content["sizes"]]
        of_images = zip(queries.image_ids, content["size_of"], strict=True)
        asked = Asked(
            round=int(content["round"]),
            queries=str(content["queries"]),
            classes=tuple(map(str, content["classes"])),
            sizes={image_id: sizes[place] for image_id, place in of_images},
            redundancy=float(content["redundancy"]),
            hidden=float(content["hidden"]),
            seed=int(content["seed"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({' '.join(str(error).split())}), expected what the run wrote "
            f"about round {queries.round}; {RESTORE}, or delete it: the run writes it again"
        ) from error
    if (asked.round, asked.queries) != (queries.round, queries.checksum):
        raise InputError(
            f"{path}: about other queries found, expected those of round {queries.round}; "
            "delete it: the run writes it again"
        )
    return asked
