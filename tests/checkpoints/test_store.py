"""Checkpoints: exact, told apart from those of other networks, and checked to the last byte."""

import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import waiting
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from processes import Fork, run
from scenes_of_files import restore_what_all_can_read, save_on_a_full_disk

from cbda_jax.checkpoints.store import Checkpoints
from cbda_jax.errors import InputError


class State(NamedTuple):
    step: jax.Array
    params: dict[str, jax.Array]
    frozen: dict[str, jax.Array]
    opt_state: tuple[dict[str, jax.Array], ...]
    ema: dict[str, jax.Array] | None = None


def _state(seed, *, devices=1, classes=4, averaged=False, momentum=True):
    random = np.random.default_rng(seed)

    def make(shape, dtype=jnp.float32):
        return jnp.asarray(random.standard_normal(shape), dtype)

    def params():
        # Normal numbers hardly compress: most bytes on the disk are theirs.
        return {"kernel": make((3, 3, 8, 16)), "head": make((16, classes))}

    state = State(
        jnp.int32(seed),
        params(),
        {"mean": jnp.zeros(16, jnp.float32), "scale": make(16, jnp.bfloat16)},
        (params(),) if momentum else (),
        params() if averaged else None,
    )
    mesh = jax.make_mesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )
    return jax.device_put(state, NamedSharding(mesh, PartitionSpec()))


def _assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        assert a.sharding == b.sharding
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def _save(folder, *steps, **options):
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, _state(step, **options))
    checkpoints.close()


def _restore(folder, state, **options):
    checkpoints = Checkpoints(folder, **options)
    try:
        return checkpoints.restore_latest(state)
    finally:
        checkpoints.close()


def _go_on(folder, **options):
    found = _restore(folder, _state(0), **options)
    assert found is not None
    return found


def _tree(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the checkpoints of steps 1 and 2; copied, not written to."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    _save(folder, 1, 2)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def _arrays(folder, step=2):
    """The file that holds the bytes of the arrays."""
    files = (folder / str(step) / "state").rglob("d/*")
    return max(files, key=lambda path: path.stat().st_size)


def test_the_latest_state_comes_back_exactly(folder):
    step, state = _go_on(folder)
    assert step == 2
    _assert_same(state, _state(2))


def test_shapes_are_enough_to_restore_into(folder):
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _state(0)
    )
    found = _restore(folder, shapes)
    assert found is not None
    _assert_same(found[1], _state(2))


def test_nothing_was_saved_yet(tmp_path):
    assert _restore(tmp_path / "checkpoints", _state(0)) is None


@pytest.mark.parametrize(("before", "after"), [(8, 2), (2, 8)])
def test_a_state_goes_on_on_another_number_of_devices(before, after, tmp_path):
    _save(tmp_path, 3, devices=before)
    found = _restore(tmp_path, _state(0, devices=after))
    assert found is not None
    assert found[0] == 3
    _assert_same(found[1], _state(3, devices=after))


def test_saved_values_are_those_of_the_call(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    state = _state(1)
    expected = jax.tree.map(np.asarray, state)
    checkpoints.save(1, state)
    # What training does next: the buffers are given away.
    jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0)(state)
    checkpoints.wait()
    found = checkpoints.restore_latest(_state(0))
    checkpoints.close()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves((1, expected)), strict=True):
        np.testing.assert_array_equal(np.asarray(a), b)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"classes": 5}, r"params.head is float32\(16, 4\), expected float32\(16, 5\)"),
        ({"momentum": False}, r"opt_state.0.\w+ is not of this config"),
        ({"averaged": True}, r"ema.\w+ is missing"),
    ],
)
def test_the_state_of_another_config_is_an_error_and_stays(options, expected, folder):
    before = _tree(folder)
    with pytest.raises(InputError, match=expected) as error:
        _restore(folder, _state(0, **options))
    assert "\n" not in str(error.value)
    assert f"{folder / '2'}: the checkpoint does not hold the state of this config" in str(
        error.value
    )
    assert _tree(folder) == before


def test_another_dtype_is_an_error(folder):
    state = _state(0)
    half = {name: x.astype(jnp.bfloat16) for name, x in state.params.items()}
    with pytest.raises(InputError, match=r"params.head is float32.*expected bfloat16.* more"):
        _restore(folder, state._replace(params=half, opt_state=(half,)))
    assert not list(folder.glob("corrupt-*"))


def test_a_flipped_bit_of_a_weight_is_found_and_the_one_before_used(folder, capsys):
    path = _arrays(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    step, state = _go_on(folder)
    assert step == 1
    _assert_same(state, _state(1))
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"{folder / '2'}: damaged checkpoint, put aside as corrupt-2; using the")
    assert "is not what was saved" in line
    assert sorted(p.name for p in folder.iterdir()) == ["1", "corrupt-2"]
    # The step is made again; and damaged again.
    _save(folder, 2)
    _arrays(folder).write_bytes(b"")
    assert _go_on(folder)[0] == 1
    assert sorted(p.name for p in folder.iterdir()) == ["1", "corrupt-2", "corrupt-2-2"]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "zeroed"])
@pytest.mark.parametrize("name", ["arrays", "state/manifest.ocdbt", "manifest/metadata"])
def test_damage_is_found_wherever_it_is(name, damage, folder):
    path = _arrays(folder) if name == "arrays" else folder / "2" / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        changed = {
            "empty": b"",
            "truncated": content[: len(content) // 2],
            "zeroed": bytes(len(content)),
        }
        path.write_bytes(changed[damage])
    step, state = _go_on(folder)
    assert step == 1
    _assert_same(state, _state(1))


@pytest.mark.slow
def test_no_flipped_byte_comes_back_as_a_state(saved, tmp_path):
    """In every file, at random: the state of step 2 exactly, or that of step 1 exactly."""
    random = np.random.default_rng(0)
    seen = []
    for name in sorted(Path("2") / path for path in _tree(saved / "2")):
        size = (saved / name).stat().st_size
        for place in random.integers(size, size=8 if size > 2000 else 3):
            folder = Path(shutil.copytree(saved, tmp_path / "one"))
            content = bytearray((folder / name).read_bytes())
            content[place] ^= 1 << int(random.integers(8))
            (folder / name).write_bytes(content)
            step, state = _go_on(folder)
            _assert_same(state, _state(step))
            assert (folder / "corrupt-2").is_dir() == (step == 1)
            seen.append(step)
            shutil.rmtree(folder)
    assert {1, 2} == set(seen)


def test_all_damaged_is_an_error_that_stays(folder):
    for step in (1, 2):
        _arrays(folder, step).write_bytes(b"")
    for _ in range(2):
        with pytest.raises(InputError) as error:
            _restore(folder, _state(0))
        assert "no whole checkpoint left, only damaged ones (corrupt-1, corrupt-2)" in str(
            error.value
        )
        assert "restore one from a backup, or delete these" in str(error.value)


def test_looking_only_changes_nothing(folder, capsys):
    _arrays(folder).write_bytes(b"")
    before = _tree(folder)
    assert _go_on(folder, writable=False)[0] == 1
    assert _tree(folder) == before
    assert "damaged checkpoint; using the one before" in capsys.readouterr().err


def test_an_unfinished_save_is_ignored_and_made_again(folder):
    shutil.copytree(folder / "2", folder / "3.orbax-checkpoint-tmp")
    assert _go_on(folder)[0] == 2
    _save(folder, 3)
    assert _go_on(folder)[0] == 3
    assert sorted(p.name for p in folder.iterdir()) == ["2", "3"]


def test_an_older_step_than_the_latest_is_refused(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(2, _state(9))
    with pytest.raises(InputError, match="checkpoint of step 0 refused"):
        checkpoints.save(0, _state(0))
    checkpoints.close()
    _assert_same(_go_on(folder)[1], _state(2))


def test_orbax_does_not_count_as_a_check_for_preemption(monkeypatch, tmp_path):
    def count(step):
        raise AssertionError(
            f"the agreement of cbda_jax.runtime.preemption was asked at step {step}"
        )

    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", count)
    _save(tmp_path, 1, 2)
    assert _go_on(tmp_path)[0] == 2


# ------------------------------------------------------- the network of a run


@pytest.mark.parametrize("averaged", [False, True])
def test_the_network_comes_without_its_optimizer(averaged, tmp_path):
    _save(tmp_path, 1, averaged=averaged)
    live = _state(0, momentum=False, devices=2)
    checkpoints = Checkpoints(tmp_path, writable=False)
    step, params, frozen = checkpoints.restore_network(live.params, live.frozen)
    checkpoints.close()
    expected = _state(1, averaged=averaged, devices=2)
    _assert_same(params, expected.ema if averaged else expected.params)
    _assert_same(frozen, expected.frozen)
    assert step == 1


def test_the_network_of_other_classes_or_of_no_run(folder, tmp_path):
    live = _state(0, classes=7)
    checkpoints = Checkpoints(folder, writable=False)
    with pytest.raises(InputError, match=r"does not hold the network .*params.head is float32\("):
        checkpoints.restore_network(live.params, live.frozen)
    checkpoints.close()
    checkpoints = Checkpoints(tmp_path / "none", writable=False)
    with pytest.raises(InputError, match="no checkpoint found; train first, or check the path"):
        checkpoints.restore_network(live.params, live.frozen)
    checkpoints.close()
    assert not (tmp_path / "none").exists()


# ------------------------------------------------------------ disks and hosts


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_disk_that_takes_no_more(tmp_path):
    with Fork(save_on_a_full_disk, tmp_path) as process:
        done = waiting.finish(process)
    assert done.returncode == 0, done.stderr
    error, before, after = done.stdout.strip().splitlines()
    assert re.fullmatch(
        f"error: cannot write a checkpoint to {tmp_path}: .{{1,40}}; free some space; the older "
        "checkpoints and the query log are whole, and the same command goes on from them",
        error,
    )
    assert (before, after) == ("1", "2")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_processes_take_the_same_checkpoint(tmp_path):
    # Who waits at a barrier of JAX for the other one waits for longer than this limit.
    ended = run(restore_what_all_can_read, 2, tmp_path / "checkpoints", devices=2)
    assert [process.status for process in ended] == [0, 0], ended
    expected = "restored 1 ['1', '2', 'corrupt-2', 'corrupt-3']"
    assert all(expected in process.output for process in ended), ended


@pytest.mark.parametrize("place", ["wait_until_finished", "close"])
def test_a_disk_that_was_full_is_told_when_it_closes(tmp_path, monkeypatch, place):
    checkpoints = Checkpoints(tmp_path / "run")
    manager, end = checkpoints._manager, checkpoints._manager.close

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manager, place, full)
    with pytest.raises(InputError, match=r"cannot write a checkpoint to .*No space left on device"):
        checkpoints.close()
    monkeypatch.undo()
    end()
