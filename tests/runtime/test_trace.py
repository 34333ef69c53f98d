import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from cbda_jax import stores
from cbda_jax.runtime.trace import StepTrace


def _make(trace, steps):
    step = jax.jit(lambda x: x + 1)
    x, written = jnp.zeros(()), []
    for number in range(steps):
        with trace.step(number):
            x = step(x)
        if folder := trace.finish(x, now=number == steps - 1):
            written.append((number, folder))
    return written


# The profiler warns of itself where TensorFlow is not installed.
@pytest.mark.filterwarnings("ignore")
def test_the_steps_wanted_are_traced(tmp_path):
    written = _make(StepTrace(tmp_path, steps=2, skip=3), steps=8)
    assert [number for number, _ in written] == [4]
    (trace,) = written[0][1].rglob("perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert {e["args"]["step_num"] for e in events if e.get("name") == "train"} == {"3", "4"}
    assert list(written[0][1].rglob("*.xplane.pb"))


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_ends_early_ends_its_trace(tmp_path):
    assert [number for number, _ in _make(StepTrace(tmp_path, steps=9, skip=1), steps=3)] == [2]


@pytest.mark.filterwarnings("ignore")
def test_a_trace_for_a_store_is_uploaded(bucket):
    folder = bucket.folder()
    ((_, written),) = _make(StepTrace(folder, steps=1), steps=5)
    names = stores.names(written)
    assert {name.rpartition("/")[2] for name in names} >= {"perfetto_trace.json.gz"}
    assert any(name.endswith(".xplane.pb") for name in names)


def test_none_wanted_none_made(tmp_path):
    assert _make(StepTrace(tmp_path, steps=0), steps=5) == []
    assert not list(tmp_path.iterdir())
