"""Who answers the queries: the ground truth of a benchmark, people, or a user's own program."""

from collections.abc import Callable

from cbda_jax import plugins
from cbda_jax.annotation.asking import Oracle, Setting
from cbda_jax.annotation.people.oracle import PeopleOracle
from cbda_jax.annotation.simulated import (
    CentreOracle,
    GroundTruthOracle,
    MajorityOracle,
    NoisyOracle,
)
from cbda_jax.errors import InputError


def _ground_truth(setting: Setting) -> Oracle:
    return GroundTruthOracle(setting.pool, len(setting.classes), threads=setting.threads)


def _centre(setting: Setting) -> Oracle:
    return CentreOracle(setting.pool, len(setting.classes), threads=setting.threads)


def _majority(setting: Setting) -> Oracle:
    return MajorityOracle(setting.pool, len(setting.classes), threads=setting.threads)


def _noisy(setting: Setting) -> Oracle:
    return NoisyOracle(
        setting.pool,
        len(setting.classes),
        noise=setting.noise,
        at_boundaries=setting.noise_at_boundaries,
        seed=setting.seed,
        threads=setting.threads,
    )


_SIMULATED: dict[str, Callable[[Setting], Oracle]] = {
    "ground_truth": _ground_truth,
    "exact": _ground_truth,  # what it does, beside the others
    "centre": _centre,
    "majority": _majority,
    "noisy": _noisy,
}
SIMULATED = frozenset(_SIMULATED)
"""Oracles that answer from the labels of the target data set, which has to have some."""

ORACLES: dict[str, Callable[[Setting], Oracle]] = {**_SIMULATED, "people": PeopleOracle}
"""By name, what makes an oracle for a run. Open: more can be put here."""


def create_oracle(name: str, setting: Setting) -> Oracle:
    """The oracle that `annotation.oracle` of a config names.

    Args:
        name: one of `ORACLES`, or the import path of such a function, "my_module:my_oracle".
        setting: what the oracle may know.

    Raises:
        InputError: there is none of this name, it cannot be imported, or what it makes cannot be
            asked.
    """
    where = "annotation.oracle"
    make = plugins.find_function(ORACLES, name, where)
    try:
        oracle = make(setting)
    except InputError:
        raise
    # Whatever a function of the user's raises.
    except Exception as error:
        raise InputError(
            f"{where}: {name!r} found, which fails with {plugins.one_line(error)}, expected an "
            "oracle, made of a cbda_jax.annotation.Setting; mend the function"
        ) from error
    if not isinstance(oracle, Oracle):
        raise InputError(
            f"{where}: {name!r} makes a {type(oracle).__name__} without ask(queries), expected an "
            "oracle; see cbda_jax.annotation.Oracle"
        )
    return oracle
