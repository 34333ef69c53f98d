import os
from types import SimpleNamespace

import pytest
from processes import Fork
from scenes import compile_deterministically

from cbda_jax.runtime import determinism, local_devices


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setattr(local_devices, "gpus_expected", lambda: True)


def test_gpus_get_the_flags(gpus):
    environment = {}
    determinism.request(environment)
    assert environment == {
        "XLA_FLAGS": "--xla_gpu_deterministic_ops=true "
        "--xla_gpu_exclude_nondeterministic_ops=true --xla_gpu_autotune_level=0 "
        "--xla_gpu_enable_triton_gemm=false",
        "NCCL_NVLS_ENABLE": "0",
    }
    again = dict(environment)
    determinism.request(again)
    assert again == environment


def test_what_the_user_has_set_is_kept(gpus):
    environment = {
        "XLA_FLAGS": "--xla_dump_to=/tmp/dump --xla_gpu_autotune_level=4",
        "NCCL_NVLS_ENABLE": "1",
    }
    determinism.request(environment)
    assert environment["NCCL_NVLS_ENABLE"] == "1"
    assert environment["XLA_FLAGS"].split() == [
        "--xla_gpu_deterministic_ops=true",
        "--xla_gpu_exclude_nondeterministic_ops=true",
        "--xla_gpu_enable_triton_gemm=false",
        "--xla_dump_to=/tmp/dump",
        "--xla_gpu_autotune_level=4",
    ]


@pytest.mark.parametrize("platforms", ["cpu", "tpu"])
def test_cpus_and_tpus_are_left_alone(platforms, monkeypatch):
    told = SimpleNamespace(config=SimpleNamespace(jax_platforms=platforms))
    monkeypatch.setattr(local_devices, "jax", told)
    environment = {"XLA_FLAGS": "--xla_dump_to=/tmp/dump"}
    determinism.request(environment)
    assert environment == {"XLA_FLAGS": "--xla_dump_to=/tmp/dump"}


def test_xla_takes_the_flags_after_jax_is_imported(tmp_path):
    """In a process that has imported all, and compiled nothing."""
    with Fork(compile_deterministically, tmp_path, together=True) as process:
        assert process.end() == 0, process.output
    options = [path.read_text() for path in tmp_path.glob("*debug_options")]
    assert options
    for text in options:
        assert "xla_gpu_deterministic_ops: true" in text
        assert "xla_gpu_exclude_nondeterministic_ops: true" in text
        assert "xla_gpu_autotune_level: 0" in text
        assert "xla_gpu_enable_triton_gemm: false" in text
    assert "xla_gpu" not in os.environ.get("XLA_FLAGS", "")
