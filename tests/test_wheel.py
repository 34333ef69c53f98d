"""The wheel, installed into an empty folder and used from another one: no checkout is needed."""

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
import waiting

TINY = (
    *("--config.network=tiny:Tiny", "--config.compilation_cache="),  # of tests/, compiled at once
    *("--config.data.source_size=(32,64)", "--config.data.target_size=(32,64)"),
    "--config.data.synthetic_city.source_train=4",
    *(f"--config.data.synthetic_city.target_{split}=2" for split in ("train", "val", "test")),
    *("--config.data.source_batch=2", "--config.data.target_batch=2"),
    *("--config.data.dir=data", "--workdir=run"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder into which the wheel was unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "hatchling", "build", "--target=wheel", f"--directory={folder}")
    done = waiting.run([sys.executable, *build])
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("cbda_jax-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def python(site, folder, *arguments):
    """Runs Python in a folder, with the wheel's package in front of the checkout's."""
    path = os.pathsep.join((str(site), str(waiting.ROOT / "tests")))
    environment = {**os.environ, "PYTHONPATH": path, "JAX_NUM_CPU_DEVICES": "1"}
    return waiting.run([sys.executable, *arguments], cwd=folder, env=environment)


@pytest.mark.slow
def test_a_run_of_a_config_that_comes_along(site, tmp_path):
    run = ("-m", "cbda_jax.main", "--config=synthetic:method=source_only,steps=2")
    done = python(site, tmp_path, *run, *TINY)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["method"] == "source_only"
    assert result["evaluation"]["step"] == 2


@pytest.mark.slow
def test_all_configs_come_along_and_load(site, tmp_path):
    script = (
        "import cbda_jax; from cbda_jax.config import files as config_files; "
        "found = config_files.packaged(); [config_files.load(name) for name in found]; "
        "print(cbda_jax.__file__, *found)"
    )
    done = python(site, tmp_path, "-c", script)
    assert done.returncode == 0, done.stderr
    package, *names = done.stdout.split()
    assert Path(package).is_relative_to(site)
    beside = {path.stem for path in (waiting.ROOT / "configs").glob("*.py")} - {"__init__"}
    assert {name for name in names if "/" not in name} == beside
    assert "sweeps/synthetic_pretrained" in names
    static = "cbda_jax/annotate/static"
    beside = {path.name for path in (waiting.ROOT / static).iterdir()}
    assert {path.name for path in (site / static).iterdir()} == beside
    assert "page.html" in beside
    done = python(site, tmp_path, "-m", "cbda_jax.main", "--config=configs/synthia2cty.py")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --config: configs/synthia2cty.py not found, expected")
    assert done.stderr.endswith("did you mean 'synthia2city'?\n")
