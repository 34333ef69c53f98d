"""The example runs as it says; here with a network that is compiled in no time."""

import re
import runpy

import tiny
import waiting


def test_a_run_in_python(monkeypatch, tmp_path, capsys):
    tiny.use(monkeypatch)
    program = runpy.run_path(str(waiting.ROOT / "examples" / "a_run_in_python.py"))
    config = program["config_of"](tmp_path)
    # Of the optimizers, the one that keeps types as strictly as the tests do.
    config.training.optimizer = "sgd"
    for split in ("source_train", "target_train", "target_val", "target_test"):
        config.data.synthetic_city[split] = 2
    config.data.source_size = config.data.target_size = (32, 64)
    config.evaluation.every = config.report.gallery = 0
    config.evaluation.flip = False
    monkeypatch.setitem(program["main"].__globals__, "config_of", lambda folder: config)
    program["main"](tmp_path)
    lines = capsys.readouterr().out.splitlines()[-6:]
    assert re.fullmatch(r"mIoU 0\.\d{3} at step 20", lines[0])
    assert re.fullmatch(r"round 2: (\d+) asked, \1 answered", lines[2])
    assert re.fullmatch(r"\d+ of \d+ picks in target_train_00000", lines[3])
    assert (tmp_path / "score.png").stat().st_size > 1000
