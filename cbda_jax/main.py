"""`python -m cbda_jax.main --config=configs/synthetic.py`: one experiment, from start to report.

`--config` takes a file, or the name of one that comes with the program, such as `synthetic`; what
stands behind a colon is given to it (`synthetic:method=ripu,budget=0.05`). `--config.FIELD=VALUE`
changes any field; docs/reference/config.md has them all.

Exit status:
    0: all is done.
    2: something is the user's to mend, told in one line.
    75: SIGTERM came, and everything is saved; the same command goes on.
    76: another process of the run was lost; the same command goes on.
    77: people have yet to answer what was asked, and everything is saved; the same command goes on.
"""

import sys
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from cbda_jax.config import files as config_files
from cbda_jax.config import method_of
from cbda_jax.errors import InputError, Paused
from cbda_jax.run import experiment, predictor
from cbda_jax.runtime import compilation, determinism, hosts
from cbda_jax.stores import AnyPath, reported, to_path

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The experiment, such as configs/gta2city.py:method=ripu,budget=0.05."
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Where everything goes: a folder, gs://BUCKET/... or s3://BUCKET/...; by default "
    "runs/NAME-METHOD-BUDGET-sSEED.",
)
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "evaluate", "acquire", "predict"],
    "train: the whole loop. evaluate: the latest checkpoint, predictions written as PNGs. "
    "acquire: one round from the latest checkpoint, its queries written, no training. "
    "predict: the latest checkpoint, or a network of --config.pretrained, on --images.",
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "With --mode=predict: a folder of PNG or JPEG images; without it, data.test, which needs no "
    "labels then.",
)
_OUT = flags.DEFINE_string(
    "out", None, "With --mode=predict: a new folder for predictions; by default WORKDIR/predicted."
)
_PROFILE = flags.DEFINE_integer(
    "profile",
    0,
    "Trace so many training steps, for TensorBoard and ui.perfetto.dev, into WORKDIR/tensorboard.",
    lower_bound=0,
)
_UNTIL = flags.DEFINE_integer(
    "until",
    None,
    "Stop when this step is saved, before a round that is due there; without it the same command "
    "goes on from there.",
)
_EXTEND = flags.DEFINE_bool(
    "extend",
    False,
    "A run that has begun, or finished, goes on with more training.steps, a larger "
    "acquisition.budget, further acquisition.rounds: what the config now says. All that was done "
    "stays as it is, and the run's history records what changed.",
)
_WAIT = flags.DEFINE_bool(
    "wait",
    False,
    "While people have yet to answer: wait for them and go on, in place of stopping with exit "
    "status 77.",
)
_DISTRIBUTED = flags.DEFINE_enum(
    "distributed",
    "auto",
    ["auto", "on", "off"],
    "Many hosts. auto: on under SLURM, Open MPI and on TPU pods, or if --coordinator is given.",
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0.")
_PROCESSES = flags.DEFINE_integer("processes", None, "How many processes run this command.")
_PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0.")


def main(_: list[str]) -> None:
    """Starts JAX on all hosts and runs the experiment."""
    logging.set_verbosity(logging.WARNING)
    config = _CONFIG.value
    try:
        compilation.keep(config.compilation_cache)
    except OSError as error:  # a file that could not be read says so when its config is first used
        _stop(f"--config: {str(error).splitlines()[-1].strip()}; expected a readable file")
    if config.deterministic:
        determinism.request()
    try:
        workdir = _workdir(config)
        if _MODE.value != "predict" and (_IMAGES.value or _OUT.value):
            raise InputError(
                f"--images, --out: found with --mode={_MODE.value}, expected with --mode=predict "
                "alone; set the mode, or leave them out"
            )
        if _WAIT.value and _MODE.value not in ("train", "acquire"):
            raise InputError(
                f"--wait: found with --mode={_MODE.value}, expected with --mode=train or acquire, "
                "which ask; set the mode, or leave it out"
            )
        if _EXTEND.value and _MODE.value != "train":
            raise InputError(
                f"--extend: found with --mode={_MODE.value}, expected with --mode=train alone; "
                "extend the run first, or leave it out"
            )
        hosts.start(_DISTRIBUTED.value, _COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
        with hosts.session(), reported(workdir):
            if _MODE.value == "predict":
                paths = [(_IMAGES.value, "--images"), (_OUT.value, "--out")]
                given = [to_path(path, flag) if path else None for path, flag in paths]
                predictor.predict(config, workdir, *given)
            else:
                experiment.run(
                    config,
                    workdir,
                    mode=_MODE.value,
                    profile=_PROFILE.value,
                    until=_UNTIL.value,
                    wait=_WAIT.value,
                    extend=_EXTEND.value,
                )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        hosts.leave(2)
    except Paused as pause:
        hosts.leave(pause.status)


def _workdir(config: Any) -> AnyPath:
    path = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")[0]
    unit = "px" if config.acquisition.budget_in == "pixels_per_image" else ""
    budget = f"{config.acquisition.budget:g}{unit}"
    run = f"{Path(path).stem}-{method_of(config)}-{budget}-s{config.seed}"
    return to_path(_WORKDIR.value or f"runs/{run}", "--workdir")


def _parse(arguments: list[str]) -> list[str]:
    """Flags, with one line for what is mistyped in place of a library's traceback."""
    try:
        return flags.FLAGS(config_files.complete_command(arguments))
    except InputError as error:
        _stop(str(error))
    except (AttributeError, KeyError, TypeError) as error:
        # An unknown field: ml_collections says which one is near, on a second line.
        cause = error
        while isinstance(cause, BaseException):
            cause = cause.args[0]
        _stop(f"--config: no field {'; '.join(str(cause).splitlines())}")
    except flags.Error as error:
        # What a config file raises arrives as the text of a traceback.
        line = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
        _stop(line.partition("ValueError: ")[2] or line)


def _stop(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=_parse)
