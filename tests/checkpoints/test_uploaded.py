"""Checkpoints in an object store: there once they are whole, exact, and put aside if damaged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import run
from scenes_of_files import save_to_a_store

from cbda_jax import stores
from cbda_jax.checkpoints import content_digest, open_checkpoints
from cbda_jax.checkpoints.store import Checkpoints, check_writable
from cbda_jax.errors import InputError


@pytest.fixture
def folder(bucket):
    return bucket.folder() / "checkpoints"


def _state(seed):
    random = np.random.default_rng(seed)
    return {
        "step": jnp.int32(seed),
        "params": {"kernel": jnp.asarray(random.standard_normal((3, 3, 8, 16)), jnp.float32)},
        "frozen": {"scale": jnp.asarray(random.standard_normal(16), jnp.bfloat16)},
    }


def _save(folder, *steps, keep=2):
    checkpoints = open_checkpoints(folder, keep=keep)
    for step in steps:
        checkpoints.save(step, _state(step))
    checkpoints.close()


def _restore(folder, *, writable=True):
    checkpoints = open_checkpoints(folder, writable=writable)
    try:
        return checkpoints.restore_latest(_state(0))
    finally:
        checkpoints.close()


def _assert_is(found, step):
    assert found is not None
    assert found[0] == step
    for a, b in zip(jax.tree.leaves(found[1]), jax.tree.leaves(_state(step)), strict=True):
        assert (a.dtype, a.sharding) == (b.dtype, b.sharding)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def _steps(folder):
    return sorted({name.partition("/")[0] for name in stores.names(folder)})


def test_a_folder_of_a_disk_is_one_of_a_disk(tmp_path):
    checkpoints = open_checkpoints(tmp_path / "checkpoints")
    assert type(checkpoints) is Checkpoints
    checkpoints.close()


def test_what_is_saved_comes_back(folder):
    assert _restore(folder) is None
    _save(folder, 3, 5)
    assert _steps(folder) == ["3", "5"]
    _assert_is(_restore(folder), 5)
    _assert_is(_restore(folder, writable=False), 5)
    digest = content_digest(folder)
    checkpoints = open_checkpoints(folder)
    assert checkpoints.latest == 5
    # The state donates its arrays to the next step at once.
    state = _state(8)
    checkpoints.save(8, state)
    jax.tree.map(lambda leaf: leaf.delete(), state)
    checkpoints.wait()
    assert checkpoints.latest == 8
    checkpoints.save(8, _state(9))
    checkpoints.close()
    assert _steps(folder) == ["5", "8"]
    _assert_is(_restore(folder), 8)
    assert content_digest(folder) != digest
    checkpoints = open_checkpoints(folder, writable=False)
    step, params, _ = checkpoints.restore_network(_state(0)["params"], _state(0)["frozen"])
    checkpoints.close()
    assert step == 8
    np.testing.assert_array_equal(params["kernel"], _state(8)["params"]["kernel"])


def test_one_whose_upload_was_cut_off_does_not_count(folder):
    _save(folder, 3, 5)
    (last,) = [n for n in stores.names(folder / "5") if n == "commit_success.txt"]
    stores.remove(folder / "5" / last)
    _assert_is(_restore(folder, writable=False), 3)
    assert _steps(folder) == ["3", "5"]
    _assert_is(_restore(folder), 3)
    assert _steps(folder) == ["3"]


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_damaged_one_is_put_aside_for_the_one_before(folder, damage, capfd):
    _save(folder, 3, 5)
    held = [n for n in stores.names(folder / "5") if "/d/" in n]
    largest = max(held, key=lambda name: len(stores.read(folder / "5" / name)))
    if damage == "remove":
        stores.remove(folder / "5" / largest)
    else:
        content = bytearray(stores.read(folder / "5" / largest))
        content[len(content) // 2] ^= 1
        stores.put(folder / "5" / largest, bytes(content))
    _assert_is(_restore(folder, writable=False), 3)
    assert _steps(folder) == ["3", "5"]
    _assert_is(_restore(folder), 3)
    assert _steps(folder) == ["3", "corrupt-5"]
    assert "5: damaged checkpoint, put aside as corrupt-5" in capfd.readouterr().err
    _save(folder, 5)
    _assert_is(_restore(folder), 5)


def test_of_another_network_it_is_an_error(folder):
    _save(folder, 3)
    checkpoints = open_checkpoints(folder)
    other = _state(0) | {"params": {"kernel": jnp.zeros((2, 2), jnp.float32)}}
    with pytest.raises(InputError, match=rf"^{folder}/3: the checkpoint does not hold the state"):
        checkpoints.restore_latest(other)
    checkpoints.close()
    assert _steps(folder) == ["3"]


def test_a_store_that_cannot_be_written_to(folder, monkeypatch):
    with pytest.raises(InputError, match=r"^checkpoint\.dir: s3://nobucket/x found, expected a"):
        check_writable("s3://nobucket/x", "checkpoint.dir")
    check_writable(str(folder), "checkpoint.dir")
    assert stores.names(folder) == []
    checkpoints = open_checkpoints(folder)

    def fail(*_):
        raise OSError("the network is gone")

    monkeypatch.setattr(stores, "upload", fail)
    checkpoints.save(1, _state(1))
    with pytest.raises(InputError, match=r"cannot write a checkpoint to s3://.*network is gone"):
        checkpoints.wait()
    checkpoints.close()


@pytest.mark.slow
def test_processes_that_share_no_disk(bucket, folder):
    ended = run(save_to_a_store, 2, str(folder), bucket.environment)
    assert [process.status for process in ended] == [0, 0], ended
    assert [process.output.split()[-1] for process in ended] == ["restored", "restored"], ended
    assert _steps(folder) == ["1", "2"]
