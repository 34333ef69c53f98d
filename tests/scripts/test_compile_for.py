"""What the compilers of accelerators make of a run's programs, and the script that says so."""

import importlib
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import tiny
import waiting
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from cbda_jax import models, sharding
from cbda_jax.acquisition import greedy_picks, region_scores
from cbda_jax.config import base
from cbda_jax.models import resnet
from cbda_jax.run.programs import programs

ROOT = Path(__file__).parents[2]
SIZE, VIA, LOW = (64, 256), (48, 160), (12, 40)
# Larger arrays are not to be copied into another order in memory.
LARGE = SIZE[0] * SIZE[1]


@pytest.fixture
def script(monkeypatch):
    """`script(name)`: a module of the folder `scripts`."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    # What it sets for a process of its own is of no use here.
    monkeypatch.setenv("XLA_FLAGS", "")
    return importlib.import_module


@pytest.fixture
def tpu(script):
    # What is kept of a program for devices that are not here cannot be read again: keep nothing.
    field, least = "jax_persistent_cache_min_compile_time_secs", 1e9
    before = getattr(jax.config, field)
    jax.config.update(field, least)
    yield _target(script)
    jax.config.update(field, before)


def _target(script):
    described = script("described")
    if not described.has_tpu_compiler():
        pytest.skip("libtpu is not installed: there is none for this platform")
    return described.describe("v5e")


def compiled(function, target, *shapes):
    placed = NamedSharding(sharding.make_mesh(target.devices), PartitionSpec())
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed) for x in shapes]
    return jax.jit(function).lower(*shapes).compile().as_text()


def score(logits, platform):
    maps = region_scores(logits, size=SIZE, via=VIA, platform=platform)
    return maps.score, maps.prediction


def select(score):
    return greedy_picks(score, 100, radius=2, capacity=100)


LOGITS = jax.ShapeDtypeStruct((*LOW, 19), jnp.float32)
SCORE = jax.ShapeDtypeStruct(SIZE, jnp.float32)


def kernels(listing):
    return [op for op in listing.inside("custom-call") if "tpu_custom_call" in op.text]


def test_a_score_map_on_a_tpu(tpu, script):
    listing = script("listing").Listing(compiled(lambda logits: score(logits, "tpu"), tpu, LOGITS))
    assert len(kernels(listing)) == 1
    assert listing.inside("gather") == []
    assert listing.relayouts(2 * LARGE) == []
    assert listing.inside("while") == []


def test_a_selection_on_a_tpu(tpu, script):
    listing = script("listing").Listing(compiled(select, tpu, SCORE))
    assert len(kernels(listing)) == 1
    assert listing.inside("gather") == []
    # All rounds are in the kernel.
    assert listing.inside("while") == []
    assert len({op.name for op in listing.inside("sort")}) == 1


@pytest.fixture
def setting(monkeypatch):
    monkeypatch.setitem(
        models.registry.NETWORKS, "tiny", models.registry.Network(tiny.Tiny, weights=None)
    )
    config = base()
    config.network, config.method = "tiny", "cbda"
    config.data.source_size = config.data.target_size = VIA
    config.acquisition.rounds = (10, 20)
    config.dtype = "bfloat16"
    return config


@pytest.mark.parametrize("name", ["train", "acquire", "evaluate"])
def test_programs_of_a_run_on_a_slice(tpu, script, setting, name):
    target = script("described").describe("v5e:2x2")
    setting.data.source_batch = setting.data.target_batch = 4
    mesh = sharding.make_mesh(target.devices)
    program = programs(setting, mesh, SIZE, (name,))[name]
    report, text = script("compile_for").inspect(name, program, target, top=5)
    assert report.fits
    assert report.cycles > 0
    assert report.product_flops > 0
    assert len(report.costly) == 5
    # A step adds its gradients up once; predictions are counted once; picks stay where they are.
    assert ("all-reduce" in report.collectives) == (name != "acquire")
    assert script("compile_for").table([report]).count("\n") == 2
    if name == "acquire":
        listing = script("listing").Listing(text)
        # The loop over images: what comes before it is the network's.
        assert not [op for op in listing.relayouts(2 * LARGE) if "/while/" in op.source]
        # Of the picks' classes alone.
        assert all(op.nbytes < LARGE // 8 for op in listing.inside("gather"))


def test_a_block_of_strips_on_a_tpu(tpu, script):
    """Forward and backward, features are copied where they come in and where they go out alone."""
    block = nnx.eval_shape(
        lambda: resnet.Bottleneck(256, 64, 1, 1, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    )
    graph, params, frozen = nnx.split(block, nnx.Param, ...)

    def loss(params, frozen, x):
        y = nnx.merge(graph, params, frozen)(x, 8)
        return jnp.sum(jnp.square(y.astype(jnp.float32)))

    features = jax.ShapeDtypeStruct((16, 24, 20, 256), jnp.bfloat16)
    placed = NamedSharding(sharding.make_mesh(tpu.devices), PartitionSpec())
    arguments = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed),
        (params, frozen, features),
    )
    gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 2)))
    text = gradients.lower(*arguments).compile().as_text()
    assert len(script("listing").Listing(text).relayouts(2 * features.size)) <= 2


def test_unknown_targets_and_missing_compilers(script, monkeypatch):
    described = script("described")
    with pytest.raises(described.InputError, match=r"'v5x' found, expected one of v4, v5e.* h100"):
        described.describe("v5x")
    monkeypatch.setattr(described, "has_tpu_compiler", lambda: False)
    with pytest.raises(described.InputError, match=r"pip install -e '.\[targets\]'"):
        described.describe("v5e:2x4")
    monkeypatch.setattr(described, "has_gpu_compiler", lambda: False)
    with pytest.raises(described.InputError, match=r"pip install 'jax\[cuda13\]'"):
        described.describe("h100")


def test_the_command(tpu, tmp_path):
    """As a user types it; evaluation alone, the quickest to compile."""
    command = [
        sys.executable,
        "scripts/compile_for.py",
        "--target=v5e",
        "--config=configs/synthetic.py:network=small_unet",
        "--config.data.target_size=(32, 64)",
        "--native=32x64",
        "--programs=evaluate",
        f"--json={tmp_path / 'out.json'}",
    ]
    done = waiting.run(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Nothing is measured" in done.stdout
    assert "| evaluate |" in done.stdout
    (row,) = json.loads((tmp_path / "out.json").read_text())["programs"]
    assert row["program"] == "evaluate"
    assert row["cycles"] > 0
    done = waiting.run([*command[:3], "--config=synthetic", "--programs=predict"], cwd=ROOT)
    assert done.returncode != 0
    assert (
        "--programs: predict found, expected some of train, acquire, evaluate, score" in done.stderr
    )


GPU = """
import json, sys
sys.path[:0] = {folders!r}
import described
target = described.describe("h100")
import test_compile_for as tests
from listing import Listing
score = Listing(tests.compiled(lambda x: tests.score(x, "gpu"), target, tests.LOGITS))
picks = Listing(tests.compiled(tests.select, target, tests.SCORE))
inside = [e for e in picks.executed if e.loops]
print(json.dumps([score.kernels, len(inside), score.relayouts(tests.LARGE) == []]))
"""


def test_kernels_on_a_gpu(script):
    if not script("described").has_gpu_compiler():
        pytest.skip("jax[cuda13] is not installed: several GB")
    code = GPU.format(folders=[str(ROOT / x) for x in ("scripts", "tests", "tests/scripts")])
    done = waiting.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    kernels, round_, in_order = json.loads(done.stdout.splitlines()[-1])
    assert kernels <= 5
    assert round_ <= 4
    assert in_order
