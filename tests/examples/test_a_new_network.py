import importlib.util
import math
import sys
from pathlib import Path

import pytest

from cbda_jax import models
from cbda_jax.models import registry

PROGRAM = Path(__file__).parents[2] / "examples" / "a_new_network.py"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setattr(registry, "NETWORKS", dict(registry.NETWORKS))
    spec = importlib.util.spec_from_file_location("a_new_network", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "a_new_network", module)
    spec.loader.exec_module(module)
    return module


def test_a_new_network_trains(program, capsys):
    first, second = program.main()
    assert second < first < 2 * math.log(5)
    assert capsys.readouterr().out == (
        f"step 0: cross entropy {first:.3f}\nstep 1: cross entropy {second:.3f}\n"
    )


def test_the_config_can_name_it(program):
    model = program.nnx.eval_shape(
        lambda: models.create_model("a_new_network:TinyNet", 7, rngs=program.nnx.Rngs(0))
    )
    assert isinstance(model, program.TinyNet)
