"""Several processes on this machine: their start, what one does for all, and their ends."""

import contextlib
import socket

import jax
import pytest
import waiting
from processes import run
from scenes import arrive, end_together

from cbda_jax.errors import InputError
from cbda_jax.runtime import hosts

LOST = (
    "error: another of the 2 processes of this run ended or cannot be reached; see what it said, "
    "then start the same command again on all hosts: it goes on from the last checkpoint\n"
)


@contextlib.contextmanager
def _listener():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield f"127.0.0.1:{taken.getsockname()[1]}"


# ------------------------------------------------------------------------ start


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost", 2, 0), "--coordinator: 'localhost' found, expected HOST:PORT of process 0"),
        (("localhost:0", 2, 0), "--coordinator: 'localhost:0' found"),
        (("localhost:65536", 2, 0), "--coordinator: 'localhost:65536' found"),
        (("localhost:8476", 2, 2), "--process: 2 found, expected 0 to 1 of --processes=2"),
        (("localhost:8476", 2, -1), "--process: -1 found, expected 0 to 1"),
        (("localhost:8476", 0, 0), "--processes: 0 found, expected 1 or more"),
        ((None, 4, 1), "--processes or --process found without --coordinator"),
        ((None, None, 0), "--processes or --process found without --coordinator"),
    ],
)
def test_flags_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InputError) as raised:
        hosts.start("auto", *arguments)
    assert str(raised.value).startswith(message)
    assert not jax.distributed.is_initialized()


def test_a_coordinator_that_is_not_there_is_named():
    address = waiting.free_address()
    with pytest.raises(InputError, match=rf"{address} not reached within 1 s \(Connection refused"):
        hosts.start("auto", address, 2, 1, patience_s=1)


def test_a_port_in_use_is_refused():
    with (
        _listener() as address,
        pytest.raises(InputError, match=f"port {address.partition(':')[2]} cannot be used"),
    ):
        hosts.start("auto", address, 2, 0)


def test_open_mpi_says_which_process_this_is(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "5")
    with pytest.raises(InputError, match="--process: 5 found, expected 0 to 2 of --processes=3"):
        hosts.start("auto", "localhost:8476")


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        # A batch script, which is one process; then a task of srun.
        ({"SLURM_NTASKS": "4"}, False),
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "node[1-4]"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "node1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
    ],
)
def test_auto_connects_where_there_are_others(environment, several, monkeypatch):
    for name in ("SLURM_NTASKS", "SLURM_STEP_NODELIST", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("TPU_WORKER_HOSTNAMES", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    called = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **_: called.append(a))
    monkeypatch.setattr(hosts.abort, "prepare", lambda *_: None)
    hosts.start("auto")
    assert called == ([(None, None, None)] if several else [])
    hosts.start("off")
    assert len(called) == several


def test_what_jax_refuses_is_one_line():
    # JAX has been used here already, which is too late.
    with pytest.raises(InputError) as raised:
        hosts.start("on")
    hosts.abort.restore()
    line = str(raised.value)
    assert line.startswith("--distributed: the processes cannot be connected (")
    assert "\n" not in line


def test_an_accelerator_of_several_hosts_needs_all_of_them(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    with pytest.raises(InputError, match=r"one of 4 hosts.*--distributed=on"):
        hosts.start("off")


@pytest.mark.slow
def test_a_process_that_nobody_joins_gives_up():
    (ended,) = run(arrive, 1, 2)
    assert ended.status == 2
    assert ended.output.endswith(
        "error: the 2 processes of this run did not find each other within 1 s (coordinator "
        f"{ended.output.rpartition('(coordinator ')[2]}"
    )
    assert "start the same command on all hosts" in ended.output.splitlines()[-1]


# ---------------------------------------------------------------- one for all


def test_alone_nobody_is_waited_for():
    assert hosts.first(lambda: "done") == "done"
    hosts.sync("here")
    with hosts.session():
        pass

    def refuse():
        raise InputError("no")

    with pytest.raises(InputError, match="no"), hosts.session():
        hosts.first(refuse)
    with pytest.raises(SystemExit) as left:
        hosts.leave(3)
    assert left.value.code == 3


def test_what_the_first_process_gives_and_refuses():
    for ended in run(end_together, 2, "first gives", None):
        assert ended.status == 0, ended.output
        assert ended.output.endswith("the end\n")
    for ended in run(end_together, 2, "first refuses", None):
        assert ended.status == 2
        assert ended.output.endswith("error: /some/workdir is refused\n")


def test_hosts_that_differ_are_refused():
    for index, ended in enumerate(run(end_together, 2, "differs", None)):
        assert ended.status == 2
        assert ended.output.splitlines()[-1] == (
            f"error: {1 + index} devices found on this host and 3 on all 2, expected as many on "
            "each; hide some, or use equal hosts"
        )


# ------------------------------------------------------------------------- ends


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize(
    "scene", ["killed in a collective", "killed while waited for", "killed while all work"]
)
def test_the_others_say_that_one_was_killed(scene, victim):
    ended = run(end_together, 2, scene, victim)
    assert ended[victim].status == -9
    other = ended[1 - victim]
    assert other.status == hosts.LOST_STATUS, other.output
    assert other.output.splitlines().count(LOST.strip()) == 1


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize(
    ("scene", "status", "message"),
    [
        ("refuses alone", 2, "error: /some/workdir is refused\n"),
        ("breaks", 1, "ZeroDivisionError: an error of the program\n"),
    ],
)
def test_one_that_ends_is_not_waited_for(scene, status, message, victim):
    ended = run(end_together, 2, scene, victim)
    assert ended[victim].status == status
    assert ended[victim].output.endswith(message)
    assert ended[1 - victim].status == hosts.LOST_STATUS
    # JAX's own threads may log in between, and until the end.
    assert ended[1 - victim].output.splitlines().count(LOST.strip()) == 1


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer"), True),
        (RuntimeError("INTERNAL: Barrier failed because: task is set to ERROR"), True),
        (RuntimeError("NCCL operation ncclAllReduce failed: remote process exited"), True),
        (ValueError("shapes do not fit"), False),
        # A file server or an object store, not a process.
        (ConnectionResetError("Connection reset by peer"), False),
        (InputError("barrier.png: not an image"), False),
    ],
)
def test_which_errors_come_of_another_process(error, lost):
    assert hosts._is_of_a_lost_peer(error) == lost
    told = InputError("cannot write a checkpoint")
    told.__cause__ = error
    assert hosts._is_of_a_lost_peer(told) == lost
