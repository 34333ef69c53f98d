import io

import pytest

from cbda_jax import console
from cbda_jax.console import duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it: `clock[0] += seconds`."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_lines_say_how_far_how_fast_and_until_when(clock, capsys):
    with console.progress(1500, "train") as bar:
        for _ in range(400):
            clock[0] += 0.125
            bar.update(1, loss=0.71312)
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert lines[0] == "train  0/1500  0 %"
    assert lines[3] == "train  240/1500  16 %  8 step/s  eta 2 min 38 s  loss 0.7131"
    assert lines[-1] == "train  400/1500  26 %  8 step/s  stopped after 50 s  loss 0.7131"
    assert "\r" not in text


def test_lines_are_at_least_ten_seconds_apart(clock, capsys):
    with console.progress(1000, "train") as bar:
        for _ in range(1000):
            clock[0] += 0.025
            bar.update()
    assert len(capsys.readouterr().err.splitlines()) == 4  # first, 10 s, 20 s, last (25 s)


def test_resumed_phase_counts_from_where_it_stood(clock, capsys):
    with console.progress(100, "train", initial=90) as bar:
        clock[0] += 20
        bar.update(10)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "train  90/100  90 %"
    assert last == "train  100/100  100 %  2 s/step  took 20 s"


def test_eta_forgets_the_slow_start(clock, capsys):
    with console.progress(100, "train") as bar:
        clock[0] += 60
        bar.update()
        for _ in range(10):
            clock[0] += 1
            bar.update()
        assert "1 step/s  eta 1 min 29 s" in capsys.readouterr().err


def test_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    with console.progress(4, "evaluate", unit="image") as bar:
        for i in range(4):
            bar.update(1, miou=0.25 * i)
    shown = stream.getvalue()
    assert "evaluate" in shown
    assert "4/4" in shown
    assert "miou 0.75" in shown
    assert "\r" in shown


def test_disabled_is_silent(capsys):
    with console.progress(4, "evaluate", enabled=False) as bar:
        bar.update(4, loss=1.0)
    assert capsys.readouterr() == ("", "")


def test_standard_output_stays_clean(capsys):
    with console.progress(4, "evaluate") as bar:
        bar.update(4)
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("evaluate  0/4")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.7, "1 min 0 s"),
        (90, "1 min 30 s"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
