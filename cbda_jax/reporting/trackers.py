"""Experiment trackers beside TensorBoard: MLflow and Weights & Biases, through their libraries.

Nothing leaves the machine unless the user says where to: MLflow writes to a database in the
workdir, or to MLFLOW_TRACKING_URI; wandb works offline in the workdir, or as WANDB_MODE says.
A tracker never stops a run: once it fails, it is told once and left alone.
"""

import importlib
import importlib.util
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cbda_jax import console
from cbda_jax.errors import InputError
from cbda_jax.files import json_text, write_bytes
from cbda_jax.stores import AnyPath, is_store

_PROJECT = "cbda_jax"
_NEEDS = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "wandb": ("wandb",)}
TRACKERS = ("", *_NEEDS)
"""What `report.tracker` may be; "" is none."""


class Backend(Protocol):
    """One run in one tracker. Any method may raise anything."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of a training step, by tag."""
        ...

    def keep(self, folder: AnyPath) -> None:
        """A folder of files, small ones."""
        ...

    def close(self, *, finished: bool) -> None:
        """The process is done with it, and the run too, or only for now."""
        ...


def check_workdir(name: str, workdir: AnyPath) -> None:
    """Checks that a tracker has a disk for its own files.

    Raises:
        InputError: it has none.
    """
    if name and is_store(workdir):
        raise InputError(
            f"report.tracker: {name!r} found with {workdir}, in an object store, expected a "
            "workdir on a disk, where trackers keep files of their own; leave the field out "
            "(metrics.jsonl, TensorBoard's events and the report are in the store)"
        )


def check(name: str) -> None:
    """Checks that the library of a tracker is installed.

    Raises:
        InputError: it is not.
    """
    missing = [one for one in _NEEDS.get(name, ()) if importlib.util.find_spec(one) is None]
    if missing:
        raise InputError(
            f"report.tracker: {name!r} found, but {' and '.join(missing)} not installed; "
            f"pip install 'cbda_jax[{name}]', or leave the field out"
        )


class Tracker:
    """A run in a tracker, as long as that works.

    Args:
        name: one of `TRACKERS`.
        workdir: of the run; `tracker.json` there keeps which run of the tracker this is, so that
            a resumed run goes on in it.
        config: values by the names of fields, told when the run of the tracker is made.
    """

    def __init__(self, name: str, workdir: AnyPath, config: Mapping[str, Any]):
        self._name = name
        self._backend: Backend | None = None
        self._finished = False
        if name:
            self._attempt(lambda: self._open(workdir, config))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of a training step, by tag."""
        if (backend := self._backend) is not None and numbers:
            self._attempt(lambda: backend.log(step, numbers))

    def finish(self, folder: AnyPath) -> None:
        """Keeps the report's folder; the run has ended."""
        self._finished = True
        if (backend := self._backend) is not None:
            self._attempt(lambda: backend.keep(folder))

    def close(self) -> None:
        """Ends what the tracker has open. May be called twice."""
        if (backend := self._backend) is not None:
            self._attempt(lambda: backend.close(finished=self._finished))
        self._backend = None

    def _open(self, workdir: AnyPath, config: Mapping[str, Any]) -> None:
        path = workdir / "tracker.json"
        known = dict(json.loads(path.read_text())) if path.exists() else {}
        backend, known[self._name] = _BACKENDS[self._name](
            workdir.resolve(), known.get(self._name), config
        )
        # At once: a run that is killed must find it again.
        write_bytes(path, f"{json_text(known, indent=2)}\n".encode())
        self._backend = backend

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        # Whatever a library or its network comes up with: the run is worth more than its record.
        except Exception as error:
            self._backend = None
            why = (str(error).strip().splitlines() or [""])[0][:200]
            console.say(
                f"warning: report.tracker {self._name} failed and is left alone until the next "
                f"start ({type(error).__name__}: {why}); metrics.jsonl and tensorboard/ go on"
            )


class _MLflow:
    """A run of MLflow, by its client: without its global state."""

    _BATCH = 100  # values of a call that MLflow takes

    def __init__(self, client: Any, entities: Any, run_id: str):
        self._client = client
        self._entities = entities
        self._run_id = run_id

    @classmethod
    def open(
        cls, workdir: AnyPath, known: Mapping[str, str] | None, config: Mapping[str, Any]
    ) -> tuple["_MLflow", dict[str, str]]:
        # Minutes of retries would be minutes without training; and nothing goes out unasked.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        mlflow = importlib.import_module("mlflow")
        entities = importlib.import_module("mlflow.entities")
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        given = os.environ.get("MLFLOW_TRACKING_URI")
        folder = workdir / "mlflow"
        if not given:
            folder.mkdir(parents=True, exist_ok=True)
        uri = given or f"sqlite:///{folder / 'mlflow.db'}"
        client = mlflow.MlflowClient(tracking_uri=uri)
        if known is not None and known.get("uri") == uri:
            client.update_run(known["run_id"], status="RUNNING")
            return cls(client, entities, known["run_id"]), dict(known)
        found = client.get_experiment_by_name(_PROJECT)
        if found is not None:
            experiment = found.experiment_id
        else:
            place = None if given else (folder / "artifacts").as_uri()
            experiment = client.create_experiment(_PROJECT, artifact_location=place)
        run_id = client.create_run(experiment, run_name=workdir.name).info.run_id
        made = cls(client, entities, run_id)
        params = [entities.Param(_plain(name), str(value)[:500]) for name, value in config.items()]
        for start in range(0, len(params), cls._BATCH):
            client.log_batch(run_id, params=params[start : start + cls._BATCH])
        return made, {"run_id": run_id, "uri": uri}

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        now = round(1000 * time.time())
        metrics = [
            self._entities.Metric(_plain(tag), value, now, step) for tag, value in numbers.items()
        ]
        for start in range(0, len(metrics), self._BATCH):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + self._BATCH])

    def keep(self, folder: AnyPath) -> None:
        self._client.log_artifacts(self._run_id, str(folder), folder.name)

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self._run_id, "FINISHED" if finished else "KILLED")


def _plain(name: str) -> str:
    """A name as MLflow takes them."""
    return re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII)


class _Wandb:
    """A run of Weights & Biases."""

    def __init__(self, wandb: Any, run: Any):
        self._wandb = wandb
        self._run = run

    @classmethod
    def open(
        cls, workdir: AnyPath, known: Mapping[str, str] | None, config: Mapping[str, Any]
    ) -> tuple["_Wandb", dict[str, str]]:
        wandb = importlib.import_module("wandb")
        ident = uuid.uuid4().hex[:12] if known is None else known["id"]
        mode = os.environ.get("WANDB_MODE", "offline")
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            dir=str(workdir),
            id=ident,
            resume="allow",
            mode=mode,
            name=workdir.name,
            config=dict(config),
            settings=wandb.Settings(silent=True, console="off"),
        )
        # Steps of training, which begin again at a checkpoint: wandb's own must rise.
        run.define_metric("*", step_metric="step")
        return cls(wandb, run), {"id": ident}

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({**numbers, "step": step})

    def keep(self, folder: AnyPath) -> None:
        artifact = self._wandb.Artifact(f"{folder.name}-{self._run.id}", type=folder.name)
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


_BACKENDS: dict[str, Callable[..., tuple[Backend, dict[str, str]]]] = {
    "mlflow": _MLflow.open,
    "wandb": _Wandb.open,
}
