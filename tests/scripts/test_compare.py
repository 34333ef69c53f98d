import importlib
import json
import sys

import pytest
import waiting
from reported import run


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(waiting.ROOT / "scripts"))
    return importlib.import_module("compare")


def test_script_writes_a_page_and_overwrites_nothing(script, tmp_path, monkeypatch, capsys):
    for name in ("a", "b"):
        run(tmp_path / name)
        (tmp_path / name / "config.json").write_text(json.dumps({"seed": 0}))
    out = tmp_path / "page.html"
    arguments = ["compare.py", str(tmp_path / "a"), str(tmp_path / "b"), f"--out={out}"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert script.main() == 0
    assert capsys.readouterr().out.strip() == str(out)
    before = out.read_bytes()
    out.write_bytes(b"mine")
    assert script.main() == 2
    assert capsys.readouterr().err == (
        f"error: {out}: there already, expected a new file; name another one (--out), or add "
        "--overwrite\n"
    )
    assert out.read_bytes() == b"mine"
    monkeypatch.setattr(sys, "argv", [*arguments, "--overwrite"])
    assert script.main() == 0
    assert out.read_bytes() == before


def test_script_names_what_is_no_run(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare.py", str(tmp_path), "--out", str(tmp_path / "x")])
    assert script.main() == 2
    assert "expected two workdirs or more" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
