"""The training benchmark at a tiny size, and that the PyTorch beside it does the same work."""

import importlib
import json
import os
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import waiting
from jax import lax

ROOT = Path(__file__).parents[2]
COLUMNS = (
    "network | batch | precision | with | ms a step, median | 90 % | images/s "
    "| times ours float32 | times ours bfloat16 | TFLOP | of peak | compiled TFLOP "
    "| program MB | temporary MB | peak MB | sent MB | compile s | note"
)


@pytest.fixture
def script(monkeypatch):
    """`script(name)`: a module of the folder `scripts`."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module


@pytest.mark.slow
def test_every_row_is_measured(tmp_path):
    out = tmp_path / "out.json"
    command = "--networks tiny:Tiny --dtypes float32 --source 1x32x64 --target 2x32x48"
    command += f" --seconds 0.01 --baselines --threads 1 2 --scenes 2 --json {out}"
    run = waiting.run(
        [sys.executable, "scripts/bench_training.py", *command.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stdout.splitlines() if line.startswith("|")]
    assert lines[0] == f"| {COLUMNS} |"
    assert len({line.count("|") for line in lines}) == 1
    rows = json.loads(out.read_text())["rows"]
    assert [(r["network"], r["variant"], r["dtype"]) for r in rows] == [
        ("tiny:Tiny", "jax", "float32"),
        ("input pipeline", "1 threads", ""),
        ("input pipeline", "2 threads", ""),
    ]
    for row in rows:
        assert (row["batch"], row["images"]) == ("1x32x64 + 2x32x48", 3)
        # Images and labels, a byte a value.
        assert row["host_bytes"] == 4 * (32 * 64 + 2 * 32 * 48)
        assert row["images_per_second"] > 0
    step = rows[0]
    assert step["note"] == ""
    assert (step["times_float32"], step["times_bfloat16"]) == (1, None)
    assert 0 < step["temporary_bytes"] < step["program_bytes"]
    # What the compiled program does besides products is little.
    assert 0.9 * step["flops"] < step["compiled_flops"] < 1.3 * step["flops"]
    for field in ("median", "p90", "peak_fraction", "compile", "loss"):
        assert step[field] > 0, field


def test_products_are_counted_as_often_as_they_run(script):
    count = script("harness").product_flops

    def of(function, *shapes):
        arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        return count(jax.make_jaxpr(function)(*arguments))

    assert of(lambda a, b: jax.jit(jnp.matmul)(a, b) + 1, (3, 5), (5, 7)) == 2 * 3 * 5 * 7
    loop = lambda a, b: lax.scan(lambda x, _: (x @ b, None), a, length=4)  # noqa: E731
    assert of(loop, (3, 5), (5, 5)) == 4 * 2 * 3 * 5 * 5

    def convolution(x, kernel, stride=2, groups=1):
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    # Of 4 outputs along an axis of 8, stride 2 and padding 1, one tap of the first meets padding.
    forward = 2 * 2 * (4 * 3 - 1) ** 2 * 6 * 10
    assert of(convolution, (2, 8, 8, 6), (3, 3, 6, 10)) == forward
    grouped = lambda x, k: convolution(x, k, groups=3)  # noqa: E731
    assert of(grouped, (2, 8, 8, 6), (3, 3, 2, 9)) == 2 * 2 * (4 * 3 - 1) ** 2 * 2 * 9
    both = jax.grad(lambda *a: convolution(*a).sum(), argnums=(0, 1))
    assert of(both, (2, 8, 8, 6), (3, 3, 6, 10)) == 3 * forward


# --------------------------------------------------------------- where torch is installed


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def networks(torch, script):
    return script("baselines.segmentation_torch")


@pytest.fixture
def baseline(torch, script):
    return script("baselines.training_torch")


def checkpoint(name, golden, reference_weights, torch):
    values = golden(name)
    weights = reference_weights(values["keys"], values["shapes"])
    return {key: torch.from_numpy(value) for key, value in weights.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplabv2_resnet101", "deeplabv3plus_resnet101"])
def test_torch_network_is_ours(name, golden, reference_weights, torch, networks):
    from flax import nnx

    from cbda_jax import models

    network = networks.Segmenter(name, 19).eval()
    ours = nnx.eval_shape(lambda: models.create_model(name, 19, rngs=nnx.Rngs(0)))
    trained = jax.tree.leaves(nnx.state(ours, nnx.Param))
    parameters = list(network.parameters())
    assert sum(x.numel() for x in parameters) == sum(x.size for x in trained)
    network.load_state_dict(checkpoint(name, golden, reference_weights, torch))
    with torch.no_grad():
        logits = network(torch.from_numpy(golden(name)["input"])).numpy()
    expected = golden(name)["logits"]
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())


def test_torch_losses_are_the_references(golden, torch, baseline):
    values = golden("losses")
    logits, labels = (torch.from_numpy(values[name]) for name in ("logits", "labels"))
    for name, found in (
        ("cross_entropy", baseline.cross_entropy(logits, labels)),
        ("local_consistency_l1", baseline.local_consistency(logits, labels)),
        ("negative_learning", baseline.negative_learning(logits)),
    ):
        np.testing.assert_allclose(found.numpy(), values[name], rtol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True])
def test_torch_steps_are_the_references(
    fused, golden, reference_weights, torch, networks, baseline
):
    values = golden("deeplabv2_sgd")
    network = networks.Segmenter("deeplabv2_resnet101", 19).train()
    network.load_state_dict(checkpoint("deeplabv2_resnet101", golden, reference_weights, torch))
    optimizer = baseline.sgd(network, fused=fused)
    for number in range(4):
        batch = [
            [torch.from_numpy(values[f"{domain}_{kind}"][number]) for kind in ("images", "labels")]
            for domain in ("source", "target")
        ]
        found = baseline.step(network, optimizer, number, *batch)
        order = found.numpy()[[0, 2, 1, 3]] * np.array([1, 1, 0.1, 1], np.float32)
        np.testing.assert_allclose(order, values["losses"][number], rtol=1e-4)
