"""Who a process is: this one, one that ended, one that cannot be seen."""

import json
import os
import sys

import pytest
import waiting

from cbda_jax.runtime import identity

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc says who lives")


def test_a_process_knows_itself_and_no_two_descriptions_are_the_same():
    first, second = identity.describe(), identity.describe()
    assert first["pid"] == os.getpid()
    assert first["token"] != second["token"]
    assert first | {"token": "", "since": ""} == second | {"token": "", "since": ""}
    assert json.loads(json.dumps(first)) == first
    assert identity.is_alive(first)


@linux
def test_a_process_lives_until_it_has_ended_though_nobody_asked_for_its_status():
    with waiting.Child(["sleep", "300"]) as process:
        owner = identity.describe() | {
            "pid": process.pid,
            "started": identity.start_time(process.pid),
        }
        assert owner["started"] >= identity.describe()["started"]
        assert identity.is_alive(owner)
        # The same number of another time.
        assert identity.is_alive(owner | {"started": owner["started"] - 1}) is False
        process.send(9)
        waiting.until(lambda: not identity.is_alive(owner), "the kernel to kill")
        assert identity.is_alive(owner) is False
        assert identity.start_time(process.pid) is None


@linux
@pytest.mark.parametrize(
    "changes",
    [
        {"boot": "of another machine"},
        {"pid_namespace": "pid:[1]"},
        {"pid": "1"},
        {"pid": 0},
        {"pid": -1},
        {"pid": None},
    ],
)
def test_who_cannot_be_seen_is_neither_alive_nor_dead(changes):
    assert identity.is_alive(identity.describe() | changes) is None


def test_a_name_with_spaces_and_brackets_is_no_trouble(monkeypatch):
    fields = " ".join(map(str, range(3, 52)))
    monkeypatch.setattr(identity, "_kernel", lambda _: f"17 (a) S (b c) R {fields}")
    assert identity.start_time(17) == 21
    monkeypatch.setattr(identity, "_kernel", lambda _: f"17 (a) Z {fields}")
    assert identity.start_time(17) is None
