"""The command: what it prints, and the errors it tells in one line."""

import runpy

import pytest
import waiting

import cbda_jax
from cbda_jax.errors import InputError

SCRIPT = waiting.ROOT / "scripts" / "export_network.py"


class Run:
    """Keeps what it is asked to export."""

    def __init__(self, error=None):
        self.error, self.asked = error, None

    def export(self, out, *, size, dtype):
        if self.error:
            raise self.error
        self.asked = out, size, dtype
        out.write_bytes(bytes(1_250_000))
        return out.with_name(f"{out.name}.json")


@pytest.fixture
def main(monkeypatch):
    def main(run, *arguments):
        monkeypatch.setattr(cbda_jax, "open_run", lambda workdir: run, raising=False)
        runpy.run_path(str(SCRIPT))["main"]([*map(str, arguments)])

    return main


def test_it_exports(main, tmp_path, capsys):
    run, out = Run(), tmp_path / "net.onnx"
    main(run, "--workdir=w", f"--out={out}", "--size=640x1280", "--dtype=float32")
    assert run.asked == (out, (640, 1280), "float32")
    assert capsys.readouterr().out == f"{out}: 1.2 MB, explained in {out}.json\n"
    main(run, "--workdir=w", f"--out={out}")
    assert run.asked == (out, None, None)


def test_errors_are_one_line(main, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(Run(InputError("net: found, expected another")), "--workdir=w", "--out=net")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: net: found, expected another\n"
    with pytest.raises(SystemExit):
        main(Run(), "--workdir=w", "--out=net", "--size=640")
    assert "'640' found, expected HEIGHTxWIDTH" in capsys.readouterr().err
