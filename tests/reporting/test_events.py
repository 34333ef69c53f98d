import resource
import struct

import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from cbda_jax.reporting.events import EventFile


def read(folder):
    """The events of the only file, whose checksums are right."""
    (path,) = folder.iterdir()
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        content = data[12 : 12 + length]
        expected = tuple(struct.pack("<I", masked_crc32c(part)) for part in (data[:8], content))
        assert (data[8:12], data[12 + length : 16 + length]) == expected
        events.append(event_pb2.Event.FromString(content))
        data = data[16 + length :]
    return events


def test_numbers_of_steps_are_there_at_once(tmp_path):
    file = EventFile(tmp_path / "events", purge_step=5)
    file.add(6, {"train/loss": 0.5, "train/steps": 3.0})
    version, start, numbers = read(tmp_path / "events")
    file.close()
    file.close()
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (5, event_pb2.SessionLog.START)
    assert numbers.step == 6
    assert {v.tag: v.simple_value for v in numbers.summary.value} == {
        "train/loss": 0.5,
        "train/steps": 3.0,
    }


def test_a_full_disk_is_told_and_not_waited_for(tmp_path):
    file = EventFile(tmp_path, purge_step=0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.add(1, {f"iou/{number}": 1.0 for number in range(1000)})
        file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == 4096
