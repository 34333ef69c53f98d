"""Files of rounds with other values, and what is said of them."""

import json

import numpy as np
import pytest

from cbda_jax.errors import InputError


def message(function, *arguments, **named):
    """The one line by which something is refused."""
    with pytest.raises(InputError) as error:
        function(*arguments, **named)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def forge(path, **changes):
    """Writes other values under right checksums."""
    with np.load(path) as arrays:
        members = dict(arrays)
    header = json.loads(str(members["header"]))
    header |= {name: changes.pop(name) for name in list(changes) if name in header}
    np.savez(path, **{**members, "header": np.array(json.dumps(header)), **changes})
