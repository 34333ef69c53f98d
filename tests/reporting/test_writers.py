import json
import math

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from cbda_jax.errors import InputError
from cbda_jax.reporting import MetricWriter, read_metrics


def steps(workdir):
    return [record["step"] for record in read_metrics(workdir)]


def write_steps(workdir, numbers, resume_step=-1):
    with MetricWriter(workdir, resume_step=resume_step) as writer:
        for number in numbers:
            writer.write("train", number, loss=1.0 / (1 + number))


def test_records_come_back_as_written(tmp_path):
    with MetricWriter(tmp_path / "run", resume_step=-1) as writer:
        writer.write("evaluation", 7, split="target_val", miou=np.float32(0.5), final=True)
        writer.write("round", 8, class_pixels={"road": np.int64(3)}, ids=np.arange(2))
    assert read_metrics(tmp_path / "run") == [
        {"kind": "evaluation", "step": 7, "split": "target_val", "miou": 0.5, "final": True},
        {"kind": "round", "step": 8, "class_pixels": {"road": 3}, "ids": [0, 1]},
    ]


def test_numbers_that_are_not_finite_become_null(tmp_path):
    with MetricWriter(tmp_path, resume_step=-1) as writer:
        writer.write("train", 1, loss=math.nan, iou={"road": -math.inf}, all=[np.float32("inf")])
    text = (tmp_path / "metrics.jsonl").read_text()
    record = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert record == {
        "kind": "train",
        "step": 1,
        "loss": None,
        "iou": {"road": None},
        "all": [None],
    }


def test_every_line_is_on_the_disk_at_once(tmp_path):
    with MetricWriter(tmp_path, resume_step=-1) as writer:
        for number in range(3):
            writer.write("train", number)
            assert steps(tmp_path)[-1] == number


def test_resuming_drops_what_will_be_made_again(tmp_path):
    write_steps(tmp_path, range(10))
    write_steps(tmp_path, [5, 6], resume_step=4)
    assert steps(tmp_path) == [0, 1, 2, 3, 4, 5, 6]


def test_line_cut_off_by_a_kill_is_dropped(tmp_path):
    write_steps(tmp_path, range(3))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert steps(tmp_path) == [0, 1]
    write_steps(tmp_path, [2], resume_step=10)
    assert steps(tmp_path) == [0, 1, 2]


def test_interrupted_repair_leaves_the_old_file(tmp_path, monkeypatch):
    write_steps(tmp_path, range(4))
    before = (tmp_path / "metrics.jsonl").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(InputError, match="No space left"):
        MetricWriter(tmp_path, resume_step=1)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_file_that_needs_no_repair_is_not_rewritten(tmp_path):
    write_steps(tmp_path, range(4))
    inode = (tmp_path / "metrics.jsonl").stat().st_ino
    write_steps(tmp_path, [4], resume_step=3)
    assert (tmp_path / "metrics.jsonl").stat().st_ino == inode
    assert steps(tmp_path) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("line", ["{]", '{"step": 3}', '{"kind": "train", "step": null}', "7"])
def test_broken_line_in_the_middle_is_named(tmp_path, line):
    write_steps(tmp_path, range(2))
    path = tmp_path / "metrics.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{line}\n{second}\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl: line 2 is not a record"):
        read_metrics(tmp_path)


def test_value_of_unknown_type_is_named(tmp_path):
    with (
        MetricWriter(tmp_path, resume_step=-1) as writer,
        pytest.raises(TypeError, match=r"iou\['road'\] is a object"),
    ):
        writer.write("evaluation", 1, iou={"road": object()})


def test_disabled_touches_nothing(tmp_path):
    with MetricWriter(tmp_path / "run", resume_step=3, enabled=False) as writer:
        writer.write("train", 1, loss=1.0)
    assert not (tmp_path / "run").exists()
    assert read_metrics(tmp_path / "run") == []


def test_tensorboard_gets_numbers_and_hides_later_steps(tmp_path):
    with MetricWriter(tmp_path, resume_step=4) as writer:
        writer.write(
            "evaluation", 5, split="target_val", iou={"road": 0.5, "bus": None}, final=True
        )
        writer.write("train", 6, loss=0.25)
    events = list(_events(tmp_path / "tensorboard"))
    scalars = {v.tag: (e.step, v.simple_value) for e in events for v in e.summary.value}
    assert scalars == {"evaluation/target_val/iou/road": (5, 0.5), "train/loss": (6, 0.25)}
    assert [e.step for e in events if e.session_log.status] == [5]


def _events(folder):
    (path,) = folder.iterdir()
    data = path.read_bytes()
    while data:
        length = int.from_bytes(data[:8], "little")
        yield event_pb2.Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
