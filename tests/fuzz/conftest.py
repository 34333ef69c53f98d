"""Files that users bring, spoilt in every way: refused in one line, or read as they were.

An ordinary run tries a few examples of each kind, the same every time. For a long one, of other
examples each time:

    CBDA_FUZZ=5000 python -m pytest tests/fuzz --hypothesis-show-statistics
"""

import io
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cbda_jax.errors import InputError

_LONG = os.environ.get("CBDA_FUZZ")

settings.register_profile(
    "fuzz",
    max_examples=int(_LONG or 100),
    derandomize=not _LONG,
    database=None,
    deadline=None,
    # Files are written anew by every example, so that a folder of the whole session will do.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="session")
def mutate():
    """`mutate(draw, content)`: bytes with a few faults, as disks, networks and attackers make."""
    return _mutate


def _mutate(draw, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(1, 40))
        match draw(st.sampled_from(("flip", "set", "number", "cut", "drop", "insert", "repeat"))):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if data:
                data[at] = draw(st.integers(0, 255))
            case "number":  # a size, at the ends of its range
                value = draw(st.sampled_from((0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1)))
                order = draw(st.sampled_from(("big", "little")))
                data[at : at + 4] = value.to_bytes(4, order)
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + length]
            case "insert":
                data[at:at] = draw(st.binary(max_size=20))
            case "repeat":
                data[at:at] = data[at : at + length]
    return bytes(data)


_VALUES = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.text(max_size=3)


@pytest.fixture(scope="session")
def forge():
    """`forge(draw, content, arrays)`: a file of a round, with other values and right checksums."""
    return _forge


def _forge(draw, content: bytes, arrays) -> bytes:
    with np.load(io.BytesIO(content)) as found:
        members = dict(found)
    header = json.loads(str(members["header"]))
    for name in draw(st.sets(st.sampled_from(sorted(header)), max_size=2)):
        header[name] = draw(_VALUES)
    members["header"] = np.array(json.dumps(header))
    for name in draw(st.sets(st.sampled_from(sorted(members)), max_size=2)):
        members[name] = draw(arrays)
    if draw(st.booleans()):
        del members[draw(st.sampled_from(sorted(members)))]
    forged = io.BytesIO()
    np.savez(forged, **members)
    return forged.getvalue()


@pytest.fixture(scope="session")
def attempt():
    """`attempt(function, *arguments)`: the result, or None if refused in one line."""

    def call(function, *arguments):
        try:
            return function(*arguments)
        except InputError as error:
            message = str(error)
        assert len(message.splitlines()) == 1
        return None

    return call
