"""The launchers: what they start, whom they pass signals to, and what they make of the ends."""

import ast
import os
import re
import shutil
import signal
import sys
import textwrap
from pathlib import Path

import pytest
import waiting

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


def _launcher(program, *flags):
    # So short a program is the same in all processes; it finds its number in `me`.
    start = 'import os, signal, sys, time; me = int(sys.argv[-1].split("=")[1])\n'
    return [
        *(sys.executable, SCRIPTS / "launch_local.py", "--processes=3", *flags, "--"),
        *(sys.executable, "-c", start + textwrap.dedent(program)),
    ]


def _launch(program, *flags, **options):
    return waiting.run(_launcher(program, *flags), **options)


def test_every_process_is_told_which_it_is():
    done = _launch(
        "print(sys.argv[1:], os.environ['JAX_NUM_CPU_DEVICES'], flush=True)",
        "--devices-per-process=2",
    )
    assert done.returncode == 0, done.stderr
    (coordinator,) = re.findall(r"--coordinator=127\.0\.0\.1:\d+", done.stdout)
    expected = [coordinator, "--processes=3"]
    assert done.stdout == f"{[*expected, '--process=0']} 2\n"
    # What the others say is marked, and kept apart from the output of the first.
    assert sorted(done.stderr.splitlines()) == [
        f"[{i}] {[*expected, f'--process={i}']} 2" for i in (1, 2)
    ]


def test_flags_go_to_the_main_program():
    launcher = [sys.executable, SCRIPTS / "launch_local.py", "--processes=1"]
    done = waiting.run([*launcher, "--", "--version-of-nothing"])
    assert done.returncode != 0
    assert "version-of-nothing" in done.stderr


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ("[0, 0, 0]", 0),
        # The others only say that one has ended.
        ("[76, 3, 76]", 3),
        ("[76, 76, 76]", 76),
        ("[75, 75, 75]", 75),
        ("[0, 0, 5]", 5),
    ],
)
def test_the_status_is_that_of_the_cause(ends, status):
    assert _launch(f"sys.exit({ends}[me])").returncode == status


def test_a_killed_process_is_named():
    done = _launch("os.kill(os.getpid(), 9) if me == 1 else sys.exit(76)")
    assert done.returncode == 128 + 9
    assert "launch_local: process 1 of 3 ended with SIGKILL\n" in done.stderr


def test_whoever_does_not_end_is_ended():
    # Longer than the launcher is waited for.
    done = _launch("sys.exit(4) if me == 1 else time.sleep(600)", "--patience=0.5")
    assert done.returncode == 4
    assert "process 0, 2 still there after 0.5 s: killed" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(number, tmp_path):
    program = f"""
        signal.signal({int(number)}, lambda *_: sys.exit(75))
        open(os.path.join(sys.argv[1], str(me)), "x")
        time.sleep(600)
    """
    with waiting.Child([*_launcher(program), tmp_path]) as process:
        waiting.until(
            lambda: len(list(tmp_path.iterdir())) == 3, "three processes", children=[process]
        )
        process.send(number)
        assert process.end() == 75, process.errors


def test_a_number_of_processes_is_checked():
    launcher = [sys.executable, SCRIPTS / "launch_local.py", "--processes=0"]
    done = waiting.run([*launcher, "--", "--config=x"])
    assert done.returncode == 2
    assert done.stderr.endswith("--processes: 0 found, expected 1 or more\n")


def test_the_launcher_knows_the_status_of_hosts():
    # It does not import the package, which takes seconds.
    found = {}
    for path in (SCRIPTS / "launch_local.py", ROOT / "cbda_jax" / "runtime" / "hosts.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LOST_STATUS":
                found[path] = ast.literal_eval(node.value)
    assert list(found.values()) == [76, 76]


# ----------------------------------------------------------------- shell scripts


@pytest.fixture
def shell(tmp_path):
    """`shell(script, *arguments)`: runs it where `gcloud` and others only note what they get."""
    fakes = tmp_path / "bin"
    fakes.mkdir()
    noted = tmp_path / "noted"
    for name in ("gcloud", "srun", "scontrol", "mpirun"):
        fake = fakes / name
        fake.write_text(
            f'#!/usr/bin/env bash\nprintf "%s\\n" {name} "$@" >> {noted}\n'
            f'[[ {name} = scontrol ]] || exit "${{STATUS:-0}}"\n'
        )
        fake.chmod(0o755)

    def run(script, *arguments, **environment):
        done = waiting.run(
            ["bash", SCRIPTS / script, *arguments],
            env={"PATH": f"{fakes}{os.pathsep}{os.environ['PATH']}", **environment},
        )
        return done, noted.read_text().splitlines() if noted.exists() else []

    return run


@pytest.mark.parametrize("script", ["launch_tpu.sh", "launch_slurm.sbatch", "launch_mpi.sh"])
def test_bash_can_read(script):
    assert waiting.run(["bash", "-n", SCRIPTS / script]).returncode == 0


def test_tpu_runs_the_same_on_all_workers(shell, tmp_path):
    flags = ["--config=configs/gta2city.py:method=cbda", "--workdir=/mnt/it's here/$HOME"]
    done, noted = shell(
        "launch_tpu.sh",
        *("--name", "pod", "--zone", "us-west4-a", "--folder", "code", "--"),
        *flags,
    )
    assert done.returncode == 0, done.stderr
    assert noted[:-1] == [
        *("gcloud", "compute", "tpus", "tpu-vm", "ssh", "pod"),
        *("--zone=us-west4-a", "--worker=all"),
    ]
    # What the shells at the other end make of it.
    (tmp_path / "code").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    there = waiting.run(
        ["bash", "-c", noted[-1].removeprefix("--command=")],
        cwd=tmp_path,
        env={"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "HOME": "/root"},
    )
    assert there.stdout.splitlines() == ["-m", "cbda_jax.main", "--distributed=on", *flags]


def test_tpu_stops_a_run(shell):
    done, noted = shell(
        "launch_tpu.sh", *("--name", "pod", "--zone", "z", "--project", "mine", "--stop")
    )
    assert done.returncode == 0, done.stderr
    assert noted[6:] == [
        *("--zone=z", "--project=mine", "--worker=all"),
        "--command=pkill -TERM -f 'cbda_jax[.]main' || true",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--name is missing"),
        (("--name", "pod"), "--zone is missing"),
        (("--name",), "--name needs a value"),
        (("--name", "pod", "--zone", "z"), "no flags of the run found"),
        (("--config=x",), "--config=x found, expected a flag below"),
    ],
)
def test_tpu_says_what_is_missing(shell, arguments, message):
    done, noted = shell("launch_tpu.sh", *arguments)
    assert done.returncode == 64
    assert done.stderr.startswith(f"launch_tpu.sh: {message}")
    assert "usage: launch_tpu.sh --name TPU --zone ZONE" in done.stderr
    assert not noted


@pytest.mark.parametrize("status", [0, 2, 75, 76, 137])
def test_slurm_puts_back_what_was_stopped_in_time(shell, status):
    done, noted = shell(
        "launch_slurm.sbatch", "--config=a b", SLURM_JOB_ID="17", STATUS=str(status)
    )
    assert done.returncode == status
    step = ["srun", "--kill-on-bad-exit=0", "--label", "python", "-m", "cbda_jax.main"]
    requeued = ["scontrol", "requeue", "17"] if status == 75 else []
    assert noted == [*step, "--config=a b", *requeued]


def test_slurm_says_what_is_missing(shell):
    for arguments, message in [((), "usage: sbatch"), (("--config=x",), "no SLURM job found")]:
        done, noted = shell("launch_slurm.sbatch", *arguments)
        assert done.returncode == 64
        assert message in done.stderr
        assert not noted


@pytest.mark.parametrize("status", [0, 2, 75, 76])
def test_mpi_gives_mpirun_its_flags_and_passes_its_status_on(status, shell):
    done, noted = shell(
        "launch_mpi.sh", "-n", "4", "--", "--config=a b", "--workdir=w", STATUS=str(status)
    )
    assert done.returncode == status
    program = ["python", "-m", "cbda_jax.main", "--config=a b", "--workdir=w"]
    assert noted == ["mpirun", "--bind-to", "none", "-n", "4", *program]


@pytest.mark.parametrize("arguments", [(), ("-n", "4"), ("-n", "4", "--")])
def test_mpi_says_what_is_missing(arguments, shell):
    done, noted = shell("launch_mpi.sh", *arguments)
    assert done.returncode == 64
    assert done.stderr.startswith("usage: launch_mpi.sh [FLAGS OF MPIRUN] -- --config=...")
    assert not noted


@pytest.mark.skipif(shutil.which("pkill") is None, reason="needs pkill (procps)")
def test_mpi_tells_the_processes_to_stop_and_not_mpirun(tmp_path):
    """Mpirun would kill them a second later; it ends when they have."""
    fakes = tmp_path / "bin"
    fakes.mkdir()
    program = """
        trap 'echo told; sleep 0.5; exit 75' TERM
        touch "$HELD"
        for _ in $(seq 600); do sleep 0.1; done
    """
    (fakes / "python").write_text(f"#!/usr/bin/env bash\n{textwrap.dedent(program)}")
    (fakes / "mpirun").write_text(
        "#!/usr/bin/env bash\ntrap 'echo killed; kill -9 $!' TERM\n"
        # A way to another host, which must stay.
        "sleep 60 & other=$!\npython -m cbda_jax.main &\nwait $!\nstatus=$?\n"
        'kill $other && echo "still there"\nexit $status\n'
    )
    for fake in fakes.iterdir():
        fake.chmod(0o755)
    held = tmp_path / "held"
    path = f"{fakes}{os.pathsep}{os.environ['PATH']}"
    with waiting.Child(
        ["bash", SCRIPTS / "launch_mpi.sh", "-n", "1", "--", "--config=x"],
        env={"PATH": path, "HELD": str(held)},
    ) as process:
        waiting.until(held.exists, "the program", children=[process])
        process.send(signal.SIGTERM)
        assert process.end() == 75, process.errors
        assert process.output == "told\nstill there\n"
