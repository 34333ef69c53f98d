"""A config by its name, a run by its config, a run by its folder."""

import os
from typing import Any

from ml_collections import ConfigDict

from cbda_jax.api.run import Run
from cbda_jax.config import files as config_files
from cbda_jax.errors import InputError
from cbda_jax.run import experiment
from cbda_jax.runtime import compilation, determinism
from cbda_jax.stores import to_path


def load_config(name: str, **arguments: str | int | float) -> ConfigDict:
    """The config of an experiment, every field of which may then be set.

        config = load_config("synthetic", method="cbda", budget=0.05, seed=1)
        config.training.steps = 200

    Args:
        name: of a config that comes along, such as "synthetic" or "gta2city", or the path of a file
            of one's own; "synthetic:method=ripu" means what it means to `--config`.
        **arguments: the short names of docs/reference/config.md (`method`, `network`, `seed`,
            `budget`, `steps`, ...), which the file is given: a recipe depends on the network.

    Raises:
        InputError: there is no such config, no such short name, or a value of another type.
    """
    unsaid = [f"{key}={value!r}" for key, value in arguments.items() if "," in str(value)]
    if unsaid:
        raise InputError(
            f"{', '.join(unsaid)} found, expected values without a comma; set the field of the "
            "config in its place"
        )
    path, _, given = name.partition(":")
    given = ",".join(filter(None, [given, *(f"{k}={v}" for k, v in arguments.items())]))
    try:
        return config_files.load(f"{path}:{given}" if given else path)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"config {name!r}: {error}") from error


def train(
    config: ConfigDict | str,
    workdir: str | os.PathLike[str],
    *,
    until: int | None = None,
    wait: bool = False,
) -> Run:
    """Runs an experiment to its end, or goes on with it: what `python -m cbda_jax.main` does.

    On the devices of this machine; many hosts need the command. A run that was interrupted goes on
    when it is called again, to the same numbers; one that has finished is only opened.

    Args:
        config: of `load_config`, or a name for it.
        workdir: where everything goes; a new folder, or that of the same experiment.
        until: the step to stop at, where all is saved; None: the end.
        wait: for people who have yet to answer, in place of `AnswersPending`.

    Returns:
        The run, to be looked at.

    Raises:
        InputError: the config, the data or the workdir is not as expected.
        AnswersPending: people have yet to answer what was asked; all is saved.
        Paused: the process was asked to stop (SIGTERM); all is saved.
    """
    settings: Any = load_config(config) if isinstance(config, str) else config
    compilation.keep(settings.compilation_cache)
    if settings.deterministic:
        determinism.request()
    folder = to_path(workdir)
    experiment.run(settings, folder, until=until, wait=wait)
    return Run(folder)


def open_run(workdir: str | os.PathLike[str]) -> Run:
    """The run of a workdir, finished or not, to be looked at.

    Args:
        workdir: of a run, which may be going on in another process.

    Raises:
        InputError: there is no run.
    """
    return Run(workdir)
