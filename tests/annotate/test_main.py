import csv
import re
import signal
import socket
import sys
import urllib.error
import urllib.request

import answering
import numpy as np
import pytest
import waiting

from cbda_jax.annotate import __main__ as program
from cbda_jax.annotation.people import Ledger
from cbda_jax.annotation.people.freeze import ledger_path, open_asked

COMMAND = (sys.executable, "-m", "cbda_jax.annotate")


def refused(capsys, *arguments):
    """What is said to the user."""
    assert program.main([str(argument) for argument in arguments]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_a_person_gets_an_address_and_sigterm_ends_it(make_run, tmp_path):
    run = make_run()
    with waiting.Child((*COMMAND, f"--workdir={run}", "--person=Ada")) as server:
        address = server.says("Ada: ").split()[1]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address.partition("?")[0], timeout=waiting.PATIENCE_S)
        jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with jar.open(address, timeout=waiting.PATIENCE_S) as page:
            assert page.url == address.partition("?")[0]
            assert b"/page.js" in page.read()
        # One at a time writes the ledger; others may copy it.
        done = waiting.run((*COMMAND, f"--workdir={run}", "--close"))
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        copies = f"--export={tmp_path / 'all.csv'}", f"--backup={tmp_path / 'copy.sqlite'}"
        assert waiting.run((*COMMAND, f"--workdir={run}", *copies)).returncode == 0
        assert {"all.csv", "copy.sqlite"} <= {path.name for path in tmp_path.iterdir()}
        server.send(signal.SIGTERM)
        assert server.end() == 0
        assert "token" not in server.errors


def test_addresses(tmp_path):
    def lines(*arguments):
        flags = program.parse([f"--workdir={tmp_path}", *arguments])
        found = "\n".join(program._addresses(ledger, flags, 8800))
        return re.sub(r"token=[\w-]{32}", "token", found).splitlines()

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert lines()[0].endswith(": http://127.0.0.1:8800/?token")  # whoever starts it
        ledger.add_person("Ada")
        found = lines("--person=Ben", "--person=Ben", "--host=::1")
        assert found[0] == "Ben: http://[::1]:8800/?token"
        assert found[1].startswith("http://[::1]:8800/ goes on for ")
        assert "Ada" in found[1]
        # A reverse proxy in front, and then a server that others reach without one.
        assert lines("--person=Ben", "--trust-host=labels.example.org")[0] == (
            "Ben: https://labels.example.org/?token"
        )
        found = lines("--person=Ben", "--host=0.0.0.0", "--trust-host=lab")
        assert found[0] == "Ben: http://lab:8800/?token"
        assert found[-1].startswith("note: nothing is encrypted")


def test_closing_exporting_and_copying(make_run, tmp_path, capsys):
    run = make_run()
    with Ledger(ledger_path(run)) as ledger:
        answering.answer_all(open_asked(ledger, run), "ada")
    copies = f"--export={tmp_path / 'all.csv'}", f"--backup={tmp_path / 'copy.sqlite'}"
    assert program.main([f"--workdir={run}", *copies]) == 0
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["person"], row["patch"]) for row in rows] == [
        ("answer", "ada", "1")
    ] * 12
    with Ledger(tmp_path / "copy.sqlite") as copy:
        assert copy.rounds() == [1]
    assert not (run / "answers" / "round_01.npz").exists()
    assert program.main([f"--workdir={run}", "--close"]) == 0
    with np.load(run / "answers" / "round_01.npz") as frozen:
        assert len(frozen.files) > 1
    capsys.readouterr()
    assert "no open round found" in refused(capsys, f"--workdir={run}", "--close")


def test_what_is_the_users_to_mend(make_run, tmp_path, capsys):
    run = make_run()
    workdir = f"--workdir={run}"
    assert "no run found" in refused(capsys, f"--workdir={tmp_path / 'none'}")
    assert "--port: 65536 found" in refused(capsys, workdir, "--port=65536")
    assert "--host: 0.0.0.0 found without --trust-host" in refused(
        capsys, workdir, "--host=0.0.0.0"
    )
    assert "cannot be listened to" in refused(capsys, workdir, "--host=192.0.2.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1 {port} cannot be listened to" in refused(
            capsys, workdir, f"--port={port}"
        )
    with pytest.raises(SystemExit, match="2"):
        program.main([workdir, "--prot=1"])
    assert capsys.readouterr().err.startswith("error: ")


def test_a_second_ledger_is_refused(make_run, tmp_path, capsys):
    run = make_run()
    assert program.main([f"--workdir={run}", f"--ledger={tmp_path / 'other'}", "--close"]) == 2
    said = capsys.readouterr().err
    assert f"expected {ledger_path(run)}, where the run looks for it; leave it out" in said
    assert program.main([f"--workdir={run}", f"--ledger={ledger_path(run)}", "--close"]) == 0


def test_without_the_extra(make_run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    line = refused(capsys, f"--workdir={make_run()}")
    assert "uvicorn not found" in line
    assert line.endswith("pip install 'cbda_jax[annotate]'")


def test_training_does_not_import_it():
    script = "import sys, cbda_jax.main; print([m for m in sys.modules if 'annotate' in m])"
    done = waiting.run((sys.executable, "-c", script))
    assert done.stdout.strip() == "[]", done.stderr
