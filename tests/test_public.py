"""`import cbda_jax` costs nothing, and what it offers is there."""

import sys

import pytest
import waiting

import cbda_jax


def python(code):
    done = waiting.run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_imports_nothing_and_its_names_start_no_devices():
    """JAX is there when a name is first used; its devices are not, so that flags still count."""
    code = """
import sys
import cbda_jax
assert not {"jax", "numpy", "flax"} & sys.modules.keys()
from cbda_jax import Run, load_config, open_run, train
load_config("synthetic")
import jax
jax.config.update("jax_num_cpu_devices", 3)
print(len(jax.devices()))
"""
    assert python(code) == "3\n"


def test_all_that_is_public_is_there():
    assert {"Run", "train", "__version__"} <= {*dir(cbda_jax)}
    for name in cbda_jax._PUBLIC:
        assert getattr(cbda_jax, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Rum'"):
        _ = cbda_jax.Rum


def test_types_are_seen(tmp_path):
    """By pyright, through the lazy import."""
    (tmp_path / "user.py").write_text(
        "import cbda_jax\n"
        "from cbda_jax import open_run\n"
        "reveal_type(open_run('x').score_map)\n"
        "reveal_type(cbda_jax.train)\n"
        "reveal_type(open_run('x').picks())\n"
        "open_run(3)\n"
    )
    command = [sys.executable, "-m", "pyright", f"--pythonpath={sys.executable}"]
    done = waiting.run([*command, str(tmp_path / "user.py")])
    found = done.stdout
    assert '"(image: str | PathLike[str] | ' in found
    assert "(config: ConfigDict | str, workdir: str | PathLike[str]" in found
    assert '"dict[str, ' in found
    errors = [line for line in found.splitlines() if " error: " in line]
    assert len(errors) == 1
    assert ":6:" in errors[0]
