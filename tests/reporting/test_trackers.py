import json
import sys
import types

import pytest

from cbda_jax.errors import InputError
from cbda_jax.reporting import MetricWriter, read_metrics, trackers

CONFIG = {"seed": 0, "training.steps": 30, "acquisition.rounds": (1, 2)}


class Wandb(types.ModuleType):
    """What is used of wandb, and a list of what it was told."""

    def __init__(self, fails=()):
        super().__init__("wandb")
        self.told, self.fails, self.id = [], fails, None

    def _tell(self, name, *values):
        self.told.append((name, *values))
        if name in self.fails:
            raise OSError(28, "No space left on device")

    def Settings(self, **_):  # noqa: N802
        return None

    def init(self, **options):
        self._tell("init", options)
        self.id = options["id"]
        return self

    def define_metric(self, name, step_metric):
        pass

    def log(self, values):
        self._tell("log", values)

    def Artifact(self, name, type):  # noqa: N802, A002
        return types.SimpleNamespace(add_dir=lambda folder: self._tell("artifact", folder))

    def log_artifact(self, artifact):
        pass

    def finish(self, exit_code):
        self._tell("finish", exit_code)

    def of(self, name):
        return [told[1] for told in self.told if told[0] == name]


@pytest.fixture
def wandb(monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)

    def put(**options):
        module = Wandb(**options)
        monkeypatch.setitem(sys.modules, "wandb", module)
        return module

    return put


def write(workdir, *steps, final=False, resume=-1, name="wandb"):
    tracker = trackers.Tracker(name, workdir, CONFIG)
    with MetricWriter(workdir, resume_step=resume, tracker=tracker) as writer:
        for step in steps:
            writer.write("train", step, loss=1 / step, broken=float("nan"))
        if final:
            iou = {"traffic light": 0.5, "train": None}
            writer.write("evaluation", steps[-1], split="val", miou=0.5, iou=iou, final=True)
            writer.finish(workdir / "report")


def test_config_metrics_final_figures_and_report(wandb, tmp_path):
    module = wandb()
    write(tmp_path, 1, 2, final=True)
    (options,) = module.of("init")
    assert options["config"] == CONFIG
    assert options["mode"] == "offline"
    assert options["dir"] == str(tmp_path)
    assert module.of("log") == [
        {"train/loss": 1.0, "step": 1},
        {"train/loss": 0.5, "step": 2},
        {
            "evaluation/val/miou": 0.5,
            "evaluation/val/iou/traffic light": 0.5,
            "final/val/miou": 0.5,
            "final/val/iou/traffic light": 0.5,
            "step": 2,
        },
    ]
    assert module.of("artifact") == [str(tmp_path / "report")]
    assert module.of("finish") == [0]


def test_a_resumed_run_goes_on_in_the_same(wandb, tmp_path, monkeypatch):
    first = wandb()
    write(tmp_path, 1)
    # Stopped, not ended.
    assert first.of("finish") == [1]
    monkeypatch.setenv("WANDB_MODE", "online")
    second = wandb()
    write(tmp_path, 2, resume=1, final=True)
    assert second.id == first.id
    assert second.of("init")[0]["resume"] == "allow"
    assert second.of("init")[0]["mode"] == "online"
    assert json.loads((tmp_path / "tracker.json").read_text()) == {"wandb": {"id": first.id}}


@pytest.mark.parametrize("where", ["init", "log", "artifact", "finish"])
def test_a_tracker_that_fails_is_told_once_and_stops_nothing(wandb, tmp_path, capsys, where):
    module = wandb(fails=(where,))
    write(tmp_path, 1, 2, 3, final=True)
    said = capsys.readouterr().err
    assert said.count("warning: report.tracker wandb failed and is left alone") == 1
    assert "OSError: [Errno 28] No space left on device" in said
    assert len([told for told in module.told if told[0] == where]) == 1
    assert [record["step"] for record in read_metrics(tmp_path)] == [1, 2, 3, 3]


def test_a_broken_file_of_the_tracker_stops_nothing(wandb, tmp_path, capsys):
    wandb()
    (tmp_path / "tracker.json").write_text("{")
    write(tmp_path, 1)
    assert "warning: report.tracker wandb failed" in capsys.readouterr().err


def test_other_hosts_and_no_tracker_write_nothing(wandb, tmp_path):
    module = wandb()
    write(tmp_path, 1, name="")
    assert module.told == []
    assert not (tmp_path / "tracker.json").exists()


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"report.tracker: 'wandb' found, but wandb not installed"):
        trackers.check("wandb")
    with pytest.raises(InputError, match=r"mlflow and sqlalchemy and alembic.*cbda_jax\[mlflow\]"):
        trackers.check("mlflow")
    trackers.check("")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_itself(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("page")
    write(tmp_path, 1, 2, name="mlflow")
    write(tmp_path, 3, resume=2, final=True, name="mlflow")
    kept = json.loads((tmp_path / "tracker.json").read_text())["mlflow"]
    client = mlflow.MlflowClient(tracking_uri=kept["uri"])
    assert kept["uri"] == f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}"
    (run,) = client.search_runs([client.get_experiment_by_name("cbda_jax").experiment_id])
    assert run.info.run_id == kept["run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.params["acquisition.rounds"] == "(1, 2)"
    assert run.data.metrics["final/val/miou"] == 0.5
    history = client.get_metric_history(kept["run_id"], "train/loss")
    assert {m.step: m.value for m in history} == {1: 1.0, 2: 0.5, 3: pytest.approx(1 / 3)}
    (found,) = (tmp_path / "mlflow" / "artifacts").rglob("index.html")
    assert found.read_text() == "page"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_itself(tmp_path, monkeypatch, capsys):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("page")
    write(tmp_path, 1, 2)
    write(tmp_path, 3, resume=2, final=True)
    ident = json.loads((tmp_path / "tracker.json").read_text())["wandb"]["id"]
    assert list((tmp_path / "wandb").glob(f"offline-run-*-{ident}/run-{ident}.wandb"))
    assert "warning" not in capsys.readouterr().err
